"""Claims of the papers, one file each; a new file is found by its name. Listing them imports none.

A file ``c<number>.py`` declares its test in its docstring, before data are looked at: the statistic, the
independent unit, the interval, the smallest effect that would matter, what decides. The docstring's first line
is ``Claim C<number>: <what it says> (<source>)``. It holds the names of :class:`Claim`.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import pandas as pd

    from analysis.claims._finding import Finding


class Claim(Protocol):
    """What the module of a claim holds. ``findings`` works on tables without rows."""

    ID: str
    """Its name in the table, such as ``C6``, which in lower case is the file's."""
    SWEEP: str
    """The sweep that fills it: ``python -m sweeps.<SWEEP>``, and the default experiment."""
    COLUMNS: tuple[str, ...]
    """Columns of ``trials`` that it needs."""
    CURVES: tuple[str, ...]
    """Metrics of which it needs the whole history."""
    TEST: str
    """The test in a few words."""

    def findings(self, trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
        """One for each panel and part; at least one, which says what is missing."""


def ids() -> tuple[str, ...]:
    """The claims there are, in order of their numbers."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(
        name.upper() for name in sorted((n for n in found if not n.startswith("_")), key=lambda n: int(n[1:]))
    )


def find(claim: str) -> Claim:
    """The claim of that id. Raises ValueError, listing the known ones, for any other."""
    if claim not in ids():
        raise ValueError(f"claim {claim!r} is not known; choose from {', '.join(ids())}")
    return cast(Claim, importlib.import_module(f"{__name__}.{claim.lower()}"))


def statement(claim: str) -> str:
    """What a claim says: the first line of its docstring, read without importing it, and without its source."""
    text = (Path(__file__).parent / f"{claim.lower()}.py").read_text(encoding="utf-8")
    first = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return first.removeprefix(f"Claim {claim}: ").rpartition(" (")[0]
