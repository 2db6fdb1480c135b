"""Things of one kind, a file for each: found by the name of the file. Listing them imports none of them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any


@functools.cache
def names(package: str, *others: str) -> tuple[str, ...]:
    """The plain files of an imported package but ``others``, in alphabetical order. Looked for once in a process."""
    files = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return tuple(sorted(f.name for f in files if not f.name.startswith("_") and f.name not in others))


def find(package: str, what: str, name: str, known: tuple[str, ...]) -> Any:
    """What the file ``name`` of a package holds under the name of its kind, ``what``, in capital letters.

    Raises ValueError, with the list, for a name that is not ``known``.
    """
    if name not in known:
        raise ValueError(f"{what} {name!r} is not known; choose from {', '.join(known)}")
    return getattr(importlib.import_module(f"{package}.{name}"), what.upper())
