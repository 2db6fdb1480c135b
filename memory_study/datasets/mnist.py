"""MNIST, 60,000 + 10,000 handwritten digits of 28x28 pixels, downloaded by torchvision. 10,000 are held out.

Source: LeCun, Cortes, Burges. The files may also lie in ``<data dir>/MNIST/raw``, unpacked or as ``.gz``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memory_study.datasets._files import Files
from memory_study.datasets._source import DatasetInfo, Images

if TYPE_CHECKING:
    from torch import Tensor

# Of the unpacked files: torchvision has sums of the packed ones only, and takes any unpacked file for good.
MD5 = {
    "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def fetch(data_dir: Path, folder: Path) -> None:
    """Downloads and unpacks all files below ``folder``."""
    from torchvision.datasets import MNIST

    MNIST(str(folder), download=True)


@dataclass(frozen=True)
class Mnist:
    """The published files, whose sums say that the counts below are right."""

    files: Files
    train_examples: int = 60_000
    test_examples: int = 10_000
    held_out: int = 10_000

    def prepare(self, location: Path, image_size: int) -> DatasetInfo:
        """Downloads the files that are missing."""
        self.files.contents(location)
        return self.describe(location, image_size)

    def read(self, location: Path, image_size: int) -> Images:
        """All images."""
        contents = self.files.contents(location)
        train, train_labels, test, test_labels = (_parse(contents[path]) for path in self.files.md5)
        info, train, test = self.describe(location, image_size), train.unsqueeze(1), test.unsqueeze(1)
        return Images(info, train, train_labels.long(), test, test_labels.long(), white=255)

    def describe(self, location: Path, image_size: int) -> DatasetInfo:
        """The published facts."""
        side = image_size or 28
        classes = tuple(map(str, range(10)))
        counts = (self.train_examples, self.test_examples, self.held_out)
        return DatasetInfo("mnist", "", (1, side, side), classes, *counts)


def _parse(content: bytes) -> Tensor:
    """The tensor in an idx file: byte 3 counts the dimensions, whose sizes follow in 32 bits, big-endian."""
    import torch

    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).reshape(shape)


DATASET = Mnist(Files("mnist", MD5, fetch))
