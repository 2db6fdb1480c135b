"""Reading files that runs keep beside a database: folders are read here, anything else by MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from analysis._store import StoreError

READS_AT_ONCE = 8
"""From an object store: most of a read is waiting."""


def read_all(uris: Sequence[str], read: Callable[[str], bytes]) -> list[bytes]:
    """The contents of these files, in their order, several at a time."""
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        return list(pool.map(read, uris))


def read(uri: str) -> bytes:
    """The content of a file. Raises StoreError where it cannot be had."""
    try:
        scheme, _, path, *_ = urlsplit(uri)
        return Path(url2pathname(path)).read_bytes() if scheme in ("", "file") else _download(uri)
    except Exception as error:
        raise StoreError(
            f"artifact {uri} cannot be read ({reason(error)}); check that it is there and that you may read it, "
            "or read the store through its MLflow server"
        ) from error


def reason(error: Exception) -> str:
    """The first line of what an error says, as far as it fits, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _download(uri: str) -> bytes:
    from mlflow.artifacts import download_artifacts  # takes seconds to import

    with tempfile.TemporaryDirectory() as folder:
        return Path(download_artifacts(artifact_uri=uri, dst_path=folder)).read_bytes()
