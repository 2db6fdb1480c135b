"""Handwritten digits, 1797 images of 8x8 pixels in 17 grey levels; scikit-learn ships them, so nothing is
downloaded.

Source: Alpaydin and Kaynak 1998, the test half of the UCI Optical Recognition of Handwritten Digits set. It
has no test set of its own here: 400 images are drawn to be one, 397 are held out and 1000 are left for
training.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from memory_study.datasets._source import DatasetInfo, Images


class Digits:
    """Always in place."""

    def prepare(self, location: Path, image_size: int) -> DatasetInfo:
        """Nothing to do."""
        return self.describe(location, image_size)

    def describe(self, location: Path, image_size: int) -> DatasetInfo:
        """The facts above."""
        side = image_size or 8
        classes = tuple(map(str, range(10)))
        return DatasetInfo(
            "digits", "", (1, side, side), classes, train_examples=1397, test_examples=400, held_out=397
        )

    def read(self, location: Path, image_size: int) -> Images:
        """All images, out of scikit-learn's file: importing scikit-learn takes longer than training on them."""
        import numpy as np
        import torch

        table = torch.from_numpy(np.loadtxt(_file(), delimiter=",", dtype=np.uint8))
        return Images(
            self.describe(location, image_size),
            table[:, :-1].reshape(-1, 1, 8, 8).contiguous(),
            table[:, -1].long(),
            None,
            None,
            white=16,
        )


def _file() -> Path:
    """What ``sklearn.datasets.load_digits`` reads: a line of 64 pixels and a label for each image."""
    installed = importlib.metadata.distribution("scikit-learn")
    return Path(str(installed.locate_file("sklearn/datasets/data/digits.csv.gz")))


DATASET = Digits()
