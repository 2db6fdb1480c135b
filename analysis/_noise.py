"""Kinds and levels of noise: the trials of the figures that compare noisy training sets.

A *setting* is a panel, a kind and a level of noise, and whatever else a figure varies. Real data are level 0 of
every kind. Trials with regularizers are left out: they are another question.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from analysis import _frames, _over_seeds

KINDS = {"randX": "random inputs", "randY": "random labels"}
"""The kinds of noise and what they make random, in the order in which figures show them."""
DATA = {_frames.CONTROL: "real data", **KINDS}
"""The same, real data first."""
KEY = ["panel", "kind", "level"]
"""Columns that name a setting, besides what the figure varies."""
COLUMNS = (
    "dataset", "model", "width", "train_size", "seed", "corruption", "corruption_level",
    "regularizer", "diverged", "converged",
)  # fmt: skip
"""Columns of ``trials`` that make settings."""


def by_kind(trials: pd.DataFrame, ignoring: Iterable[str] = ()) -> pd.DataFrame:
    """The unregularized trials with ``panel``, ``kind`` and ``level``, in that order; the index repeats.

    Trials on real data are there once for each kind of noise that their panel has, or for both kinds if it has
    none. ``ignoring``: see :func:`analysis._frames.panels`.
    """
    trials = trials[trials["regularizer"].fillna(_frames.CONTROL) == _frames.CONTROL]
    trials = trials.assign(panel=_frames.panels(trials, ignoring), level=trials["corruption_level"].fillna(0))
    real, noisy = trials["corruption"] == _frames.CONTROL, trials["corruption"].isin([*KINDS])
    alone = ~trials["panel"].isin(trials.loc[noisy, "panel"])
    parts = []
    for kind in KINDS:
        own = trials["corruption"] == kind
        compared = alone | trials["panel"].isin(trials.loc[own, "panel"])
        parts.append(trials[own | (real & compared)].assign(kind=kind))
    return pd.concat(parts).sort_values([*KEY, "seed"], kind="stable")


def real_and_noisiest(trials: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`by_kind`, trials on real data, of kind "none" and once each, and at each panel and kind's highest level."""
    highest = trials.groupby(["panel", "kind"])["level"].transform("max")
    kept = trials[(trials["level"] == 0) | (trials["level"] == highest)]
    kept = kept.assign(kind=kept["kind"].where(kept["level"] > 0, _frames.CONTROL))
    return kept[~(kept.index.duplicated() & (kept["level"] == 0))]


def sound(trials: pd.DataFrame, key: list[str]) -> pd.Series:
    """Whether no trial of the trial's setting diverged: the seeds that survive are no fair sample of it."""
    diverged = trials["diverged"].fillna(0).gt(0)
    return ~diverged.groupby([trials[name] for name in key]).transform("any")


def counts(trials: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """By setting: seeds that ``diverged``, and ``censored`` ones: sound, but never all of the training set right."""
    diverged = trials["diverged"].fillna(0).gt(0)
    flags = {"diverged": diverged, "censored": trials["converged"].eq(0) & ~diverged}
    return pd.DataFrame({name: _over_seeds.count(trials, key, flag) for name, flag in flags.items()})


def fixed_at(trials: pd.DataFrame, varied: str, fixed: str) -> pd.DataFrame:
    """The trials of each panel at one value of ``fixed``: the largest at which ``varied`` takes several values.

    The largest of all where ``varied`` takes one value only. A full grid of widths and training sizes gives
    the slice at its largest training set (or net).
    """
    several = trials.groupby(["panel", fixed])[varied].transform("nunique") > 1
    chosen = trials[fixed].where(several | ~several.groupby(trials["panel"]).transform("any"))
    return trials[chosen.notna() & (chosen == chosen.groupby(trials["panel"]).transform("max"))]


def diverged_settings(table: pd.DataFrame) -> list[str]:
    """The settings of a table in which a trial diverged, in prose, once each."""
    lost = table[table["diverged"] > 0]
    return list(dict.fromkeys(in_prose(row) for _, row in lost.iterrows()))


def in_prose(row: pd.Series) -> str:
    """A row's setting: ``40 % random labels, width 128``."""
    parts = [f"{100 * row['level']:.4g} % {KINDS[row['kind']]}" if row["level"] else "real data"]
    parts += [f"width {row['width']}"] if "width" in row else []
    parts += [f"{row['train_size']} examples"] if "train_size" in row else []
    return ", ".join(parts)


def levels(table: pd.DataFrame) -> list[float]:
    """The levels of noise, ascending."""
    return [float(level) for level in np.sort(table["level"].dropna().unique())]
