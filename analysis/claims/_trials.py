"""The trials that claims about noise compare, by panel and kind of noise, and their curves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from analysis import _frames, _noise
from analysis._statistics import Floats

_CELL = [*_noise.KEY, "width", "train_size", "seed"]


def by_kind(
    trials: pd.DataFrame, columns: Iterable[str], ignoring: Iterable[str] = ()
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Panel, kind of noise, and its trials with ``level`` (0: real data) and boolean ``diverged``.

    Only trials without a regularizer. One that is there twice, because its critical samples were counted in
    two ways, or in one of them not at all, counts once: see :func:`_most_measured_first`. ``columns``: the metrics
    that the claim needs are among them. ``ignoring``: see :func:`analysis._frames.panels`.
    """
    columns = {*_noise.COLUMNS, *columns}
    trials = _most_measured_first(_frames.with_columns(trials, {*columns, "csr_examples"}), columns)
    rows = _noise.by_kind(trials, ignoring).drop_duplicates(_CELL)
    rows = rows.assign(diverged=rows["diverged"].fillna(0).gt(0))
    for (panel, kind), group in rows.groupby(["panel", "kind"], sort=True):
        yield str(panel), str(kind), group


def with_labels(trials: pd.DataFrame, labels: str) -> pd.DataFrame:
    """The trials with the data set's classes ("data"), or with one for each example ("example")."""
    return trials[_frames.with_columns(trials, ("labels",))["labels"].fillna("data") == labels]


def _most_measured_first(trials: pd.DataFrame, columns: set[str]) -> pd.DataFrame:
    """First the trials that have most of the columns, then those with critical samples of more examples, then by id.

    A trial without a metric stays where it is the only one, because it may have diverged, which counts.
    """
    known, examples = trials[sorted(columns)].notna().sum(axis=1), trials["csr_examples"].fillna(0)
    order = pd.DataFrame({"known": -known.array, "examples": -examples.array, "trial": trials.index})
    return trials.iloc[order.sort_values(["known", "examples", "trial"]).index]


def histories(trials: pd.DataFrame, curves: pd.DataFrame, metric: str) -> dict[str, tuple[Floats, Floats]]:
    """By trial, the epochs (from 1, ascending) and values of a metric; of those of ``trials`` that have it."""
    kept = (curves["metric"] == metric) & curves["trial"].isin(trials.index) & (curves["epoch"] >= 1)
    points = curves[kept].astype({"trial": str}).sort_values(["trial", "epoch"])
    return {
        str(trial): (group["epoch"].to_numpy(dtype=np.float64), group["value"].to_numpy(dtype=np.float64))
        for trial, group in points.groupby("trial")
    }


def left_out(rows: pd.DataFrame) -> str:
    """``2 diverged trials left out``, or nothing."""
    diverged = int(rows["diverged"].sum())
    return f"{_frames.counted(diverged, 'diverged trial')} left out" if diverged else ""


def sentence(*parts: str) -> str:
    """The parts that say something, joined."""
    return "; ".join(part for part in parts if part)
