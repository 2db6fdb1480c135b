"""Tidy tables of trials: one row per trial, and one row per trial, metric and epoch. No loop over runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import _fields
from analysis._rows import History, Rows, spans
from analysis._store import TAGS
from memory_study import identity
from memory_study.config import FIELDS
from memory_study.record import Tag

CONTROL = _fields.CONTROL
"""The regularizer of a trial that has none."""
_IN_PROSE = {CONTROL: "no regularizer", "sam": "SAM"}
_TAGS = tuple(str(tag) for tag in TAGS if tag != Tag.TRIAL)
_MEASURED_ONLY = (  # change nothing of the training
    "csr_examples", "csr_epochs", "measures", "measured_examples", "sharpness_iterations", "sharpness_tolerance",
)  # fmt: skip
_WORDS = (*_fields.TEXT, "model", "corruption", "regularizer")  # columns of text that figures ask for
_REPLICA = ("seed", "corruption", "corruption_level", "regularizers")


@dataclass(frozen=True, slots=True)
class Frames:
    """The trials of an experiment.

    ``trials``: one row per trial, its id as index ``trial``. Columns: the config (int, float, bool or text),
    ``regularizer`` (kinds joined by " + ", "none" for the control), ``strength`` (of a single kind; 0 for the
    control, NaN for a combination), ``strength.<kind>`` for each kind (0 where absent), the latest value of
    every metric (NaN where not measured), the tags that are read (:data:`analysis._store.TAGS`), the arrays that were
    asked for (cells are arrays, NaN where a trial has none), and what else was logged by hand, NaN where it was not.
    ``curves``: columns trial, metric (both categorical), epoch (int) and value, sorted by the first three.
    """

    trials: pd.DataFrame
    curves: pd.DataFrame


def tidy(rows: Rows) -> Frames:
    """The tables of what a store gave. A trial that two runs finished counts once: the earlier of them."""
    places = _first_run_of_each_trial(rows)
    params, tags, metrics = (
        _of_trials(table, places) for table in (rows.facts.params, rows.facts.tags, rows.facts.metrics)
    )
    config = _fields.typed(_fields.filled(params))
    shown = {tag: _fields.as_text(tags[tag]) for tag in sorted(_TAGS) if tag in tags}
    tags = pd.DataFrame(shown, index=tags.index)
    arrays = rows.arrays.iloc[places.to_numpy()].set_axis(places.index)
    fields = [name for name in config if name in FIELDS]
    ours = [config[fields], _fields.strengths(config), arrays, tags]
    trials = pd.concat([*ours, metrics.astype(float), config.drop(columns=fields)], axis=1)
    # A name that is used again, for a param or metric logged by hand, is ours first.
    trials = trials.loc[:, ~trials.columns.duplicated()]
    return Frames(trials.rename_axis(index="trial", columns=None), _curves(rows.curves, places))


def with_columns(trials: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The trials with at least these columns, NaN where no trial has one: a figure draws from any store."""
    missing = [name for name in columns if name not in trials.columns]
    kinds = {name: object if name in _WORDS else float for name in missing}
    return trials.assign(**{name: pd.Series(np.nan, trials.index, dtype=kinds[name]) for name in missing})


def with_trials_of(frames: Frames, other: Frames) -> Frames:
    """The tables with the trials of another experiment, too: one that is in both has two rows. Without its curves.

    A field that one of the experiments predates, or a regularizer that it has not, has the values that it had then.
    """
    columns = [*dict.fromkeys([*frames.trials, *other.trials])]
    both = [_fields.with_fields(each.trials, columns) for each in (frames, other)]
    return Frames(pd.concat(both), frames.curves)


def labels(trials: pd.DataFrame) -> pd.Series:
    """``real`` for a trial on real data, ``randY`` for one on fully random labels, NaN for any other."""
    real = trials["corruption"] == "none"
    random = (trials["corruption"] == "randY") & (trials["corruption_level"] == 1)
    return pd.Series(np.select([real, random], ["real", "randY"], ""), trials.index).replace("", np.nan)


def panels(trials: pd.DataFrame, ignoring: Iterable[str] = ()) -> pd.Series:
    """A name for all that two trials of one panel share: data set, model, training size, and what else
    differs among trials with these.

    Trials of one panel differ only in seed, corruption, regularizers, the columns ``ignoring``, and in on how many
    examples and when the critical sample ratio was measured. How samples are searched keeps panels apart:
    adversarial training does so. What is no field of the config, such as what somebody logged by hand, does not. Never
    NaN: a field that a trial lacks has its ``absent`` value, or none is "unknown".
    """
    aside = {*ignoring, *_REPLICA, *_MEASURED_ONLY}
    base = [column for column in ("dataset", "model", "train_size") if column not in aside]
    others = [column for column in trials if column in FIELDS and column not in (*aside, *base)]
    text = pd.DataFrame({column: _fields.words(trials[column]) for column in (*base, *others)}, trials.index)
    name = text["dataset"] + " · " + text["model"]
    if "train_size" in base:
        name = name + " · " + text["train_size"] + " examples"
    of = name.copy()
    for column in text.columns[len(base) :]:
        varies = text[column].groupby(of).transform("nunique") > 1
        name = name.where(~varies, name + f" · {column.replace('_', ' ')} " + text[column])
    return name


def strength_columns(table: pd.DataFrame) -> list[str]:
    """The columns with a strength for each kind, in order of their names."""
    return sorted(str(column) for column in table if str(column).startswith("strength."))


def describe_strengths(regularizers: str) -> str:
    """``dropout=0.5,adversarial=0.2`` as a person writes it: ``dropout 0.5 + adversarial 0.2``."""
    pairs = identity.parse_strengths(regularizers).items()
    return " + ".join(f"{pretty(kind)} {strength:g}" for kind, strength in pairs) or "no regularizer"


def pretty(regularizer: str) -> str:
    """The name of a regularizer, or of a combination, in prose."""
    return " + ".join(_IN_PROSE.get(kind, kind.replace("_", " ")) for kind in regularizer.split(" + "))


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seed_range(counts: pd.Series) -> str:
    """``5 seeds, 95 % intervals``, ``2 to 5 seeds, ...`` where settings differ; one seed has no interval."""
    few, many = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    text = f"{few} to {many} seeds" if few < many else counted(many, "seed")
    return f"{text}, 95 % intervals" if many > 1 else text


def _first_run_of_each_trial(rows: Rows) -> pd.Series:
    """Place of a run by trial id, sorted: of runs with one id, the one that finished first, then the smaller
    run id.
    """
    runs = pd.DataFrame(
        {
            "trial": rows.facts.tags.get(Tag.TRIAL, np.nan),
            "end_time": rows.runs["end_time"].to_numpy(),
            "run": rows.runs.index,
            "place": np.arange(len(rows.runs)),
        },
        index=rows.runs.index,
    )
    first = runs.dropna(subset="trial").sort_values(["end_time", "run"]).drop_duplicates("trial")
    return pd.Series(first["place"].to_numpy(), index=first["trial"].tolist(), dtype=np.int64).sort_index()


def _of_trials(table: pd.DataFrame, places: pd.Series) -> pd.DataFrame:
    """The rows of the trials, columns sorted; a column that no trial fills goes."""
    chosen = table.iloc[places.to_numpy()].set_axis(places.index)
    return chosen.dropna(axis=1, how="all").sort_index(axis=1)


def _curves(histories: Mapping[str, History], places: pd.Series) -> pd.DataFrame:
    """The points of all metrics, ordered by trial, metric and epoch without sorting them: each metric has them by
    run and epoch already.
    """
    chosen = {key: histories[key].of(places.to_numpy()) for key in sorted(histories)}
    filled = {key: each for key, each in chosen.items() if len(each.steps)}
    counts = np.array([each.counts for each in filled.values()], np.int64).reshape(len(filled), len(places))
    starts = np.cumsum(counts.ravel()).reshape(counts.shape) - counts
    points = spans(starts.T.ravel(), counts.T.ravel())
    trial_codes = np.repeat(np.arange(len(places)), counts.sum(axis=0))
    metric_codes = np.repeat(np.tile(np.arange(len(filled)), len(places)), counts.T.ravel())
    steps = [each.steps for each in filled.values()] or [np.empty(0, np.int64)]
    values = [each.values for each in filled.values()] or [np.empty(0)]
    trials, metrics = pd.Index(list(places.index), dtype=object), pd.Index(list(filled), dtype=object)
    return pd.DataFrame(
        {
            "trial": pd.Categorical.from_codes(trial_codes, categories=trials),
            "metric": pd.Categorical.from_codes(metric_codes, categories=metrics),
            "epoch": np.concatenate(steps)[points],
            "value": np.concatenate(values)[points],
        }
    )
