"""The claims table: what each test found, after one correction for all of them, on the terminal and as numbers."""

from __future__ import annotations

import io
import math
import shutil
import sys
from collections.abc import Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analysis import _frames, claims
from analysis.claims._finding import ALPHA, Finding, Judged

WIDTH = 150
"""Columns of the table where output is no terminal."""
LEAST = 110
"""Columns below which the table is not legible: a narrower terminal breaks the lines."""
_HEADS = ("claim", "says", "panel", "part", "test", "effect [95 % interval]", "n", "p (Holm)", "verdict")


def absent(claim: str) -> Finding:
    """What stands in the table for a claim whose experiment is not in the store: the command that fills it."""
    module = claims.find(claim)
    missing = f"no experiment {module.SWEEP!r}; fill it with: python -m sweeps.{module.SWEEP}"
    return Finding(claim=claim, test=module.TEST, unit="", margin=math.nan, missing=missing)


def width() -> int:
    """Columns of the terminal, but at least as many as the table needs; the usual ones where output is piped."""
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
        "p_holm": [j.p_holm for j in judged],
        "verdict": [j.verdict for j in judged],
        "reason": [j.reason for j in judged],
        "more_runs": pd.array([j.more_runs for j in judged], dtype="Int64"),
        "detail": [j.finding.detail for j in judged],
    }
    return pd.DataFrame(columns)


def render(judged: Sequence[Judged], width: int = WIDTH) -> str:
    """The table as text without trailing blanks, its details below it, and what the correction covers."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, highlight=False)
    console.print(_table(judged))
    for j in judged:
        if j.finding.detail:
            where = " · ".join(filter(None, (j.finding.claim, j.finding.panel, j.finding.part)))
            console.print(Padding(Text(f"{where}: {j.finding.detail}."), (0, 0, 0, 2)))
    tests = sum(math.isfinite(j.p_holm) for j in judged)
    console.print(
        f"Supported: p < {ALPHA:g} after Holm's correction for the {_frames.counted(tests, 'test')} of this "
        "table, and an effect as the claim says (positive). The tests are declared in analysis/claims/."
        if tests
        else "No claim could be tested. The tests are declared in analysis/claims/."
    )
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n") + "\n"


def _table(judged: Sequence[Judged]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    shown = [name for name in _HEADS if name != "part" or any(j.finding.part for j in judged)]
    for name in shown:
        table.add_column(name, overflow="fold", no_wrap=name == "claim", ratio=_RATIOS.get(name))
    before = ""
    for j in judged:
        cells = {
            "claim": j.finding.claim,
            "says": claims.statement(j.finding.claim) if j.finding.claim != before else "",
            "panel": j.finding.panel,
            "part": j.finding.part,
            "test": j.finding.test,
            "effect [95 % interval]": _effect(j),
            "n": _frames.counted(j.finding.n, j.finding.units) if j.finding.n else "",
            "p (Holm)": f"{j.p_holm:.2g}" if math.isfinite(j.p_holm) else "",
            "verdict": f"{j.verdict} ({j.reason})" if j.reason else j.verdict,
        }
        table.add_row(*(Text(cells[name]) for name in shown), end_section=False)
        before = j.finding.claim
    table.expand = True
    return table


_RATIOS = {"says": 5, "panel": 4, "part": 3, "test": 4, "effect [95 % interval]": 5, "n": 2, "verdict": 6}


def _effect(judged: Judged) -> str:
    found = judged.finding
    if not math.isfinite(found.effect):
        return ""
    return f"{found.effect:.2g} [{found.low:.2g}, {found.high:.2g}] {found.unit}"
