"""A trial's config as columns: typed, with what a trial did that lacks a field, and with its regularizers' strengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from memory_study import identity
from memory_study.config import ABSENT, FIELDS

CONTROL = "none"
"""The regularizer of a trial that has none."""
TEXT = ("dataset", "dataset_digest", "csr_epochs", "regularizers")
"""Fields that are text even where they look like a number."""
_UNKNOWN = "unknown"


def filled(params: pd.DataFrame) -> pd.DataFrame:
    """What a trial of older code did before a field of the config existed, in the place of the param that it lacks."""
    absent = {name: identity.to_text(value) for name, value in ABSENT.items() if name in params}
    return params.fillna(absent)


def with_fields(trials: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The trials with those of the ``columns`` that are fields or strengths: what they did without having these."""
    lacking = [column for column in columns if column not in trials]
    fields = {column: _absent(column) for column in lacking if column in ABSENT}
    return trials.assign(**fields, **{column: 0.0 for column in lacking if column.startswith("strength.")})


def typed(config: pd.DataFrame) -> pd.DataFrame:
    """Params, which a store has as text, as what they are: bool, int, float or text, NaN where a trial has none."""
    columns = {name: (as_text if name in TEXT else _typed_column)(config[name]) for name in config.columns}
    return pd.DataFrame(columns, index=config.index)


def strengths(config: pd.DataFrame) -> pd.DataFrame:
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


def words(column: pd.Series) -> pd.Series:
    """A field of the config, the column's name, as text: whole numbers without a decimal point even where a trial lacks
    one, its ``absent`` value where older code had no such field, else "unknown".
    """
    name = str(column.name)
    known = column.fillna(_absent(name)) if name in ABSENT else column
    whole = FIELDS[name].type == "int" and pd.api.types.is_float_dtype(known)
    text = known.map("{:.0f}".format, na_action="ignore") if whole else known.astype(str)
    return text.astype(object).where(known.notna(), _UNKNOWN).astype(str)


def as_text(column: pd.Series) -> pd.Series:
    """A column as pandas' own type of text, whatever its version has for that."""
    return pd.Series(column.tolist(), column.index)


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
    return as_text(text)


def _absent(field: str) -> str | float:
    """What older code did before a field of the config existed, as the tables have it: lists are text."""
    value = ABSENT[field]
    return identity.to_text(value) if isinstance(value, tuple) else value


def _single(strengths: Sequence[float]) -> float:
    return float("nan") if len(strengths) > 1 else sum(strengths)
