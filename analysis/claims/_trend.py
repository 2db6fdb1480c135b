"""The trend of a metric over the levels of noise, as claims of the form "higher for noisier data" test it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from analysis import _frames
from analysis._power import units_by_scaling
from analysis._statistics import bootstrap_t, order_by_resample, resampled_counts
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for


def trend(
    blank: Finding, rows: pd.DataFrame, metric: str, name: str, percent: bool, note: str = ""
) -> Finding:
    """Jonckheere and Terpstra's trend of ``metric`` over ``level``, of the trials in ``rows``: ``blank``, filled.

    Effect: Somers' D. Interval: Student's t over seeds with the spread of the bootstrap of seeds. p: two-sided, the larger
    of the trend's, which takes all trials for independent, and of Student's t, which takes only seeds for it. Diverged
    trials, and those without the metric, are left out. ``name``: what the metric is called, as a ``percent`` or a number;
    ``note``: what else to say of it.
    """
    sound = rows[~rows["diverged"] & rows[metric].notna()]
    names = np.sort(sound["seed"].unique())
    missing, more = few_seeds(len(names), len(rows))
    shared = replace(blank, n=len(names))
    if sound["level"].nunique() < 2:
        return replace(
            shared, missing=f"{name} at {_frames.counted(sound['level'].nunique(), 'level')}, needs 2"
        )
    if missing:
        return replace(shared, missing=missing, more_runs=more)
    level, value = (sound[column].to_numpy(dtype=np.float64) for column in ("level", metric))
    if np.ptp(value) == 0:
        return replace(shared, missing=f"all {name} are equal")
    places = np.searchsorted(names, sound["seed"])
    effect = float(order_by_resample(level, value, places, np.ones((1, len(names))))[0])
    drawn = order_by_resample(level, value, places, resampled_counts(len(names), f"{blank.claim} bootstrap"))
    _, low, high, p = bootstrap_t(effect, drawn, len(names))
    p = max(p, float(kendalltau(level, value).pvalue))
    means = sound.groupby("level")[metric].mean()
    shown = {at: f"{100 * mean:.2g} %" if percent else f"{mean:.3g}" for at, mean in means.items()}
    detail = ", ".join(f"{mean} at {at:g}" for at, mean in shown.items())
    return replace(
        shared, effect=effect, low=max(low, -1.0), high=min(high, 1.0), p=p,
        detail=_trials.sentence(f"mean {name} by level: {detail}", note, _trials.left_out(rows)),
        more_runs=lambda alpha: runs_for(units_by_scaling(len(names), effect, p, alpha), len(names), len(rows)),
    )  # fmt: skip
