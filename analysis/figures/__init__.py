"""Figures, one file each; a new file is found by its name. Listing them imports none.

A file ``<figure>.py`` has a docstring whose first line is the question that the figure answers, and the names
of :class:`Figure`. Numbers are made in ``tabulate``, ink in ``draw``; claims are judged in :mod:`analysis.claims`.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas


class Figure(Protocol):
    """What the module of a figure holds. All of it works on tables without rows.

    One that draws trials of other experiments, too, where they are in the store, names them in ``BESIDE``; its ``tabulate``
    tells them by the column ``sweep``, or by what its own trials have.
    """

    SWEEP: str
    """The sweep that fills it: ``python -m sweeps.<SWEEP>``, and the default experiment."""
    COLUMNS: tuple[str, ...]
    """Columns of ``trials`` that it needs."""
    CURVES: tuple[str, ...]
    """Metrics of which it needs the whole history."""
    CLAIMS: tuple[str, ...]
    """Ids of the claims that it shows, such as ``("C12",)``."""

    def tabulate(self, trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
        """Every number that is drawn."""

    def draw(self, table: pd.DataFrame) -> Canvas:
        """The picture of a table that ``tabulate`` made."""

    def describe(self, table: pd.DataFrame) -> str:
        """What was drawn, in a few words."""


def names() -> tuple[str, ...]:
    """The figures there are."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def find(name: str) -> Figure:
    """The figure of that name. Raises ValueError, listing the known ones, for any other."""
    if name not in names():
        raise ValueError(f"figure {name!r} is not known; choose from {', '.join(names())}")
    return cast(Figure, importlib.import_module(f"{__name__}.{name}"))


def question(name: str) -> str:
    """The question that a figure answers: the first line of its docstring, read without importing it."""
    text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
