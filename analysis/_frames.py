"""Tidy tables of trials: one row per trial, and one row per trial, metric and epoch. No loop over runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis._store import Rows
from memory_study import identity, record
from memory_study.record import Tag

CONTROL = "none"
"""The regularizer of a trial that has none."""
_TAGS = (Tag.DEVICE, Tag.SWEEP, Tag.CODE)
_MEASURED_ONLY = ("csr_examples", "csr_epochs")  # change nothing of the training
_TEXT = ("dataset", "dataset_digest", "csr_epochs", "regularizers")  # text even where it looks like a number
_WORDS = (*_TEXT, "model", "corruption", "regularizer")  # columns of text that figures ask for
_REPLICA = ("seed", "corruption", "corruption_level", "regularizers", "regularizer", "strength")


@dataclass(frozen=True, slots=True)
class Frames:
    """The trials of an experiment.

    ``trials``: one row per trial, its id as index ``trial``. Columns: the config (int, float, bool or text),
    ``regularizer`` (kinds joined by " + ", "none" for the control), ``strength`` (of a single kind; 0 for the
    control, NaN for a combination), ``strength.<kind>`` for each kind (0 where absent), the latest value of
    every metric (NaN where not measured), and the tags device, sweep and code. ``curves``: columns trial,
    metric (both categorical), epoch (int) and value, sorted by the first three.
    """

    trials: pd.DataFrame
    curves: pd.DataFrame


def tidy(rows: Rows) -> Frames:
    """The tables of what a store gave. A trial that two runs finished counts once: the earlier of them."""
    trial_of = _first_run_of_each_trial(rows)
    config = _typed(_wide(rows.params, trial_of))
    numbers = _wide(rows.metrics, trial_of).astype(float)
    tags = _wide(rows.tags[rows.tags["key"].isin([str(tag) for tag in _TAGS])], trial_of)
    trials = pd.concat([config, _strengths(config), numbers, tags], axis=1).sort_index()
    return Frames(trials.rename_axis(index="trial", columns=None), _curves(rows.curves, trial_of))


def with_columns(trials: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The trials with at least these columns, NaN where no trial has one: a figure draws from any store."""
    missing = [name for name in columns if name not in trials.columns]
    kinds = {name: object if name in _WORDS else float for name in missing}
    return trials.assign(**{name: pd.Series(np.nan, trials.index, dtype=kinds[name]) for name in missing})


def labels(trials: pd.DataFrame) -> pd.Series:
    """``real`` for a trial on real data, ``randY`` for one on fully random labels, NaN for any other."""
    real = trials["corruption"] == "none"
    random = (trials["corruption"] == "randY") & (trials["corruption_level"] == 1)
    return pd.Series(np.select([real, random], ["real", "randY"], ""), trials.index).replace("", np.nan)


def panels(trials: pd.DataFrame, ignoring: Iterable[str] = ()) -> pd.Series:
    """A name for all that two trials of one panel share: data set, model, training size, and what else
    differs here.

    Trials of one panel differ only in seed, corruption, regularizers, the columns ``ignoring``, and in on how many
    examples and when the critical sample ratio was measured. How samples are searched keeps panels apart:
    adversarial training does so.
    """
    ignored = set(ignoring)
    known = {*record.CURVES, *record.SCALARS, *map(str, _TAGS), *_REPLICA, *ignored}
    shared = [
        c for c in trials if c not in known and not str(c).startswith("strength.") and c not in _MEASURED_ONLY
    ]
    base = [column for column in ("dataset", "model", "train_size") if column not in ignored]
    text = trials[[*base, *(c for c in shared if c not in base)]].astype(str)
    name = text["dataset"] + " · " + text["model"]
    if "train_size" in base:
        name = name + " · " + text["train_size"] + " examples"
    for column in text.columns[len(base) :]:
        if text[column].nunique() > 1:
            name = name + f" · {column.replace('_', ' ')} " + text[column]
    return name


def strength_columns(table: pd.DataFrame) -> list[str]:
    """The columns with a strength for each kind, in order of their names."""
    return sorted(str(column) for column in table if str(column).startswith("strength."))


def describe_strengths(regularizers: str) -> str:
    """``dropout=0.5,adversarial=0.2`` as a person writes it: ``dropout 0.5 + adversarial 0.2``."""
    pairs = identity.parse_strengths(regularizers).items()
    return " + ".join(f"{pretty(kind)} {strength:g}" for kind, strength in pairs) or "no regularizer"


def pretty(regularizer: str) -> str:
    """The name of a regularizer in prose."""
    return "no regularizer" if regularizer == CONTROL else regularizer.replace("_", " ")


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seed_range(counts: pd.Series) -> str:
    """``5 seeds, 95 % intervals``, ``2 to 5 seeds, ...`` where settings differ; one seed has no interval."""
    few, many = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
    text = f"{few} to {many} seeds" if few < many else counted(many, "seed")
    return f"{text}, 95 % intervals" if many > 1 else text


def _first_run_of_each_trial(rows: Rows) -> pd.Series:
    """Trial id by run: of runs with one trial id, the one that finished first, then the smaller run id."""
    ids = rows.tags[rows.tags["key"] == Tag.TRIAL].set_index("run")["value"]
    runs = rows.runs.sort_values(["end_time", "run"])
    trial = runs["run"].map(ids)
    first = trial.notna() & ~trial.duplicated()
    return pd.Series(trial[first].to_numpy(), index=pd.Index(runs.loc[first, "run"]), dtype=object)


def _wide(long: pd.DataFrame, trial_of: pd.Series) -> pd.DataFrame:
    """A row per trial, a column per key."""
    trial = long["run"].map(trial_of)
    kept = long.assign(trial=trial)[trial.notna()]
    wide = kept.pivot(index="trial", columns="key", values="value")
    return wide.reindex(index=pd.Index(trial_of.to_numpy(), name="trial"))


def _typed(config: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {name: config[name] if name in _TEXT else _typed_column(config[name]) for name in config.columns},
        index=config.index,
    )


def _typed_column(text: pd.Series) -> pd.Series:
    """A column as bool, int or float if all its text is; a missing value makes numbers float."""
    distinct = [value for value in text.unique() if isinstance(value, str)]
    if distinct and set(distinct) <= {"true", "false"}:
        return text.map({"true": True, "false": False})
    for kind in (int, float):
        try:
            return text.map({value: kind(value) for value in distinct})
        except ValueError:
            continue
    return text


def _strengths(config: pd.DataFrame) -> pd.DataFrame:
    """Columns regularizer, strength and strength.<kind>, parsed once for each distinct text."""
    if "regularizers" not in config:
        return pd.DataFrame(index=config.index)
    distinct = [text for text in config["regularizers"].unique() if isinstance(text, str)]
    parsed = {text: identity.parse_strengths(text) for text in distinct}
    kinds = sorted({kind for strengths in parsed.values() for kind in strengths})
    by_text = pd.DataFrame(
        {
            "regularizer": [" + ".join(sorted(strengths)) or CONTROL for strengths in parsed.values()],
            "strength": [_single(tuple(strengths.values())) for strengths in parsed.values()],
            **{
                f"strength.{kind}": [strengths.get(kind, 0.0) for strengths in parsed.values()]
                for kind in kinds
            },
        },
        index=pd.Index(distinct, dtype=object),
    )
    return by_text.reindex(config["regularizers"]).set_axis(config.index)


def _single(strengths: Sequence[float]) -> float:
    return float("nan") if len(strengths) > 1 else sum(strengths)


def _curves(points: pd.DataFrame, trial_of: pd.Series) -> pd.DataFrame:
    trials, metrics = (
        pd.Index(sorted(trial_of), dtype=object),
        pd.Index(sorted(points["key"].unique()), dtype=object),
    )
    code_of = pd.Series(np.arange(len(trials)), index=trials)
    codes = points["run"].map(trial_of.map(code_of)).fillna(-1).to_numpy(dtype=np.int64)
    metric_codes = pd.Categorical(points["key"], categories=metrics).codes.astype(np.int64)
    epochs = points["step"].to_numpy(dtype=np.int64)
    values = points["value"].to_numpy(dtype=float)
    # A call that was repeated with another time stamp wrote its points twice; one is kept, whatever the
    # store's order.
    order = np.lexsort((values, epochs, metric_codes, codes))
    order = order[codes[order] >= 0]
    keys = np.stack([codes[order], metric_codes[order], epochs[order]])
    order = order[np.append(True, (np.diff(keys) != 0).any(axis=0))[: len(order)]]
    return pd.DataFrame(
        {
            "trial": pd.Categorical.from_codes(codes[order], categories=trials),
            "metric": pd.Categorical.from_codes(metric_codes[order], categories=metrics),
            "epoch": epochs[order],
            "value": values[order],
        }
    )
