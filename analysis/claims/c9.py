"""Claim C9: convergence is slower on random labels but faster on random inputs (Krueger et al. 2017)

Declared before looking:

- Two parts, each per panel: random labels (randY slower) and random inputs (randX faster). Arpit et al. 2017 say
  slower for both; where random inputs are surely slower, this claim fails and theirs holds.
- Compared: real data and the highest level of the kind that there is, all widths and training set sizes. Time is
  the convergence epoch, right-censored at the last epoch trained. A diverged trial is left out and counted.
- Effect: log2 of the ratio of epochs, noise to real (randX: real to noise), mean over the cells (width and training
  set size) of a seed, then over seeds, with Student's interval over seeds. A censored time counts as the last epoch
  trained, so it is a ratio of times up to the cap, which needs no assumption about the rest. Smallest that would
  matter: a tenth of the epochs.
- p: two-sided, the larger of two. One is that of the log-rank test, stratified by cell, which weighs no time by its
  size but takes all trials for independent. The cells of one seed are not: they share false labels or noise. The
  other is that of Student's t over seeds, on the effect, which takes only seeds for independent.
- The log-rank test's direction is that of the observed less the expected convergences on noise. Where it is not
  the effect's, the cells disagree (a few that are far slower outweigh many that are a little faster): not decided.
- At least 3 seeds.
- Corrected after a review of the first laptop runs: p was that of the log-rank test alone, with the effect's sign.
  In simulations without an effect, where a seed shifts the noisy side of all its cells, it was below .05 in 9 to
  28 %, and its direction could be the opposite of the sign.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _frames, _noise
from analysis._censored import log_rank
from analysis._power import units_by_scaling, units_for_t
from analysis._statistics import t_test
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for

ID = "C9"
SWEEP = "capacity"
COLUMNS = (*_noise.COLUMNS, "convergence_epoch")
CURVES: tuple[str, ...] = ()
TEST = "log-rank, and t over seeds"
MARGIN = math.log2(1.1)
SAYS = {"randX": "faster", "randY": "slower"}
_SIGN = {"randX": -1, "randY": 1}
_CELL = ["width", "train_size"]
_BLANK = Finding(claim=ID, test=TEST, unit="log2 ratio of epochs", margin=MARGIN)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and kind of noise."""
    return [
        _finding(panel, kind, rows) for panel, kind, rows in _trials.by_kind(trials, COLUMNS, tuple(_CELL))
    ] or [replace(_BLANK, missing="no finished trials")]


def _finding(panel: str, kind: str, rows: pd.DataFrame) -> Finding:
    highest = rows["level"].max()
    rows = rows[rows["level"].isin((0, highest))]
    timed = rows[~rows["diverged"] & rows["convergence_epoch"].gt(0) & rows["converged"].notna()]
    ratios = _log_ratios(timed)
    missing, more = few_seeds(len(ratios), len(rows))
    part = f"{kind} {SAYS[kind]}"
    if highest == 0 or (timed["level"] == 0).all() or (timed["level"] > 0).all():
        missing = f"no trials to compare on {'real data' if highest else kind}"
        return replace(_BLANK, panel=panel, part=part, n=len(ratios), missing=missing)
    ranked = log_rank(
        timed["convergence_epoch"].to_numpy(dtype=np.float64),
        timed["converged"].to_numpy(dtype=np.float64) > 0,
        timed["level"].to_numpy(dtype=np.float64) > 0,
        pd.factorize(pd.MultiIndex.from_frame(timed[_CELL]))[0],
    )
    shared = replace(_BLANK, panel=panel, part=part, n=len(ratios))
    if missing or math.isnan(ranked.p):
        missing = missing or "no trial converged: train longer"
        return replace(shared, missing=missing, more_runs=more)
    values = _SIGN[kind] * ratios.to_numpy()
    effect, low, high, p = t_test(values)

    def more_runs(alpha: float) -> int | None:
        seeds = units_for_t(effect, float(values.std(ddof=1)), alpha)
        trials = units_by_scaling(len(timed), effect, ranked.p, alpha)
        if seeds is None or trials is None:
            return None
        needed = max(seeds, math.ceil(trials * len(values) / len(timed)))
        return runs_for(needed, len(values), len(rows))

    disagree = -_SIGN[kind] * ranked.excess * effect < 0
    return replace(
        shared, effect=effect, low=low, high=high, p=max(p, ranked.p), more_runs=more_runs,
        undecided="widths or sizes disagree: ranks and mean ratio point in opposite directions" if disagree else "",
        detail=_detail(kind, highest, high, ratios, timed, rows),
    )  # fmt: skip


def _log_ratios(timed: pd.DataFrame) -> pd.Series:
    """By seed: mean over cells of log2(epochs on noise / epochs on real data), of the cells that have both."""
    times = timed.assign(noisy=timed["level"] > 0, time=np.log2(timed["convergence_epoch"]))
    table = times.pivot(index=[*_CELL, "seed"], columns="noisy", values="time")
    table = table.reindex(columns=[False, True]).dropna()
    return (table[True] - table[False]).groupby(level="seed").mean()


def _detail(
    kind: str, highest: float, high: float, ratios: pd.Series, timed: pd.DataFrame, rows: pd.DataFrame
) -> str:
    ratio = 2 ** ratios.mean()
    censored = timed[timed["converged"] == 0].groupby(timed["level"] > 0).size()
    return _trials.sentence(
        f"{kind} at level {highest:g} takes {ratio:.2f} times the epochs of real data, in "
        f"{_frames.counted(len(timed), 'trial')}"
        + (" (surely slower, as Arpit et al. have it)" if kind == "randX" and high < 0 else ""),
        f"{censored.get(False, 0)} real and {censored.get(True, 0)} noisy trials had not converged at the end",
        _trials.left_out(rows),
    )
