"""What claims C7 and C8 share: how a factor's effect on the time to converge changes with the level of noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis import _frames, _noise
from analysis._censored import SPARE, censored_log_normal
from analysis._power import units_for_t
from analysis._statistics import Floats, t_test
from analysis.claims import _trials
from analysis.claims._finding import SEEDS_NEEDED, Finding, few_seeds, no_number, runs_for

COLUMNS = (*_noise.COLUMNS, "convergence_epoch")
VARIED = ("width", "train_size")


@dataclass(frozen=True, slots=True)
class Question:
    """Which interaction with the noise level a claim is about; ``sign`` is that which the claim says."""

    varied: str
    fixed: str
    sign: int
    blank: Finding


def findings(trials: pd.DataFrame, question: Question) -> list[Finding]:
    """One for each panel and kind of noise."""
    return [
        _finding(panel, kind, rows, question)
        for panel, kind, rows in _trials.by_kind(trials, COLUMNS, VARIED)
    ] or [replace(question.blank, missing="no finished trials")]


def _finding(panel: str, kind: str, rows: pd.DataFrame, question: Question) -> Finding:
    rows = _noise.fixed_at(rows, question.varied, question.fixed)
    timed = rows[~rows["diverged"] & rows["convergence_epoch"].gt(0) & rows["converged"].notna()]
    seeds = timed["seed"].nunique()
    found = [interaction(group, question.varied) for _, group in timed.groupby("seed")]
    values = question.sign * np.array([value for value in found if value is not None])
    censored = int(timed["converged"].eq(0).sum())
    detail = _trials.sentence(
        f"{censored} of {_frames.counted(len(timed), 'trial')} had not converged at the end",
        f"too few converged for an estimate in {_frames.counted(seeds - len(values), 'seed')}"
        if len(values) < seeds
        else "",
        _trials.left_out(rows),
    )
    missing, more = few_seeds(seeds, len(rows))
    shared = replace(question.blank, panel=panel, part=kind, n=len(values), detail=detail)
    if not missing and (short := _short(timed, question)):
        missing, more = short, no_number
    elif not missing and len(values) < SEEDS_NEEDED:
        missing = f"too few trials converged in all but {_frames.counted(len(values), 'seed')}: train longer"
        more = no_number
    if missing:
        return replace(shared, missing=missing, more_runs=more)
    effect, low, high, p = t_test(values)
    spread = float(values.std(ddof=1))
    return replace(
        shared, effect=effect, low=low, high=high, p=p,
        more_runs=lambda alpha: runs_for(units_for_t(effect, spread, alpha), len(values), len(rows)),
    )  # fmt: skip


def _short(timed: pd.DataFrame, question: Question) -> str:
    """What there is of the two factors, if a full grid of it has too few trials of a seed for the regression."""
    values, levels = timed[question.varied].nunique(), timed["level"].nunique()
    name = question.varied.replace("_", " ")
    counts = f"{_frames.counted(values, name)}, {_frames.counted(levels, 'level')}"
    return f"{counts}; needs 3 of each" if values * levels < values + levels + SPARE else ""


def interaction(rows: pd.DataFrame, varied: str) -> float | None:
    """By how many doublings of the epochs a doubling of ``varied`` has more effect at level 1 than at level 0.

    Censored log-normal regression of one seed's trials, with an indicator for each level and each value of
    ``varied``; None where too few trials converged. A level or value at which none did is left out: its own
    indicator explains it whatever the rest, so that the likelihood of the rest is the same without it.
    """
    for factor in ("level", varied):
        rows = rows[rows["converged"].gt(0).groupby(rows[factor]).transform("any")]
    if rows.empty:
        return None
    doublings = np.log2(rows[varied].to_numpy(dtype=np.float64))
    doublings = doublings - doublings.mean()
    level = rows["level"].to_numpy(dtype=np.float64)
    design = np.column_stack([_indicators(level), _indicators(doublings)[:, 1:], doublings * level])
    times: Floats = np.log2(rows["convergence_epoch"].to_numpy(dtype=np.float64))
    fit = censored_log_normal(design, times, rows["converged"].to_numpy(dtype=np.float64) > 0)
    return float(fit[-1]) if fit is not None and math.isfinite(fit[-1]) else None


def _indicators(values: Floats) -> Floats:
    """A column for each distinct value [run, distinct]: 1 where a run has it."""
    return np.asarray(values[:, None] == np.unique(values), dtype=np.float64)
