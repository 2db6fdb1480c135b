"""What a data set is, and what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from memory_study.config import TrialConfig


class DataError(Exception):
    """The data cannot be used. Its text is one line: what is wrong, and the next step."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split("\n")))


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What can be said of a data set without reading its pixels.

    ``image_shape`` is channels, height, width: after ``image_size``, before ``crop``. ``train_examples``
    counts all that training and held-out validation share, ``held_out`` those of them that are only ever used
    for validation. ``digest`` is a content hash, empty where the content is published and checked.
    """

    name: str
    digest: str
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train_examples: int
    test_examples: int
    held_out: int

    @property
    def largest_train_size(self) -> int:
        """The most examples that a trial can train on."""
        return self.train_examples - self.held_out

    def problems(self, config: TrialConfig) -> Iterator[str]:
        """Yield a line for every rule that ``config`` breaks on this data set."""
        if config.dataset_digest and config.dataset_digest != self.digest:
            yield (
                f"the images of {self.name} changed: their content hash is {self.digest or 'empty'}, the "
                f"trial's is {config.dataset_digest}; restore them, or run the sweep again to plan new trials"
            )
        if config.train_size > self.largest_train_size:
            yield (
                f"--train-size {config.train_size} is more than {self.name} has; use "
                f"{self.largest_train_size} or fewer ({self.train_examples} images, of which "
                f"{self.held_out} are for validation)"
            )
        if config.validation_size > self.held_out and config.validation == "held-out":
            yield (
                f"--validation-size {config.validation_size} is more than {self.name} holds out; use "
                f"{self.held_out} or fewer, or 0 for all"
            )
        side = min(self.image_shape[1:])
        if config.crop > side:
            shape = f"{self.image_shape[1]}x{self.image_shape[2]}"
            yield f"--crop {config.crop} is larger than the {shape} images of {self.name}; use {side} or less"


@dataclass(frozen=True, slots=True)
class Images:
    """A data set as it was published: images uint8 [n, channels, height, width], labels int64 [n].

    ``info`` is what :meth:`Dataset.prepare` says of it. ``white`` is the largest pixel value there can be.
    The test tensors are None where the data set has no test set of its own: then
    ``DatasetInfo.test_examples`` of the images are drawn to be one.
    """

    info: DatasetInfo
    train: Tensor
    train_labels: Tensor
    test: Tensor | None
    test_labels: Tensor | None
    white: int


class Dataset(Protocol):
    """One data set. All methods raise :class:`DataError`, and may be called by several processes at once."""

    def describe(self, location: Path, image_size: int) -> DatasetInfo:
        """What :meth:`prepare` would say, without fetching anything: published facts, or those of a local folder."""

    def prepare(self, location: Path, image_size: int) -> DatasetInfo:
        """Put the data in place at ``location``, checked, if it is not. Cheap and without torch where it is.

        ``image_size`` 0 keeps the size of the images.
        """

    def read(self, location: Path, image_size: int) -> Images:
        """All images, after what :meth:`prepare` does. They may have another size than ``image_size``."""
