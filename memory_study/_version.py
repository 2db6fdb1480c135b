"""Which version of the code ran: the git commit and whether the tree differed from it, else the package's version.

Standard library only.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

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
