"""Settings: the trials that differ only in seed, on real data and on fully random labels.

A setting in which a trial diverged has no mean: the seeds that survived are not a fair sample of it. It is
counted and named instead.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis import _frames, _over_seeds
from analysis._statistics import Floats

KEY = ["panel", "regularizers"]
"""Columns that name a setting: what it shares with its panel, and the strengths of its regularizers."""
COLUMNS = (
    "dataset", "model", "train_size", "seed", "corruption", "corruption_level",
    "regularizers", "regularizer", "strength", "diverged",
)  # fmt: skip
"""Columns of ``trials`` that make settings."""


def labelled(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials on real data and on fully random labels, with columns ``panel`` and ``side``: real or randY."""
    trials = trials.assign(side=_frames.labels(trials), panel=_frames.panels(trials))
    return trials[trials["side"].notna()]


def names(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, index panel and regularizers: its regularizer, strength and strength.<kind>."""
    columns = [*KEY, "regularizer", "strength", *_frames.strength_columns(trials)]
    return trials[columns].drop_duplicates(KEY).set_index(KEY)


def count(trials: pd.DataFrame, side: str, condition: pd.Series) -> pd.Series:
    """By setting: how many seeds have a trial of this side that fulfils a condition."""
    own = trials["side"] == side
    return _over_seeds.count(trials[own], KEY, condition[own])


def mean_over_seeds(trials: pd.DataFrame, side: str, column: str, name: str) -> pd.DataFrame:
    """By setting: ``<name>``, ``<name>_low`` and ``_high`` (95 % t-interval over seeds), ``<name>_seeds``."""
    sound = ~trials["diverged"].fillna(0).gt(0).groupby([trials[key] for key in KEY]).transform("any")
    kept = trials[sound & (trials["side"] == side)]
    return _over_seeds.means(kept.assign(**{name: kept[column]}), KEY, name)


def seed_matrices(
    trials: pd.DataFrame, columns: dict[str, str]
) -> Iterator[tuple[str, list[str], dict[str, Floats]]]:
    """For each panel: its name, its settings, and for each of ``columns`` (side: column) values [setting,
    seed].

    NaN where a trial is missing. Settings with a diverged trial are left out.
    """
    diverged = trials["diverged"].fillna(0).gt(0).groupby([trials[key] for key in KEY]).transform("any")
    for panel, rows in trials[~diverged].groupby("panel", sort=True):
        settings, seeds = sorted(rows["regularizers"].unique()), sorted(rows["seed"].unique())
        matrices = {
            side: rows[rows["side"] == side]
            .pivot_table(index="regularizers", columns="seed", values=column, aggfunc="mean")
            .reindex(index=settings, columns=seeds)
            .to_numpy(dtype=np.float64)
            for side, column in columns.items()
        }
        yield str(panel), settings, matrices
