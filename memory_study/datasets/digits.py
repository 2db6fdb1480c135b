"""Handwritten digits, 1797 images of 8x8 pixels in 17 grey levels; scikit-learn ships them, so nothing is
downloaded.

Source: Alpaydin and Kaynak 1998, the test half of the UCI Optical Recognition of Handwritten Digits set. It
has no test set of its own here: 400 images are drawn to be one, 397 are held out and 1000 are left for
training.
"""

from __future__ import annotations

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
        """All images, as scikit-learn has them."""
        import torch
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images).to(torch.uint8).unsqueeze(1)
        return Images(
            self.describe(location, image_size),
            images,
            torch.from_numpy(digits.target).long(),
            None,
            None,
            white=16,
        )


DATASET = Digits()
