"""Decoded images of a folder, kept between runs. What is stale or damaged counts as absent."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memory_study.datasets._files import locked
from memory_study.datasets._listing import Listing
from memory_study.datasets._source import DataError, DatasetInfo, Images

FORMAT = 1
"""Bump it when the same files would now be decoded, or described, differently."""
_TENSORS = ("train", "train_labels", "test", "test_labels")


@dataclass(frozen=True, slots=True)
class Cache:
    """One entry. A folder and an image size name its files, ``key`` says which state of the folder they hold.

    ``<stem>.pt`` holds the tensors; ``<stem>.json`` says what they are, and their checksum, and is written
    after them.
    """

    stem: Path
    key: str

    @classmethod
    def of(cls, listing: Listing, image_size: int) -> Cache:
        """The entry of a folder. It has one per image size: when it changes, no more room is taken."""
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        place = hashlib.sha256(os.fsencode(listing.root)).hexdigest()[:12]
        name = f"{listing.root.name[:50]}-{place}-{image_size}"
        return cls(Path(base).expanduser() / "memory-study" / "folders" / name, f"{FORMAT}-{listing.key}")

    @property
    def payload(self) -> Path:
        """The file of the tensors."""
        return self.stem.with_name(self.stem.name + ".pt")

    @property
    def sidecar(self) -> Path:
        """The file that describes them."""
        return self.stem.with_name(self.stem.name + ".json")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Held by the one process that decodes."""
        lock = self.stem.with_name(self.stem.name + ".lock")
        with locked(lock, "decoded images are kept in a cache", "the environment variable XDG_CACHE_HOME"):
            yield

    def info(self) -> DatasetInfo | None:
        """What is cached, without reading it; None where there is nothing of this key."""
        described = self._described()
        return _info(described) if described else None

    def images(self) -> Images | None:
        """What is cached; None where there is nothing of this key, or where it is damaged."""
        import torch

        described = self._described()
        if not described:
            return None
        try:
            with self.payload.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != described["sha256"]:
                    return None
                # From the file that was checked, because a path may lead to another one by now.
                file.seek(0)
                tensors = torch.load(file, weights_only=True)
        except OSError:
            return None
        train, train_labels, test, test_labels = (tensors[name] for name in _TENSORS)
        return Images(_info(described), train, train_labels, test, test_labels, white=255)

    def store(self, images: Images) -> None:
        """Moves complete files into place, the description last. Raises DataError where it cannot."""
        import torch

        # Cloned, because of a view the whole base would be stored.
        tensors = {name: getattr(images, name).clone() for name in _TENSORS}
        try:
            with _replacing(self.payload) as file:
                torch.save(tensors, file)
                file.seek(0)
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.seek(0, os.SEEK_END)
            described = {
                "key": self.key,
                "sha256": checksum,
                "bytes": size,
                "info": dataclasses.asdict(images.info),
            }
            with _replacing(self.sidecar) as file:
                file.write(json.dumps(described).encode())
        except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a full disk
            raise DataError(
                f"cannot write the decoded images to {self.payload} ({error}); make room, or "
                "choose another folder with the environment variable XDG_CACHE_HOME"
            ) from error

    def _described(self) -> dict[str, Any] | None:
        """The description, where it is of this key and its tensors are there in full length."""
        try:
            described: dict[str, Any] = json.loads(self.sidecar.read_bytes())
            current = described["key"] == self.key and described["bytes"] == self.payload.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return described if current else None


def _info(described: dict[str, Any]) -> DatasetInfo:
    info = described["info"]
    return DatasetInfo(
        **info | {"image_shape": tuple(info["image_shape"]), "classes": tuple(info["classes"])}
    )


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[io.BufferedRandom]:
    """A file that takes the place of ``path`` when it is complete, and leaves no trace when it is not."""
    aside = path.with_name(path.name + ".partial")
    try:
        with aside.open("w+b") as file:
            yield file
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
