"""Writing a batch of runs to a database in one transaction, through the tables that MLflow's own models
declare.

The public client spends about 25 ms of processor time a trial building an object for every point, and commits
five times. Rows inserted in bulk take about 2.5 ms a trial (measured on SQLite: 250 points, 33 params, 12
tags a trial; .7 ms with 30 points), and the batch is in the store as a whole or not at all: no run is ever
seen half written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.dbmodels.models import (
    SqlExperiment,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_USER
from mlflow.utils.uri import append_to_uri_path
from sqlalchemy import Table, insert, select, text, update

from memory_study.record import Tag
from sweeps._batch import Outcome
from sweeps._writers import files_of, metrics_of

Rows = dict[Any, list[dict[str, Any]]]
"""Rows to insert, by model, in an order that satisfies foreign keys."""

_MODELS: tuple[Any, ...] = (SqlRun, SqlTag, SqlParam, SqlMetric, SqlLatestMetric)


def tables_are_known() -> bool:
    """Whether the installed MLflow's tables ask for nothing that :func:`rows_of` does not fill in."""
    run = dict.fromkeys(_run_row("", "", "", "", "", 0, 0))
    point = dict.fromkeys(("run_uuid", "key", "value", "timestamp", "step", "is_nan"))
    pair = dict.fromkeys(("run_uuid", "key", "value"))
    filled = (run, pair, pair, point, point)
    return all(_covers(columns, model.__table__) for columns, model in zip(filled, _MODELS, strict=True))


def _covers(filled: Mapping[str, None], table: Table) -> bool:
    needed = {
        c.name for c in table.columns if not c.nullable and c.default is None and c.server_default is None
    }
    return needed <= filled.keys() <= {c.name for c in table.columns}


class TableWriter:
    """Through the database itself: see the head of this file."""

    def __init__(self, client: Any, uri: str, experiment_id: str) -> None:
        self._artifacts = client.get_experiment(experiment_id).artifact_location
        self._experiment_id = int(experiment_id)
        store: Any = SqlAlchemyStore
        self._store = store(uri, self._artifacts)

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """See :class:`sweeps._writers.Writer`."""
        runs = [(outcome, outcome.config.id, new_run_id()) for outcome in outcomes]
        for outcome, _, run_id in runs:
            self._upload(outcome, run_id)
        with self._store.ManagedSessionMaker(read_only=False) as session:
            finished = self._claim(session, [trial for _, trial, _ in runs])
            rows: Rows = {model: [] for model in _MODELS}
            for outcome, trial, run_id in runs:
                if trial not in finished:
                    add_rows(rows, outcome, run_id, self._experiment_id, self._location(run_id))
            for model, values in rows.items():
                if values:
                    session.execute(insert(model.__table__), values)

    def _claim(self, session: Any, trials: Sequence[str]) -> set[str]:
        """The trials that are finished already; unfinished runs of ``trials`` go to MLflow's trash.

        Nobody else is here before the transaction has ended, so two writers cannot both find a trial unfinished.
        """
        self._lock(session)
        runs = SqlRun.__table__
        tags = SqlTag.__table__
        tagged = select(tags.c.run_uuid).where(tags.c.key == Tag.TRIAL, tags.c.value.in_(trials))
        ours = (runs.c.experiment_id == self._experiment_id) & (runs.c.lifecycle_stage == "active")
        session.execute(
            update(runs)
            .where(ours, runs.c.status != "FINISHED", runs.c.run_uuid.in_(tagged))
            .values(lifecycle_stage="deleted", deleted_time=int(time.time() * 1000))
        )
        done = (
            select(tags.c.value)
            .join(runs, runs.c.run_uuid == tags.c.run_uuid)
            .where(ours, runs.c.status == "FINISHED", tags.c.key == Tag.TRIAL, tags.c.value.in_(trials))
        )
        return set(session.execute(done).scalars())

    def _lock(self, session: Any) -> None:
        """The whole database (SQLite), else the experiment's row, in a way that lets others add runs to it."""
        if self._store.engine.dialect.name == "sqlite":
            session.execute(text("BEGIN IMMEDIATE"))
            return
        row: Any = select(SqlExperiment.experiment_id).where(
            SqlExperiment.experiment_id == self._experiment_id
        )
        session.execute(row.with_for_update(key_share=True))

    def _location(self, run_id: str) -> str:
        append: Callable[..., str] = append_to_uri_path
        return append(self._artifacts, run_id, SqlAlchemyStore.ARTIFACTS_FOLDER_NAME)

    def _upload(self, outcome: Outcome, run_id: str) -> None:
        with files_of(outcome.record) as files:
            for path, folder in files:
                repository: Any = get_artifact_repository(self._location(run_id))
                repository.log_artifact(path, folder)


def new_run_id() -> str:
    """Thirty-two hexadecimal digits, as MLflow's own, but later ones sort behind earlier ones.

    All indexes of MLflow's tables hold the run's id. Random ones scatter each trial's rows over the whole of every
    index: a trial then took 1.0 ms to write at first and 3.1 ms after 9,000, and ordered ones .7 and .9 ms (measured
    on SQLite).
    """
    return f"{time.time_ns():016x}{uuid4().hex[:16]}"


def add_rows(rows: Rows, outcome: Outcome, run_id: str, experiment_id: int, artifacts: str) -> None:
    """Append what describes one ended run, in the columns that MLflow's own ``create_run`` and ``log_batch``
    fill.
    """
    name = outcome.config.name
    rows[SqlRun].append(
        _run_row(run_id, name, outcome.status, artifacts, experiment_id, outcome.start, outcome.end)
    )
    tags = {**outcome.tags, MLFLOW_RUN_NAME: name, MLFLOW_USER: ""}
    rows[SqlTag] += [{"run_uuid": run_id, "key": str(k), "value": v} for k, v in tags.items()]
    rows[SqlParam] += [{"run_uuid": run_id, "key": k, "value": v} for k, v in outcome.config.params().items()]
    latest: dict[str, dict[str, Any]] = {}
    for key, value, step in metrics_of(outcome.record) if outcome.record is not None else ():
        row = {
            "run_uuid": run_id, "key": key, "value": value, "timestamp": outcome.end, "step": step,
            "is_nan": False,
        }  # fmt: skip
        rows[SqlMetric].append(row)
        if key not in latest or step >= latest[key]["step"]:
            latest[key] = row
    rows[SqlLatestMetric] += latest.values()


def _run_row(
    run_id: str, name: str, status: str, artifacts: str, experiment_id: int | str, start: int, end: int
) -> dict[str, Any]:
    return {
        "run_uuid": run_id, "name": name, "status": status, "artifact_uri": artifacts,
        "experiment_id": experiment_id, "start_time": start, "end_time": end, "lifecycle_stage": "active",
        "user_id": "", "source_type": "UNKNOWN",
        "source_name": "", "entry_point_name": "", "source_version": "",
    }  # fmt: skip
