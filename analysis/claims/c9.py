"""Claim C9: convergence is slower on random labels but faster on random inputs (Krueger et al. 2017)

Declared before looking:

- Two parts, each per panel: random labels (randY slower) and random inputs (randX faster). Arpit et al. 2017 say
  slower for both; where random inputs are surely slower, this claim fails and theirs holds.
- Compared: real data and the highest level of the kind that there is, all widths and training set sizes. Time is
  the convergence epoch, right-censored at the last epoch trained. A diverged trial is left out and counted.
- p: two-sided log-rank test, stratified by cell (width and training set size). Its trials count as independent; a
  seed gives both sides of a comparison the same initial weights, which makes p too large rather than too small.
- Effect: log2 of the ratio of epochs, noise to real (randX: real to noise), mean over the cells of a seed, then
  over seeds, with Student's interval over seeds. A censored time counts as the last epoch trained, so it is a
  ratio of times up to the cap, which needs no assumption about the rest. Its sign is the test's direction.
  Smallest that would matter: a tenth of the epochs.
- At least 3 seeds.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _frames, _noise
from analysis._censored import log_rank_p
from analysis._power import units_by_scaling
from analysis._statistics import t_test
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for

ID = "C9"
SWEEP = "capacity"
COLUMNS = (*_noise.COLUMNS, "convergence_epoch")
CURVES: tuple[str, ...] = ()
TEST = "log-rank, stratified"
MARGIN = math.log2(1.1)
SAYS = {"randX": "faster", "randY": "slower"}
_CELL = ["width", "train_size"]
_BLANK = Finding(claim=ID, test=TEST, unit="log2 ratio of epochs", margin=MARGIN, units="trial")


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
        return replace(_BLANK, panel=panel, part=part, n=len(timed), missing=missing)
    p = log_rank_p(
        timed["convergence_epoch"].to_numpy(dtype=np.float64),
        timed["converged"].to_numpy(dtype=np.float64) > 0,
        timed["level"].to_numpy(dtype=np.float64) > 0,
        pd.factorize(pd.MultiIndex.from_frame(timed[_CELL]))[0],
    )
    shared = replace(_BLANK, panel=panel, part=part, n=len(timed))
    if missing or math.isnan(p):
        missing = missing or "no trial converged: train longer"
        return replace(shared, missing=missing, more_runs=more)
    effect, low, high, _ = t_test(ratios.to_numpy() * (1 if kind == "randY" else -1))
    return replace(
        shared, effect=effect, low=low, high=high, p=p, detail=_detail(kind, highest, high, ratios, timed, rows),
        more_runs=lambda alpha: runs_for(units_by_scaling(len(timed), effect, p, alpha), len(timed), len(rows)),
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
        f"{kind} at level {highest:g} takes {ratio:.2f} times the epochs of real data, over "
        f"{_frames.counted(len(ratios), 'seed')}"
        + (" (surely slower, as Arpit et al. have it)" if kind == "randX" and high < 0 else ""),
        f"{censored.get(False, 0)} real and {censored.get(True, 0)} noisy trials had not converged at the end",
        _trials.left_out(rows),
    )
