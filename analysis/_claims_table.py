"""The claims table: what each test found, after one correction for all of them, on the terminal and as numbers."""

from __future__ import annotations

import io
import math
import shutil
import sys
from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analysis import _cli, _frames, claims
from analysis.claims._finding import ALPHA, Finding, Judged

WIDTH = 150
"""Columns of the table where output is no terminal."""
LEAST = 110
"""Columns below which the table is not legible: a narrower terminal breaks the lines."""
_RATIOS = {
    "claim": None, "says": 5, "panel": 4, "part": 3, "test": 4, "effect [95 % interval]": 5, "n": 2, "p (Holm)": None,
    "verdict": 6,
}  # fmt: skip
"""The columns, and how the width is shared among those whose text is broken into lines."""


def absent(claim: str, reason: str = "") -> Finding:
    """What stands in the table for a claim whose experiment cannot be read: the ``reason``, or where there is none, the
    command that fills the experiment.
    """
    module = claims.find(claim)
    missing = reason or _cli.absent(module.SWEEP)
    return Finding(claim=claim, test=module.TEST, unit="", margin=math.nan, missing=missing)


def width() -> int:
    """Columns of the terminal, but at least as many as the table needs; WIDTH where it is piped."""
    return max(shutil.get_terminal_size().columns, LEAST) if sys.stdout.isatty() else WIDTH


def tabulate(judged: Sequence[Judged]) -> pd.DataFrame:
    """Every number of the table at full precision, a row for each finding."""
    columns = {
        "claim": [j.finding.claim for j in judged],
        "says": [claims.statement(j.finding.claim) for j in judged],
        **{
            name: [getattr(j.finding, name) for j in judged]
            for name in (
                "panel",
                "part",
                "test",
                "effect",
                "low",
                "high",
                "unit",
                "margin",
                "n",
                "units",
                "p",
            )
        },
        "seeds": pd.array([_seeds(j.finding) for j in judged], dtype="Int64"),
        "p_holm": [j.p_holm for j in judged],
        "verdict": [j.verdict for j in judged],
        "reason": [j.reason for j in judged],
        "more_runs": pd.array([j.more_runs for j in judged], dtype="Int64"),
        "detail": [j.finding.detail for j in judged],
    }
    return pd.DataFrame(columns)


def render(judged: Sequence[Judged], width: int = WIDTH) -> str:
    """The table as text without trailing blanks, its details below it, and what the correction covers.

    Claims whose experiment cannot be read share a line for each sweep.
    """
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, highlight=False)
    seen = [j for j in judged if j.finding.panel]
    if seen:
        console.print(_table(seen))
    for reason, claims_of in _absent(judged).items():
        console.print(Text(f"{', '.join(claims_of)}: {reason}"))
    for j in judged:
        if j.finding.detail:
            where = " · ".join(filter(None, (j.finding.claim, j.finding.panel, j.finding.part)))
            console.print(Padding(Text(f"{where}: {j.finding.detail}."), (0, 0, 0, 2)))
    console.print(Text(correction(judged)))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n") + "\n"


def correction(judged: Sequence[Judged]) -> str:
    """What a verdict of the table means, and how many tests were counted together."""
    tests = sum(math.isfinite(j.p_holm) for j in judged)
    return (
        f"Supported: p < {ALPHA:g} after Holm's correction for the {_frames.counted(tests, 'test')} of this "
        "table, and an effect as the claim says (positive). The tests are declared in analysis/claims/."
        if tests
        else "No claim could be tested. The tests are declared in analysis/claims/."
    )


def _absent(judged: Sequence[Judged]) -> dict[str, list[str]]:
    """The claims without any data, by what is missing."""
    found: dict[str, list[str]] = {}
    for j in judged:
        if not j.finding.panel:
            found.setdefault(j.reason, []).append(j.finding.claim)
    return found


def _table(judged: Sequence[Judged]) -> Table:
    """A row for each finding; columns that are empty in all rows are left out."""
    rows = [cells(j) for j in judged]
    for before, row in pairwise(rows):
        row["says"] = "" if row["claim"] == before["claim"] else row["says"]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, expand=True)
    shown = [name for name in _RATIOS if any(row[name] for row in rows)]
    for name in shown:
        table.add_column(name, overflow="fold", no_wrap=name == "claim", ratio=_RATIOS[name])
    for row in rows:
        table.add_row(*(Text(row[name]) for name in shown))
    return table


def cells(judged: Judged) -> dict[str, str]:
    """A finding's row of the table: text by column."""
    found = judged.finding
    interval = f"{found.effect:.2g} [{found.low:.2g}, {found.high:.2g}] {found.unit}"
    return {
        "claim": found.claim,
        "says": claims.statement(found.claim),
        "panel": found.panel,
        "part": found.part,
        "test": found.test,
        "effect [95 % interval]": interval if math.isfinite(found.effect) else "",
        "n": _counted(found),
        "p (Holm)": f"{judged.p_holm:.2g}" if math.isfinite(judged.p_holm) else "",
        "verdict": f"{judged.verdict} ({judged.reason})" if judged.reason else judged.verdict,
    }


def _counted(found: Finding) -> str:
    """``5 seeds``, ``20 trials, 5 seeds``, or nothing of none."""
    shared = f", {_frames.counted(found.seeds, 'seed')}" if found.seeds else ""
    return f"{_frames.counted(found.n, found.units)}{shared}" if found.n else ""


def _seeds(found: Finding) -> int | None:
    return found.n if found.units == "seed" else found.seeds
