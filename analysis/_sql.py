"""Reading an MLflow database with SQL, straight into tables. SQLite is opened read-only."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import sqlalchemy
from sqlalchemy import bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from analysis._store import SCHEMES, Experiment, MissingExperimentError, Rows, StoreError, hide_password
from memory_study.record import Tag

_BUSY_SECONDS = 30  # a sweep may be writing: longer than its longest transaction
_TRIALS = """
    FROM runs r JOIN tags k ON k.run_uuid = r.run_uuid AND k.key = 'kind' AND k.value = 'trial'
    WHERE r.experiment_id = :experiment AND r.status = 'FINISHED' AND r.lifecycle_stage = 'active'
"""


class SqlStore:
    """An MLflow database: SQLite or PostgreSQL. Raises StoreError if it is not readable as one."""

    def __init__(self, uri: str) -> None:
        self._shown = hide_password(uri)
        self._engine = _engine(uri, self._shown)
        self._check_version(uri)

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
            raise StoreError(
                f"experiment {name!r} is deleted; "
                f"bring it back with: mlflow experiments restore -x {identifier}"
            )
        tags = self._read("SELECT key, value FROM experiment_tags WHERE experiment_id = :id", id=identifier)
        return Experiment(str(identifier), name, dict(tags))

    def rows(self, experiment: Experiment, curves: Sequence[str]) -> Rows:
        """See :class:`analysis._store.Store`."""
        wanted = {"experiment": int(experiment.id)}
        trials = f"(SELECT r.run_uuid {_TRIALS})"
        long = "SELECT run_uuid, key, value FROM {} WHERE run_uuid IN " + trials
        runs = self._read(f"SELECT r.run_uuid, r.end_time {_TRIALS}", **wanted)
        params = self._read(long.format("params"), **wanted)
        tags = self._read(long.format("tags") + " AND key IN :keys", keys=list(Tag), **wanted)
        metrics = self._read(long.format("latest_metrics") + " AND NOT is_nan", **wanted)
        points: Sequence[Any] = ()
        if curves:
            history = f"SELECT run_uuid, key, step, value FROM metrics WHERE run_uuid IN {trials}"
            points = self._read(history + " AND key IN :keys AND NOT is_nan", keys=list(curves), **wanted)
        key_value = ["run", "key", "value"]
        return Rows(
            runs=pd.DataFrame.from_records(runs, columns=["run", "end_time"]),
            params=pd.DataFrame.from_records(params, columns=key_value),
            tags=pd.DataFrame.from_records(tags, columns=key_value),
            metrics=pd.DataFrame.from_records(metrics, columns=key_value),
            curves=pd.DataFrame.from_records(points, columns=["run", "key", "step", "value"]),
        )

    def _read(self, query: str, **values: Any) -> list[Any]:
        """All rows that a query gives, as plain tuples."""
        statement = text(query)
        if "keys" in values:
            statement = statement.bindparams(bindparam("keys", expanding=True))
            values["keys"] = [str(key) for key in values["keys"]]
        with _one_line_errors(self._shown), self._engine.connect() as connection:
            # The driver's own cursor: SQLAlchemy's rows are objects, which doubles the time for a million
            # points.
            cursor = connection.execute(statement, values).cursor
            return [] if cursor is None else list(cursor.fetchall())

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


def missing_experiment(name: str, shown_uri: str, known: Sequence[str]) -> str:
    """The line that says which experiments there are, and how to make this one."""
    others = ", ".join(sorted(known)) or "none"
    return (
        f"no experiment {name!r} in {shown_uri} (there: {others}); choose one with --experiment, "
        f"or fill it with: python -m sweeps.{name if name.isidentifier() else '<name>'}"
    )


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
