"""Curves through training as means over seeds."""

from __future__ import annotations

import pandas as pd

from analysis import _frames, _noise, _over_seeds


def by_epoch(curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric as [trial, epoch], from epoch 1.

    A trial that stopped at convergence keeps its last value as long as any other goes on; between the epochs
    measured the line is straight; before the first there is nothing (NaN).
    """
    points = curves[(curves["metric"] == metric) & (curves["epoch"] >= 1)].astype({"trial": str})
    wide = points.pivot(index="trial", columns="epoch", values="value").astype(float)
    if wide.isna().to_numpy().any():
        wide = wide.T.interpolate(method="index", limit_area="inside").ffill().T
    return wide


def means_by_epoch(trials: pd.DataFrame, curves: pd.DataFrame, metrics: tuple[str, ...]) -> pd.DataFrame:
    """By setting (see :mod:`analysis._noise`) and epoch: the means of the metrics with intervals and seeds.

    A line ends with the last trial of its setting. A setting in which a trial diverged has one row, without
    an epoch; ``diverged`` and ``censored`` count the trials of each setting.
    """
    table = _noise.counts(trials, _noise.KEY)
    kept = trials[_noise.sound(trials, _noise.KEY)]
    if len(kept):
        lines = [_means(kept, curves[curves["metric"] == metric], metric) for metric in metrics]
        table = table.join(pd.concat(lines, axis=1).reset_index("epoch"))
    numbers = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high", "_seeds")]
    columns = [*_noise.KEY, "epoch", *numbers, "diverged", "censored"]
    whole = {name: "Int64" for name in columns if name == "epoch" or name.endswith("_seeds")}
    table = table.reset_index().reindex(columns=columns).astype(whole)
    return table.sort_values([*_noise.KEY, "epoch"]).reset_index(drop=True)


def _means(trials: pd.DataFrame, points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """By setting and epoch, of sound trials and the points of one metric."""
    of_settings = [
        _long(rows, points[points["trial"].isin(rows.index)], metric)
        for _, rows in trials.groupby(_noise.KEY)
    ]
    return _over_seeds.means(pd.concat(of_settings), [*_noise.KEY, "epoch"], metric)


def _long(trials: pd.DataFrame, curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per trial of one setting and epoch, with the setting's key."""
    wide = by_epoch(curves, metric)
    long = wide.rename_axis(index="trial").reset_index().melt("trial", var_name="epoch", value_name=metric)
    return long.dropna().join(trials[[*_noise.KEY, "seed"]], on="trial")


def seeds(table: pd.DataFrame, metrics: tuple[str, ...]) -> str:
    """How many seeds are behind the means of a table, and their interval: see :func:`analysis._frames.seed_range`."""
    counts = pd.concat([table[f"{metric}_seeds"] for metric in metrics]).dropna()
    return _frames.seed_range(counts[counts > 0])
