"""The image files of a folder data set, as torchvision's ImageFolder finds them, but without torch."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from memory_study.datasets._source import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""What ImageFolder takes for an image; other files are left alone."""
LEAST_TRAIN = 2
"""One image for training and one for validation."""


class ImageFile(NamedTuple):
    """``path`` is below the data set's folder, with forward slashes; ``label`` is the index of its class."""

    path: str
    label: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All image files of a folder, each part in alphabetical order of the paths."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...]

    @property
    def images(self) -> tuple[ImageFile, ...]:
        """Training images, then test images."""
        return self.train + self.test

    @property
    def key(self) -> str:
        """Changes when a file is added, removed, renamed or written to."""
        return hashlib.sha256(repr((self.classes, self.train, self.test)).encode()).hexdigest()


def list_images(root: Path) -> Listing:
    """The images below ``root/train`` and ``root/test``.

    Raises DataError where there are none, where a class is empty, or where the classes of the two differ.
    """
    classes, test_classes = _classes(root, "train"), _classes(root, "test")
    if classes != test_classes:
        alone = sorted(set(classes) ^ set(test_classes))
        raise DataError(
            f"{root / 'train'} and {root / 'test'} have different classes ({_some(alone)} only in one of "
            "them); give both the same folders"
        )
    train, test = _part(root, "train", classes), _part(root, "test", classes)
    if len(train) < LEAST_TRAIN:
        raise DataError(
            f"{root / 'train'} has one image only; training and validation need one each, so add some"
        )
    return Listing(root, classes, train, test)


def _classes(root: Path, part: str) -> tuple[str, ...]:
    """The folders in ``root/part``."""
    try:
        found = sorted(entry.name for entry in os.scandir(root / part) if entry.is_dir())
    except OSError as error:
        raise DataError(
            f"cannot list {root / part} ({error.strerror}); folder:PATH needs "
            "PATH/train/<class>/ and PATH/test/<class>/"
        ) from error
    if not found:
        raise DataError(
            f"{root / part} has no folders; put the images of each class into a folder with its name"
        )
    return tuple(found)


def _part(root: Path, part: str, classes: tuple[str, ...]) -> tuple[ImageFile, ...]:
    """The image files of every class. Raises DataError for a class without any, or a broken link."""
    found: list[ImageFile] = []
    for label, name in enumerate(classes):
        before = len(found)
        # ImageFolder follows links to folders too.
        for folder, _, files in os.walk(root / part / name, onerror=_raise, followlinks=True):
            below = Path(folder).relative_to(root).as_posix()
            images = [file for file in files if file.lower().endswith(EXTENSIONS)]
            found.extend(_image_file(f"{folder}/{file}", f"{below}/{file}", label) for file in images)
        if len(found) == before:
            raise DataError(
                f"{root / part / name} has no images ({' '.join(EXTENSIONS)}); add some, or remove the class"
            )
    return tuple(sorted(found))


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _raise(error: OSError) -> None:
    # os.walk would leave out a folder that cannot be listed without a word.
    raise DataError(f"cannot list {error.filename} ({error.strerror}); mend or remove it") from error


def _image_file(path: str, below: str, label: int) -> ImageFile:
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); mend or remove it") from error
    return ImageFile(below, label, status.st_size, status.st_mtime_ns)
