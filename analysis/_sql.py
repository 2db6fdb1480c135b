"""Reading an MLflow database with SQL, straight into tables. SQLite is opened read-only."""

from __future__ import annotations

import importlib.util
import json
import re
import sqlite3
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import pandas as pd
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from analysis._artifacts import read, read_all
from analysis._rows import Facts, History, history, joined, names_index, wide
from analysis._store import (
    ARRAYS_FILE,
    FAILURE,
    SCHEMES,
    TAGS,
    Experiment,
    MissingExperimentError,
    StoreError,
    UnusableExperimentError,
    hide_password,
    mark,
)

_BUSY_SECONDS = 30  # a sweep may be writing: longer than its longest transaction
_PORTION = 2000
"""Runs in one query: a reader of SQLite keeps its writers waiting only so long, and a query only so large."""
_POINT = np.dtype([("place", np.int64), ("step", np.int64), ("value", np.float64)])


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _tag(name: str) -> str:
    return f"(SELECT value FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = '{name}')"


_RUNS = """FROM runs r JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = 'kind' AND k.value = 'trial'
    WHERE r.experiment_id = :experiment AND r.lifecycle_stage = 'active'"""
# After id and end time, what tells whether facts changed: all tags that are read, and sums over params and
# latest metrics. Reading these themselves takes four times as long.
_TRIALS = f"""
    SELECT r.run_uuid, r.end_time, {", ".join(map(_tag, TAGS))},
        (SELECT count(*) FROM params p WHERE p.run_uuid = r.run_uuid),
        (SELECT count(*) || ' ' || sum(m.step) || ' ' || sum(m.timestamp) || ' ' || sum(m.value)
            FROM latest_metrics m WHERE m.run_uuid = r.run_uuid)
    {_RUNS} AND r.status = 'FINISHED'
"""
_FAILED = f"SELECT {', '.join(map(_tag, FAILURE))} {_RUNS} AND r.status = 'FAILED' ORDER BY r.start_time, r.run_uuid"
# A list of runs as a table, in which a run is a small number. The joins are CROSS JOINs, which SQLite takes in the
# order written; it would rather walk through all points of the store for each run.
_LISTS = {
    "sqlite": "(SELECT key AS place, value AS run FROM json_each(:runs)) j",
    "postgresql": "(SELECT place - 1 AS place, run FROM json_array_elements_text(CAST(:runs AS json)) "
    "WITH ORDINALITY AS listed(run, place)) j",
}
_INDEX = "index_metrics_run_uuid_key_step"


class SqlStore:
    """An MLflow database: SQLite or PostgreSQL. Raises StoreError if it is not readable as one."""

    def __init__(self, uri: str) -> None:
        self._shown = hide_password(uri)
        self._engine = _engine(uri, self._shown)
        self.identity = identity(uri)
        self._check_version(uri)
        self._runs = _LISTS[self._engine.dialect.name]
        self._hint = self._index_hint()

    def experiment(self, name: str) -> Experiment:
        """See :class:`analysis._store.Store`."""
        # A name is unique within a workspace; a store that never heard of workspaces has "default"
        # everywhere.
        query = "SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = :name"
        found = self._read(query + " AND workspace = 'default'", name=name)
        if not found:
            known = [
                row[0] for row in self._read("SELECT name FROM experiments WHERE lifecycle_stage = 'active'")
            ]
            raise MissingExperimentError(missing_experiment(name, self._shown, known))
        identifier, stage = found[0]
        if stage != "active":
            raise UnusableExperimentError(
                f"experiment {name!r} is deleted; "
                f"bring it back with: mlflow experiments restore -x {identifier}"
            )
        tags = self._read("SELECT key, value FROM experiment_tags WHERE experiment_id = :id", id=identifier)
        return Experiment(str(identifier), name, dict(tags))

    def trials(self, experiment: Experiment, known: Container[str]) -> tuple[pd.DataFrame, Facts]:
        """See :class:`analysis._store.Store`."""
        found = self._read(_TRIALS, experiment=int(experiment.id))
        runs = [row[0] for row in found]
        table = pd.DataFrame(
            {"end_time": np.array([row[1] for row in found], float), "mark": [mark(*row) for row in found]},
            index=names_index(runs),
        )
        return table, self._facts(
            [run for run, each in zip(runs, table["mark"], strict=True) if each not in known]
        )

    def failed(self, experiment: Experiment) -> pd.DataFrame:
        """See :class:`analysis._store.Store`."""
        found = self._read(_FAILED, experiment=int(experiment.id))
        return pd.DataFrame(found, columns=[*map(str, FAILURE)], dtype=object).replace({None: np.nan})

    def history(self, runs: Sequence[str], key: str) -> History:
        """See :class:`analysis._store.Store`."""
        parts = [self._points(part, key) for part in _portions(runs)]
        return joined(parts or [self._points((), key)])

    def arrays(self, runs: Sequence[str]) -> list[bytes]:
        """See :class:`analysis._store.Store`."""
        query = f"SELECT r.artifact_uri FROM {self._runs} CROSS JOIN runs r WHERE r.run_uuid = j.run ORDER BY j.place"
        folders = [row[0] for part in _portions(runs) for row in self._read(query, runs=json.dumps(part))]
        return read_all([f"{folder}/{ARRAYS_FILE}" for folder in folders], read)

    def _facts(self, runs: Sequence[str]) -> Facts:
        tags = f"tags t WHERE t.run_uuid = j.run AND t.key IN ({_quoted(TAGS)})"
        return Facts(
            params=wide(runs, self._cells(runs, "params t WHERE t.run_uuid = j.run"), object),
            tags=wide(runs, self._cells(runs, tags), object),
            metrics=wide(
                runs,
                self._cells(runs, "latest_metrics t WHERE t.run_uuid = j.run AND NOT t.is_nan"),
                float,
            ),
        )

    def _cells(self, runs: Sequence[str], source: str) -> list[tuple[int, str, Any]]:
        """Place of the run, key and value of all rows of a table."""
        query = f"SELECT j.place, t.key, t.value FROM {self._runs} CROSS JOIN {source}"
        return [
            (start + place, key, value)
            for start, part in zip(range(0, len(runs), _PORTION), _portions(runs), strict=True)
            for place, key, value in self._read(query, runs=json.dumps(part))
        ]

    def _points(self, runs: Sequence[str], key: str) -> History:
        query = (
            f"SELECT j.place, m.step, m.value FROM {self._runs} CROSS JOIN metrics m {self._hint} "
            "WHERE m.run_uuid = j.run AND m.key = :key AND NOT m.is_nan"
        )
        with self._rows_of(query, runs=json.dumps(runs), key=key) as rows:
            points = np.fromiter(rows, _POINT)  # not a tuple of Python objects is kept: a tenth of the memory
        return history(len(runs), points["place"], points["step"], points["value"])

    def _read(self, query: str, **values: Any) -> list[Any]:
        """All rows that a query gives, as plain tuples."""
        with self._rows_of(query, **values) as rows:
            return list(rows)

    @contextmanager
    def _rows_of(self, query: str, **values: Any) -> Iterator[Iterable[Any]]:
        """The rows that a query gives, one by one."""
        with _one_line_errors(self._shown), self._engine.connect() as connection:
            # The driver's own cursor: SQLAlchemy's rows are objects, which doubles the time for a million
            # points.
            cursor = connection.execute(text(query), values).cursor
            yield [] if cursor is None else iter(cast("Iterable[Any]", cursor))

    def _index_hint(self) -> str:
        """Makes SQLite use the index by run. It prefers one by metric: all points of the store for each run."""
        if self._engine.dialect.name != "sqlite":
            return ""
        with _one_line_errors(self._shown):
            names = {index["name"] for index in sqlalchemy.inspect(self._engine).get_indexes("metrics")}
        return f"INDEXED BY {_INDEX}" if _INDEX in names else ""

    def _check_version(self, uri: str) -> None:
        """Raise StoreError unless the database has the tables of the installed MLflow."""
        with _one_line_errors(self._shown):
            tables = set(sqlalchemy.inspect(self._engine).get_table_names())
        if not {"alembic_version", "experiments", "runs", "latest_metrics"} <= tables:
            raise StoreError(
                f"{self._shown} is not an MLflow database; give --tracking-uri the store that the sweep wrote"
            )
        found = {row[0] for row in self._read("SELECT version_num FROM alembic_version")}
        known, newest = _revisions()
        if found == newest:
            return
        advice = (
            f"back it up, then: mlflow db upgrade {self._shown}"
            if found <= known
            else "install the newer MLflow that wrote it"
        )
        raise StoreError(
            f"{self._shown} is a database of another MLflow version ({', '.join(sorted(found)) or 'none'}, "
            f"here {', '.join(sorted(newest))}); {advice}"
        )


def _portions(runs: Sequence[str]) -> list[Sequence[str]]:
    return [runs[start : start + _PORTION] for start in range(0, len(runs), _PORTION)]


def missing_experiment(name: str, shown_uri: str, known: Sequence[str]) -> str:
    """The line that says which experiments there are, and how to make this one."""
    others = ", ".join(sorted(known)) or "none"
    return (
        f"no experiment {name!r} in {shown_uri} (there: {others}); choose one with --experiment, "
        f"or fill it with: python -m sweeps.{name if name.isidentifier() else '<name>'}"
    )


def identity(uri: str) -> str:
    """What tells a database from others: its absolute path, or its URI without its secrets."""
    url = sqlalchemy.make_url(uri)
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{Path(url.database or '').resolve()}"
    return hide_password(url.set(password=None).render_as_string())


def _engine(uri: str, shown: str) -> sqlalchemy.Engine:
    try:
        url = sqlalchemy.make_url(uri)
        if url.get_backend_name() != "sqlite":
            return sqlalchemy.create_engine(url, connect_args={"connect_timeout": 10})
    except SQLAlchemyError:
        raise StoreError(f"tracking URI {shown!r} is not one; use --tracking-uri {SCHEMES}") from None
    except ModuleNotFoundError as error:
        raise StoreError(
            f"{shown} needs the driver {error.name}, which is not installed; "
            "pip install psycopg2-binary and write the URI as postgresql+psycopg2://..."
        ) from None
    path = Path(url.database or "")
    if not path.is_file():
        raise StoreError(
            f"{shown} has no database file {path}; run a sweep first, or use --tracking-uri {SCHEMES}"
        )
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    return sqlalchemy.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)
    )


@contextmanager
def _one_line_errors(shown: str) -> Iterator[None]:
    """Turn what a driver raises into a StoreError of one line."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()
        reason = cause[0] if cause else type(error).__name__
        raise StoreError(
            f"{shown} cannot be read ({reason}); check that it runs and that you may read it"
        ) from None


@cache
def _revisions() -> tuple[set[str], set[str]]:
    """Revisions of the database that the installed MLflow knows, and the newest one.

    Read from the text of its migration scripts: asking MLflow itself costs seconds of imports.
    """
    spec = importlib.util.find_spec("mlflow")
    folder = (
        Path(spec.origin).parent / "store/db_migrations/versions"
        if spec and spec.origin
        else Path("/nowhere")
    )
    scripts = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    known = set(re.findall(r"^revision\s*=\s*[\"'](\w+)", scripts, re.MULTILINE))
    older = re.findall(r"^down_revision\s*=\s*(.+)$", scripts, re.MULTILINE)
    return known, known - set(re.findall(r"\w+", " ".join(older)))
