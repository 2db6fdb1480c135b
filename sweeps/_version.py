"""Which code is running here: what driver and workers compare."""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path

import memory_study
from memory_study._fingerprint import fingerprint


@functools.cache
def running_code() -> str:
    """What driver and workers must agree on: the sources of both packages, and the version of torch."""
    sources = [fingerprint(Path(memory_study.__file__).parent), fingerprint(Path(__file__).parent)]
    return (
        f"code {'-'.join(digits[:8] for digits in sources)} with torch {importlib.metadata.version('torch')}"
    )
