"""Means over seeds with their intervals, and counts of seeds: what most points of figures, and their notes, are.

Trials that differ only in what is measured are one net: they share a seed, and count once.
"""

from __future__ import annotations

import pandas as pd

from analysis._statistics import t_interval


def means(
    values: pd.DataFrame, key: list[str], column: str, within: tuple[float, float] = (0.0, 1.0)
) -> pd.DataFrame:
    """By ``key``: mean of ``column``, ``_low`` and ``_high`` (95 % t-interval over seeds) and ``_seeds``.

    ``values``: a row per trial, or trial and epoch, with the key and ``seed``; rows of one key and seed are averaged first.
    NaN is left out, and a key with nothing else has no row. ``within``: what the column can be, to which intervals are
    clipped.
    """
    seeds = values.groupby([*key, "seed"])[column].mean().dropna()
    moments = seeds.groupby(level=key).agg(["mean", "std", "count"])
    low, high = t_interval(moments["mean"], moments["std"], moments["count"], within=within)
    numbers = {"": moments["mean"], "_low": low, "_high": high, "_seeds": moments["count"]}
    return pd.DataFrame({f"{column}{end}": values for end, values in numbers.items()}, moments.index)


def count(trials: pd.DataFrame, key: list[str], condition: pd.Series) -> pd.Series:
    """By ``key``: of how many seeds any trial fulfils a ``condition``, booleans with the index of the trials."""
    by_seed = condition.groupby([trials[name] for name in (*key, "seed")]).any()
    return by_seed.groupby(level=key).sum().astype(int)
