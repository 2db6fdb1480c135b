"""What a claim's test found, and what follows from it once all tests of a table are counted together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from statsmodels.stats.multitest import multipletests

from analysis import _frames

ALPHA = 0.05
"""Chance, at most, that any claim of a table is called supported where none is true."""
SEEDS_NEEDED = 3
"""Two seeds may agree by chance, and their spread is not known to a factor of thirty."""
Verdict = Literal["supported here", "not supported here", "not enough data"]
Runs = Callable[[float], int | None]
NAN = float("nan")


def no_number(alpha: float) -> None:
    """For a finding that no further run of the same kind would decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One test of a claim, on one panel and part (such as a kind of noise).

    ``effect`` with its 95 % interval ``low`` to ``high`` and the ``margin``, the smallest effect that would
    matter, are in ``unit``; positive is as the claim says. ``n`` ``units``; of trials, also how many ``seeds`` they share,
    because those of one seed are not independent. ``p`` is two-sided, NaN where nothing was tested: then ``missing``
    says why. ``against``: why the claim fails whatever p is;
    ``undecided``: why it stays open whatever p is. ``more_runs``: how many further runs it would take at the
    observed effect and spread to bring p below a level, None where no number would. ``detail``: what else a
    reader should know.
    """

    claim: str
    test: str
    panel: str = ""
    part: str = ""
    effect: float = NAN
    low: float = NAN
    high: float = NAN
    unit: str
    margin: float
    n: int = 0
    units: str = "seed"
    seeds: int | None = None
    p: float = NAN
    missing: str = ""
    against: str = ""
    undecided: str = ""
    more_runs: Runs = no_number
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding's ``verdict``, the ``reason`` in a few words, p after Holm's correction, and the runs it takes."""

    finding: Finding
    p_holm: float
    verdict: Verdict
    reason: str
    more_runs: int | None


def judge(findings: Sequence[Finding]) -> list[Judged]:
    """The verdicts, with the p of all findings corrected together by Holm's method."""
    p = np.array([finding.p for finding in findings], dtype=float)
    tested = np.isfinite(p)
    corrected, levels = np.full(len(p), NAN), np.full(len(p), ALPHA)
    if tested.any():
        corrected[tested] = multipletests(p[tested], method="holm")[1]
        # Not ALPHA * p / corrected: a corrected p is at most 1 and at least that of any smaller p.
        rank = np.argsort(np.argsort(p[tested], kind="stable"))
        levels[tested] = ALPHA / (tested.sum() - rank)
    return [
        _judged(finding, float(q), float(level))
        for finding, q, level in zip(findings, corrected, levels, strict=True)
    ]


def _judged(finding: Finding, p_holm: float, level: float) -> Judged:
    """In this order: nothing tested, against, open for a reason of its own, surely not so, shown, not shown yet.

    An effect that is there beyond chance and surely too small to matter is not support. ``level``: what Holm's
    method asks of this p, as one of all that are tested.
    """
    more = finding.more_runs(level)
    takes = f"about {_frames.counted(more, 'more run')}" if more else ""
    verdict: Verdict = "not enough data"
    if finding.missing or math.isnan(finding.p):
        reason = _joined(finding.missing or "nothing to test", takes)
    elif finding.against:
        verdict, reason = "not supported here", finding.against
    elif finding.undecided:
        reason = _joined(finding.undecided, takes)
    elif finding.high < finding.margin:
        surely = "the other way" if finding.high < 0 else f"below {finding.margin:.2g}"
        verdict, reason = "not supported here", f"surely {surely}"
    elif p_holm < ALPHA and finding.effect > 0:
        verdict, reason, more = "supported here", "", 0
    else:
        reason = takes or "no number of runs at this effect"
    return Judged(finding, p_holm, verdict, reason, more)


def _joined(reason: str, takes: str) -> str:
    return f"{reason}: {takes}" if takes else reason


def runs_for(units_needed: int | None, units: int, runs: int) -> int | None:
    """Further runs for that many independent units, where ``units`` took ``runs`` runs. At least one unit more."""
    if units_needed is None or units == 0:
        return None
    return math.ceil(max(units_needed - units, 1) * runs / units)


def few_seeds(seeds: int, runs: int, needed: int = SEEDS_NEEDED) -> tuple[str, Runs]:
    """What is missing where there are fewer seeds than needed, "" if nothing, and how many runs that is."""
    if seeds >= needed:
        return "", no_number
    return f"{_frames.counted(seeds, 'seed')}, needs {needed}", lambda alpha: runs_for(needed, seeds, runs)
