"""Which version of the code ran: the git commit and whether the tree differed from it, else the package's
version.
"""

from __future__ import annotations

import functools
import importlib.metadata
import subprocess
from pathlib import Path

import memory_study
from memory_study._fingerprint import fingerprint


def code_version() -> tuple[str, bool]:
    """The commit of the checkout that this file is tracked in and whether its tree is dirty, else (version,
    False).
    """
    here = Path(__file__)
    # An installed copy may lie inside somebody else's checkout: only a tracked file speaks for its
    # repository.
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return _package_version(), False
    commit = _git(here.parent, "rev-parse", "HEAD")
    changes = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return (commit, bool(changes)) if commit else (_package_version(), False)


@functools.cache
def running_code() -> str:
    """What driver and workers must agree on: the sources of both packages, and the version of torch."""
    sources = [fingerprint(Path(memory_study.__file__).parent), fingerprint(Path(__file__).parent)]
    return (
        f"code {'-'.join(digits[:8] for digits in sources)} with torch {importlib.metadata.version('torch')}"
    )


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _package_version() -> str:
    """With the fingerprint, because one version of the package has many states of its sources."""
    try:
        return f"{importlib.metadata.version('memory-study')} {fingerprint()}"
    except importlib.metadata.PackageNotFoundError:
        return f"unknown {fingerprint()}"
