"""Claim C16: dropping examples by their loss sensitivity beats dropping them by lot (new, after Arpit et al. 2017)

Declared before looking, but for a first look at one seed at one share, which is none of those that judge
(``sweeps/pruning.py``). Two parts per panel, for what the loss sensitivity is thought to be:

- *clean labels, lowest dropped*: examples that the loss hardly depends on can go.
- *labels drawn anew, highest dropped*: those that it depends on most are falsely labelled, and should go.
- Effect: test accuracy after the last epoch, in points, when the examples at that end of the loss sensitivity (total,
  1-norm) are dropped, less that when as many are dropped by lot: the difference of two trials of one seed, and of one
  share, mean over the shares. So no share is chosen. Smallest that would matter: half a point.
- Student's t over seeds, which share initial weights and false labels between the two trials (paired); interval of 95 %,
  p two-sided. The training examples are the same for all seeds, so this is about them.
- A diverged trial is left out and counted, and so is one whose first training diverged: it dropped by lot. At least 3 seeds.

Not tested, but told besides: the same effect of every other score, and of the other end; and how well each score tells
false labels from true ones (AUROC).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _frames, _pruning
from analysis._power import units_for_t
from analysis._statistics import Floats, t_test
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for

ID = "C16"
SWEEP = "pruning"
COLUMNS = (*_pruning.COLUMNS, "test_accuracy", "flipped_auroc")
CURVES: tuple[str, ...] = ()
TEST = "paired t of test accuracy"
SCORE = "loss_sensitivity"
MARGIN = 0.5
_BLANK = Finding(claim=ID, test=TEST, unit="points of test accuracy", margin=MARGIN)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and kind of data."""
    ways = _pruning.ways(_frames.with_columns(trials, COLUMNS))
    parts = ways[ways["share"] > 0].groupby(["panel", "data"])
    return [_finding(str(panel), str(data), rows) for (panel, data), rows in parts] or [
        replace(_BLANK, missing="no finished trials that drop examples")
    ]


def _finding(panel: str, data: str, rows: pd.DataFrame) -> Finding:
    end = "low" if data == _pruning.CLEAN else "high"
    gains = _gains(rows)
    of_seed = gains.get((SCORE, end), pd.Series(dtype=float)).to_numpy(dtype=np.float64)
    shared = replace(_BLANK, panel=panel, part=f"{data}, {_pruning.ENDS[end]} dropped", n=len(of_seed))
    compared = rows[rows["score"].isin([SCORE, _pruning.LOT]) & (rows["end"] == end)]
    missing, more = few_seeds(len(of_seed), len(compared))
    if not len(of_seed):
        missing = f"no seed with both {_frames.pretty(SCORE)} and chance"
    if missing:
        return replace(shared, missing=missing, more_runs=more)
    effect, low, high, p = t_test(of_seed)

    def more_runs(alpha: float) -> int | None:
        units = units_for_t(effect, float(of_seed.std(ddof=1)), alpha)
        return runs_for(units, len(of_seed), len(compared))

    others = [
        f"{_frames.pretty(score)} {_pruning.ENDS[which]} {_told(values.to_numpy(dtype=np.float64))}"
        for (score, which), values in gains.items()
        if (score, which) != (SCORE, end)
    ]
    return replace(
        shared, effect=effect, low=low, high=high, p=p, more_runs=more_runs,
        detail=_trials.sentence(f"besides: {', '.join(others)}", _aurocs(rows), _left_out(compared)),
    )  # fmt: skip


def _gains(rows: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """By score and end, points of test accuracy above dropping by lot, by seed: the mean over shares."""
    sound = rows[~rows["diverged"] & rows["test_accuracy"].notna()]
    wide = sound.pivot_table(index=["score", "end"], columns=["seed", "share"], values="test_accuracy")
    gains = {}
    for score, end in wide.index:
        if score != _pruning.LOT and (_pruning.LOT, end) in wide.index:
            points = 100 * (wide.loc[(score, end)] - wide.loc[(_pruning.LOT, end)])
            gains[str(score), str(end)] = points.dropna().groupby(level="seed").mean()
    return gains


def _left_out(rows: pd.DataFrame) -> str:
    """``2 diverged trials left out, 1 of them without scores``, or nothing."""
    unscored = int(rows["unscored"].sum())
    return _trials.left_out(rows) + (f", {unscored} of them without scores" if unscored else "")


def _told(values: Floats) -> str:
    effect, low, high, _ = t_test(values)
    return f"{effect:+.1f}" if np.isnan(low) else f"{effect:+.1f} [{low:.1f}, {high:.1f}]"


def _aurocs(rows: pd.DataFrame) -> str:
    means = rows.groupby("score")["flipped_auroc"].mean().dropna()
    shown = ", ".join(f"{_frames.pretty(str(score))} {mean:.3f}" for score, mean in means.items())
    return f"AUROC for false labels: {shown}" if shown else ""
