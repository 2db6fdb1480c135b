"""What is read from a store, as arrays: no object for each of millions of points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What runs are, as tables with a row per run, its id as index, and a column per name.

    ``params`` and ``tags`` are text, ``metrics`` each metric's latest value. NaN where a run has no such thing.
    """

    params: pd.DataFrame
    tags: pd.DataFrame
    metrics: pd.DataFrame

    def of(self, index: pd.Index) -> Facts:
        """The rows of this index, in its order."""
        return Facts(self.params.reindex(index), self.tags.reindex(index), self.metrics.reindex(index))

    def at(self, index: pd.Index) -> Facts:
        """The same rows under another index."""
        return Facts(self.params.set_axis(index), self.tags.set_axis(index), self.metrics.set_axis(index))

    def and_(self, others: Facts) -> Facts:
        """These rows, then the others."""
        return Facts(
            _stacked(self.params, others.params),
            _stacked(self.tags, others.tags),
            _stacked(self.metrics, others.metrics),
        )


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """All points of one metric of some runs, one run after the other.

    ``counts`` [run] says how many points each has; ``steps`` and ``values`` [point] are ascending in step within
    a run, and no run has a step twice. No value is NaN.
    """

    counts: Ints
    steps: Ints
    values: Floats

    def of(self, places: Ints) -> History:
        """The points of the runs at these places, in their order."""
        points = spans(self.starts[places], self.counts[places])
        return History(self.counts[places], self.steps[points], self.values[points])

    @property
    def starts(self) -> Ints:
        """Place of each run's first point. Shape [run]."""
        return np.cumsum(self.counts) - self.counts


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Everything read about the finished, not deleted runs that are trials.

    ``runs`` has column end_time (milliseconds, NaN where unknown), the run's id as index; the tables of ``facts``
    have the same rows, and so have the histories ``curves``, by name of their metric, and ``arrays``, whose cells are
    arrays, NaN where a run has none of that name.
    """

    runs: pd.DataFrame
    facts: Facts
    curves: Mapping[str, History]
    arrays: pd.DataFrame


def spans(starts: Ints, counts: Ints) -> Ints:
    """All whole numbers of the spans ``[start, start + count)``, one span after the other."""
    offsets = starts - (np.cumsum(counts) - counts)
    return np.repeat(offsets, counts) + np.arange(counts.sum())


def history(runs: int, places: NDArray[np.integer], steps: NDArray[np.integer], values: Floats) -> History:
    """The history of points in any order; ``places`` [point] says which of the ``runs`` has each.

    Of the points with one step the lowest value is kept: a call that was repeated with another time stamp
    wrote its points twice, and the store's order must not matter. NaN is left out.
    """
    finite = ~np.isnan(values)
    if not finite.all():
        places, steps, values = places[finite], steps[finite], values[finite]
    same_run = places[1:] == places[:-1]
    if not ((places[1:] > places[:-1]) | (same_run & (steps[1:] > steps[:-1]))).all():
        order = np.lexsort((values, steps, places))
        places, steps, values = places[order], steps[order], values[order]
        new = np.append(True, (np.diff(places) != 0) | (np.diff(steps) != 0))[: len(order)]
        places, steps, values = places[new], steps[new], values[new]
    counts = np.bincount(places, minlength=runs).astype(np.int64)
    return History(counts, np.ascontiguousarray(steps, np.int64), np.ascontiguousarray(values, np.float64))


def joined(histories: Sequence[History]) -> History:
    """The histories of runs, then of other runs. At least one."""
    return History(
        np.concatenate([each.counts for each in histories]),
        np.concatenate([each.steps for each in histories]),
        np.concatenate([each.values for each in histories]),
    )


def wide(
    runs: Sequence[str], cells: Sequence[tuple[int, str, object]], kind: type[object] | type[float]
) -> pd.DataFrame:
    """Cells ``(place of the run, name, value)`` as a table with a row per run and a column per name."""
    places, names, values = zip(*cells, strict=True) if cells else ((), (), ())
    columns, known = pd.factorize(np.array(names, dtype=object), sort=True)
    table = np.full((len(runs), len(known)), np.nan, dtype=kind)
    table[np.array(places, dtype=np.int64), columns] = np.array(values, dtype=kind)
    return pd.DataFrame(table, index=names_index(runs), columns=names_index(known))


def _stacked(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The rows of both tables, with the columns of both."""
    columns = first.columns.union(second.columns)
    return pd.concat([first.reindex(columns=columns), second.reindex(columns=columns)])


def names_index(names: Iterable[str]) -> pd.Index:
    """An index of these names, as plain Python objects."""
    index: pd.Index = pd.Index(np.array([*names], dtype=object), dtype=object)
    return index
