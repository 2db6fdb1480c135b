"""Curves through training as means over seeds."""

from __future__ import annotations

import pandas as pd

from analysis import _frames, _noise


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
    key = [*_noise.KEY, "epoch"]
    kept = trials[_noise.sound(trials, _noise.KEY)]
    points = curves[curves["metric"].isin([*metrics]) & curves["trial"].isin(kept.index)]
    lines = [pd.DataFrame(columns=[*_noise.KEY, "epoch"]).set_index(key)]
    for metric in metrics:
        of_settings = [
            _long(rows, points[points["trial"].isin(rows.index)], metric)
            for _, rows in kept.groupby(_noise.KEY)
        ]
        if of_settings:
            lines.append(_noise.means(pd.concat(of_settings), key, metric))
    table = lines[0].join(lines[1:], how="outer").reset_index("epoch")
    table = _noise.counts(trials, _noise.KEY).join(table).reset_index()
    columns = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high", "_seeds")]
    table = table.reindex(columns=[*key, *columns, "diverged", "censored"])
    seeds = {name: "Int64" for name in table if name == "epoch" or name.endswith("_seeds")}
    return table.astype(seeds).sort_values(key).reset_index(drop=True)


def _long(trials: pd.DataFrame, curves: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per trial of one setting and epoch, with the setting's key."""
    wide = by_epoch(curves, metric)
    long = wide.rename_axis(index="trial").reset_index().melt("trial", var_name="epoch", value_name=metric)
    return long.dropna().join(trials[[*_noise.KEY, "seed"]], on="trial")


def seeds(table: pd.DataFrame, metrics: tuple[str, ...]) -> str:
    """How many seeds are behind the means of a table, and their interval: see :func:`analysis._frames.seed_range`."""
    counts = pd.concat([table[f"{metric}_seeds"] for metric in metrics]).dropna()
    return _frames.seed_range(counts[counts > 0])
