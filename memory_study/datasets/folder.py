"""``folder:PATH``: any images as torchvision's ImageFolder has them; a tenth of train/ is held out.

They are in ``PATH/train/<class>/...`` and ``PATH/test/<class>/...``, and are decoded once, into a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from memory_study.datasets._cache import Cache
from memory_study.datasets._listing import Listing, list_images
from memory_study.datasets._source import DataError, DatasetInfo, Images

Found = TypeVar("Found")


class Folder:
    """The images below ``location``. Their classes are the folders' names, in alphabetical order."""

    def prepare(self, location: Path, image_size: int) -> DatasetInfo:
        """Decodes what the cache does not have. With an image size, resizes and crops the images to it."""
        return _cached(location, image_size, Cache.info)

    def describe(self, location: Path, image_size: int) -> DatasetInfo:
        """What :meth:`prepare` says: only the decoded images tell their size and content."""
        return self.prepare(location, image_size)

    def read(self, location: Path, image_size: int) -> Images:
        """All images, grey where every single one is grey, else RGB."""
        return _cached(location, image_size, Cache.images)


def _cached(location: Path, image_size: int, find: Callable[[Cache], Found | None]) -> Found:
    """What ``find`` finds in the cache, which one process at a time decodes where it finds None."""
    listing = list_images(location)
    cache = Cache.of(listing, image_size)
    found = find(cache)
    if found is None:
        with cache.locked():
            found = find(cache)
            if found is None:
                cache.store(_decoded(listing, image_size))
                found = find(cache)
    if found is None:
        raise DataError(
            f"the cached images {cache.payload} are damaged as soon as they are written; check that disk"
        )
    return found


def _decoded(listing: Listing, image_size: int) -> Images:
    import torch

    from memory_study.datasets._decode import decode

    images, digest = decode(listing.root, [image.path for image in listing.images], image_size)
    labels = torch.tensor([image.label for image in listing.images])
    count = len(listing.train)
    info = DatasetInfo(
        name=f"folder:{listing.root.name}",
        digest=digest,
        image_shape=(images.shape[1], images.shape[2], images.shape[3]),
        classes=listing.classes,
        train_examples=count,
        test_examples=len(listing.test),
        held_out=-(-count // 10),
    )
    return Images(info, images[:count], labels[:count], images[count:], labels[count:], white=255)


DATASET = Folder()
