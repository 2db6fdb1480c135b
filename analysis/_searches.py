"""Searches as the tags of their trials tell them: which study suggested a setting, when, and what the fronts came to.

A trial's tag ``suggested`` has a word ``SEARCH/SAMPLER/REPETITION/NUMBER`` for each suggestion that it served, and
``SEARCH/SAMPLER/front@SUGGESTIONS/PLACE`` where it judges a front: see ``sweeps/frontier.py``, which writes it. Anybody
can write a tag: a word of any other form is none.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis._statistics import t_test

STUDY = ["panel", "search", "sampler", "repetition"]
"""Columns that name a study; ``repetition`` is the seed."""
_FRONT = "front@"
_REPETITION, _NUMBER = r"(?P<repetition>[0-9]{1,18}|front@[0-9]{1,6})", r"(?P<number>[0-9]{1,6})"
_WORD = rf"^(?P<search>[^/]+)/(?P<sampler>[^/]+)/{_REPETITION}/{_NUMBER}$"


def words(trials: pd.DataFrame) -> pd.DataFrame:
    """A row for each word of each trial, with the trial's columns and ``search``, ``sampler``, ``repetition``, ``number``.

    ``trials`` has a column ``suggested``; those without a word have no row.
    """
    rows = trials.reset_index(names="trial")
    split = rows["suggested"].astype(object).str.split().explode().dropna()
    parts = split.str.extract(_WORD).dropna()
    parts["number"] = parts["number"].astype(int)
    return parts.join(rows).reset_index(drop=True)


def suggestions(rows: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`words`, a row for each suggestion whose trials on real data and random labels both came out sound.

    Columns: those of :data:`STUDY`, ``number``, ``regularizers``, ``noise`` (final training accuracy on random labels) and
    ``real`` (best validation accuracy on real data), by study and number.
    """
    asked = _asked(rows)
    asked = asked[~asked["diverged"].fillna(0).gt(0)]
    key = [*STUDY, "number", "regularizers"]
    seen = {"noise": ("randY", "train_accuracy"), "real": ("real", "best_validation_accuracy")}
    both = {
        name: asked[asked["side"] == side].groupby(key)[column].mean()
        for name, (side, column) in seen.items()
    }
    found = pd.DataFrame(both).astype(float).dropna().reset_index()
    return found.sort_values([*STUDY, "number"], ignore_index=True)


def _asked(rows: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`words`, those of suggestions, whatever came of them; ``repetition`` is a number."""
    asked = rows[~rows["repetition"].str.startswith(_FRONT)]
    return asked.assign(repetition=asked["repetition"].astype(int))


def judging(rows: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`words`, those of trials that judge a front: that of the most suggestions, where a search went on."""
    front = rows[rows["repetition"].str.startswith(_FRONT)]
    after = front["repetition"].str.removeprefix(_FRONT).astype(int)
    latest = after.groupby([front[name] for name in STUDY[:-1]]).transform("max")
    return front[after == latest]


def hypervolume(noise: npt.ArrayLike, real: npt.ArrayLike) -> float:
    """Area of the unit square that points dominate: at most as little noise fitted, at most as much of real data known.

    From the reference point (all noise fitted, nothing known), a fraction. 0 of no point. Source: Zitzler and Thiele 1999.
    """
    x, y = np.asarray(noise, dtype=float), np.asarray(real, dtype=float)
    order = np.argsort(x, kind="stable")
    best = np.maximum.accumulate(y[order])
    return float(np.sum(np.diff(np.append(x[order], 1.0)) * best)) if len(x) else 0.0


def progress(rows: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`words`, by study, the ``hypervolume`` after each number of suggestions (``number``, from 1 on).

    A study goes up to its last suggestion that finished a trial, diverged or not; one that failed or diverged adds
    nothing, and counts.
    """
    found = suggestions(rows)
    sound = dict(iter(found.groupby(STUDY)))
    volumes = []
    for study, asked in _asked(rows).groupby(STUDY):
        points = sound.get(study, found.iloc[:0])
        for number in range(int(asked["number"].max()) + 1):
            known = points[points["number"] <= number]
            volumes.append((*study, number + 1, hypervolume(known["noise"], known["real"])))
    return pd.DataFrame(volumes, columns=[*STUDY, "number", "hypervolume"])


def compared(volumes: pd.DataFrame, baseline: str = "random") -> pd.DataFrame:
    """Of :func:`progress`, each sampler against ``baseline`` after equally many suggestions, in pairs of one repetition.

    By panel, search and sampler: ``effect``, the mean difference of hypervolume after the ``number`` of suggestions that
    every study of the search has reached, its 95 % interval ``low`` to ``high`` and two-sided ``p`` (Student's t over the
    ``repetitions``).
    """
    rows = []
    for search, of_search in volumes.groupby(["panel", "search"]):
        number = of_search.groupby(STUDY)["number"].max().min()
        at = of_search[of_search["number"] == number].pivot_table(
            index="repetition", columns="sampler", values="hypervolume"
        )
        for sampler in sorted(set(at) - {baseline}) if baseline in at else ():
            pairs = (at[sampler] - at[baseline]).dropna().to_numpy()
            rows.append((*search, sampler, *t_test(pairs), number, len(pairs)))
    columns = ["panel", "search", "sampler", "effect", "low", "high", "p", "number", "repetitions"]
    return pd.DataFrame(rows, columns=columns)
