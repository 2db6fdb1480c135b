"""Files that are downloaded once and never believed: each is held against its published MD5."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import logging
import os
import shutil
import socket
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from memory_study.datasets._source import DataError

log = logging.getLogger(__name__)

DAMAGED = "not the published content (truncated or corrupt); delete it and run again to download it afresh"
STALL_SECONDS = 60.0
"""A server that sends nothing for so long is given up."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a data set: ``md5`` maps each path below the data folder to the MD5 of its content.

    A file may also lie there compressed, with ``.gz`` appended. ``fetch(data_dir, folder)`` downloads all of
    them below an empty ``folder``; what already lies in ``data_dir`` may help.
    """

    name: str
    md5: Mapping[str, str]
    fetch: Callable[[Path, Path], None]

    def contents(self, root: Path) -> dict[str, bytes]:
        """The content of every file, checked; missing files are downloaded, by one process at a time.

        Raises DataError for a file that is not what was published: somebody may need it, so it stays.
        """
        found = self._present(root)
        if len(found) < len(self.md5):
            with locked(root / f".{self.name}.lock", f"{self.name} is not complete in {root}", "--data-dir"):
                found = self._present(root)
                missing = {path: md5 for path, md5 in self.md5.items() if path not in found}
                if missing:
                    self._download(root, missing)
                    found = self._present(root)
        return found

    def _present(self, root: Path) -> dict[str, bytes]:
        contents = {path: _content(root / path, md5) for path, md5 in self.md5.items()}
        return {path: content for path, content in contents.items() if content is not None}

    def _download(self, root: Path, missing: Mapping[str, str]) -> None:
        """Downloads aside and moves what is right into place, so nothing there is ever half-finished."""
        aside = root / f".{self.name}.download"
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed: we hold the lock
        log.info("downloading %s to %s", self.name, root)
        try:
            aside.mkdir()
            with _quiet(), _stall_timeout():
                self.fetch(root, aside)
            for path, md5 in missing.items():
                if _content(aside / path, md5) is None:
                    raise RuntimeError(f"{path} was not in the download")
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(aside / path, root / path)
        except (
            OSError,
            RuntimeError,
            EOFError,
            zlib.error,
            tarfile.TarError,
            http.client.HTTPException,
        ) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise DataError(
                f"cannot download {self.name} to {root} ({reason}); try again with a network, or copy "
                f"{', '.join(missing)} there"
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _content(path: Path, md5: str) -> bytes | None:
    """What the file, or else its ``.gz``, holds; None where neither exists. Raises DataError for others."""
    # os.path's exists says no where a folder may not be entered; Path's raises.
    present = [p for p in (path, path.with_name(path.name + ".gz")) if os.path.exists(p)]
    for candidate in present:
        content = _read(candidate)
        if content is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
            return content
    if present:
        named = " and ".join(map(str, present))
        raise DataError(f"{named}: {DAMAGED}")
    return None


def _read(path: Path) -> bytes | None:
    """The content, unpacked; None where it cannot be unpacked."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path} ({error.strerror}); make it a readable file, or delete it"
        ) from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None


@contextlib.contextmanager
def locked(path: Path, why: str, remedy: str) -> Iterator[None]:
    """Holds the lock file, whose folder is made. Raises DataError, with both texts, where that cannot be."""
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{why}, and {path.parent} cannot be written ({getattr(error, 'strerror', None) or error}); "
            f"choose another folder with {remedy}"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torchvision shows progress bars on stderr, which is not ours to fill."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _stall_timeout() -> Iterator[None]:
    """torchvision downloads without a timeout, so that a silent server would hang the sweep for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
