"""Real data and training sets that are all noise: the trials of the figures on loss sensitivity."""

from __future__ import annotations

import pandas as pd

from analysis import _blocks, _frames, _noise, _over_seeds

KINDS = _noise.DATA
"""The kinds of data and what they are called, in the order in which they are shown."""
KEY = ["panel", "labels", "kind"]
"""Columns that name what is compared; ``labels`` says whether the classes are the data set's or each example's own."""
COLUMNS = (
    "dataset", "model", "train_size", "seed", "corruption", "corruption_level", "regularizer", "diverged", "labels",
    "sensitivity_finite",
)  # fmt: skip


def by_data(trials: pd.DataFrame) -> pd.DataFrame:
    """The unregularized trials whose sensitivity was to be measured, on real data or on nothing but noise, with
    :data:`KEY`.

    One whose sensitivities overflowed counts as diverged.
    """
    trials = _frames.with_columns(trials, COLUMNS)
    plain = trials["regularizer"].fillna(_frames.CONTROL) == _frames.CONTROL
    whole = (trials["corruption"] == _frames.CONTROL) | (trials["corruption_level"] == 1)
    diverged = trials["diverged"].fillna(0).gt(0)
    overflowed = trials["sensitivity_finite"].eq(0)
    trials = trials.assign(
        panel=_frames.panels(trials, ignoring=("labels",)),
        labels=trials["labels"].fillna("data"),
        kind=trials["corruption"],
        diverged=(diverged | overflowed).astype(float),
    )
    asked = trials["sensitivity_finite"].notna() | diverged
    kept: pd.DataFrame = trials[plain & whole & asked & trials["kind"].isin([*KINDS])]
    return kept.sort_values([*KEY, "seed"], kind="stable")


def lost(trials: pd.DataFrame) -> pd.DataFrame:
    """By :data:`KEY`: the number of seeds that diverged or overflowed, as ``lost``."""
    return _over_seeds.count(trials, KEY, trials["diverged"].gt(0)).to_frame("lost")


def not_drawn(table: pd.DataFrame) -> list[str]:
    """Lines that name the data of a table on which a trial was lost."""
    rows = table[table["lost"] > 0].drop_duplicates(KEY)
    own = {"data": "", "example": ", one class for each example"}
    pairs = zip(rows["labels"], rows["kind"], strict=True)
    return _blocks.not_drawn([f"{KINDS[kind]}{own[labels]}" for labels, kind in pairs])
