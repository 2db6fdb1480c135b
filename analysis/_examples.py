"""Which training examples many nets have wrong: the trials of the figure and the claim on easy and hard examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import _frames, _noise
from analysis._statistics import Booleans, Floats

KINDS = _noise.DATA
"""The kinds of data and what they are called, in the order in which they are shown."""
COLUMNS = (
    "dataset", "model", "train_size", "seed", "corruption", "corruption_level", "corruption_seed", "regularizer",
    "diverged", "measured_examples", "train_right", "train_images", "train_labels",
)  # fmt: skip
"""Columns of ``trials`` that are read."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What the nets of one panel say of one kind of data.

    ``wrong`` [seed, example] of the ``seeds``, ascending; ``images`` [example, channel, height, width] and ``labels``
    [example], as trained on, where a trial kept them. Trials that ``diverged`` are counted only.
    """

    wrong: Booleans
    seeds: tuple[int, ...]
    images: NDArray[np.uint8] | None
    labels: NDArray[np.int64] | None
    diverged: int

    @property
    def rates(self) -> Floats:
        """Share of the nets that have each example wrong. Shape [example]."""
        return np.asarray(self.wrong.mean(axis=0), dtype=np.float64)


def by_panel(trials: pd.DataFrame) -> Iterator[tuple[str, dict[str, Answers]]]:
    """Each panel with its kinds of data: real, and noise of level 1. Only trials without a regularizer that kept their
    answers or diverged. Nets with another number of measured examples are a panel of their own.

    Of several data sets of one kind of noise the one that most nets saw, because an example must be the same thing for
    all of them: nets with noise of their own share none.
    """
    trials = _frames.with_columns(trials, COLUMNS)
    plain = trials["regularizer"].fillna(_frames.CONTROL) == _frames.CONTROL
    whole = (trials["corruption"] == "none") | (trials["corruption_level"] == 1)
    asked = trials["train_right"].notna() | trials["diverged"].fillna(0).gt(0)
    trials = trials[plain & whole & asked & trials["corruption"].isin([*KINDS])]
    for panel, rows in trials.sort_index().groupby(_panels(trials)):
        kinds = {kind: _one_data_set(rows[rows["corruption"] == kind]) for kind in KINDS}
        yield str(panel), {kind: _answers(of_kind) for kind, of_kind in kinds.items() if len(of_kind)}


def _panels(trials: pd.DataFrame) -> pd.Series:
    """The panel of each trial, apart by the number of measured examples where its trials differ in that."""
    panels = _frames.panels(trials, ignoring=("corruption_seed",))
    measured = trials[["measured_examples", "train_size"]].min(axis=1)  # there are no more than that
    differ = measured.groupby(panels).transform("nunique") > 1
    number = measured.map("{:.0f}".format).astype(str)
    return panels.mask(differ, panels + " · " + number + " measured examples")


def _one_data_set(rows: pd.DataFrame) -> pd.DataFrame:
    """The trials of one kind on the most frequent data set, one for each seed, by seed."""
    own = rows["corruption_seed"].fillna(-1)
    noise = own.where(own >= 0, rows["seed"]).where(rows["corruption"] != "none", -1)
    chosen: pd.DataFrame = rows[noise == noise.mode().min()]
    return chosen.sort_values("seed", kind="stable").drop_duplicates("seed")


def _answers(rows: pd.DataFrame) -> Answers:
    lost = rows["diverged"].fillna(0).gt(0)
    sound = rows[~lost & rows["train_right"].notna()]
    right = np.stack([*sound["train_right"]]) if len(sound) else np.empty((0, 0), dtype=bool)
    kept = (sound[name].dropna() for name in ("train_images", "train_labels"))
    images, labels = (column.iloc[0] if len(column) else None for column in kept)
    return Answers(~right, tuple(map(int, sound["seed"])), images, labels, int(lost.sum()))
