"""CIFAR-10, 50,000 + 10,000 colour images of 32x32 pixels, downloaded by torchvision. 5,000 are held out.

Source: Krizhevsky 2009. Without a network, put ``cifar-10-python.tar.gz`` into the data folder.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memory_study.datasets._files import DAMAGED, Files
from memory_study.datasets._source import DataError, DatasetInfo, Images

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = {
    "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
    "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
    "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST = {"cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e"}
META = {
    "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888"
}  # so that torchvision reads it too


def fetch(data_dir: Path, folder: Path) -> None:
    """Downloads and unpacks all files below ``folder``; takes the archive in ``data_dir`` if there is one."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, extract_archive

    archive = data_dir / CIFAR10.filename
    if not archive.exists():
        CIFAR10(str(folder), download=True)
    elif check_integrity(archive, CIFAR10.tgz_md5):
        extract_archive(archive, folder)
    else:
        raise DataError(f"{archive}: {DAMAGED}")


@dataclass(frozen=True)
class Cifar10:
    """The published files, whose sums say that the counts below are right."""

    files: Files
    train_examples: int = 50_000
    test_examples: int = 10_000
    held_out: int = 5_000

    def prepare(self, location: Path, image_size: int) -> DatasetInfo:
        """Downloads the files that are missing."""
        self.files.contents(location)
        return self.describe(location, image_size)

    def read(self, location: Path, image_size: int) -> Images:
        """All images, the training batches in their order."""
        contents = self.files.contents(location)
        train, test = ([contents[path] for path in batches] for batches in (TRAIN, TEST))
        return Images(self.describe(location, image_size), *_unpickle(train), *_unpickle(test), white=255)

    def describe(self, location: Path, image_size: int) -> DatasetInfo:
        """The published facts."""
        side = image_size or 32
        counts = (self.train_examples, self.test_examples, self.held_out)
        return DatasetInfo("cifar10", "", (3, side, side), CLASSES, *counts)


def _unpickle(contents: list[bytes]) -> tuple[Tensor, Tensor]:
    """Images uint8 [n, 3, 32, 32] and labels int64 [n] of some batches."""
    import torch

    # A pickle may run anything, but these are the published bytes: their sums were checked when they were
    # read.
    batches = [pickle.loads(content, encoding="latin1") for content in contents]
    images = torch.cat([torch.from_numpy(batch["data"]) for batch in batches]).reshape(-1, 3, 32, 32)
    return images, torch.tensor([label for batch in batches for label in batch["labels"]])


DATASET = Cifar10(Files("cifar10", TRAIN | TEST | META, fetch))
