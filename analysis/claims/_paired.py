"""Real data against noise, seed by seed, as claims of the form "more so in real data" test it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _noise
from analysis._power import units_for_t
from analysis._statistics import t_test
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for


def real_minus_noise(blank: Finding, rows: pd.DataFrame, kind: str, metric: str) -> Finding:
    """Mean over seeds of ``metric`` on real data less that on noise of level 1, with Student's interval and p: ``blank``,
    filled.

    ``rows``: trials of one panel with ``level`` and boolean ``diverged``. Diverged trials, and those without the metric,
    are left out with their seeds, and counted.
    """
    rows = rows[rows["level"].isin((0, 1))]
    sound = rows[~rows["diverged"] & rows[metric].notna()]
    table = sound.pivot_table(index="seed", columns="level", values=metric).reindex(columns=[0, 1])
    pairs = table.dropna()
    missing, more = few_seeds(len(pairs), len(rows))
    shared = replace(blank, n=len(pairs))
    if table[[0, 1]].notna().any().sum() < 2:
        lacking = "real data" if table[0].isna().all() else f"100 % {_noise.KINDS[kind]}"
        return replace(shared, missing=f"no trials to compare on {lacking}")
    if missing:
        return replace(shared, missing=missing, more_runs=more)
    differences = (pairs[0] - pairs[1]).to_numpy(dtype=np.float64)
    effect, low, high, p = t_test(differences)
    spread = float(differences.std(ddof=1))
    lost = len(rows) - len(sound) - int(rows["diverged"].sum())
    return replace(
        shared, effect=effect, low=low, high=high, p=p,
        more_runs=lambda alpha: runs_for(units_for_t(effect, spread, alpha), len(pairs), len(rows)),
        detail=_trials.sentence(
            f"{pairs[0].mean():.3f} on real data, {pairs[1].mean():.3f} on {_noise.KINDS[kind]}",
            f"larger on real data in {int((differences > 0).sum())} of {len(pairs)} seeds",
            f"{lost} without a finite value left out" if lost else "",
            _trials.left_out(rows),
        ),
    )  # fmt: skip
