"""What one command made, on its way to the terminal, the store and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from analysis.claims._finding import Finding, Judged


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure that was drawn, from so many ``trials``: what it shows in a few words, and its files."""

    name: str
    description: str
    trials: int
    png: Path
    svg: Path
    numbers: Path


@dataclass(frozen=True, slots=True)
class Source:
    """An experiment as a report names it: its ``trials`` (see :class:`analysis._frames.Frames`), and its runs that
    ``failed`` (see :meth:`analysis._store.Store.failed`).
    """

    experiment: str
    trials: pd.DataFrame
    failed: pd.DataFrame


@dataclass(slots=True)
class Made:
    """Everything made: files to log by experiment id, figures, why others are left out, findings and verdicts.

    ``unread`` says of each experiment that could not be read what to do; ``sources`` is filled only where a report is asked
    for.
    """

    files: dict[str, list[Path]] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
