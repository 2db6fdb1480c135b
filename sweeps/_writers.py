"""Writing outcomes to an MLflow store, each trial as one run, however often it is tried.

Two ways behind one interface. Through a server every run takes the public client's calls. A database that
this process reaches itself gets the rows of a whole batch in one transaction, through the tables that MLflow
declares.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from memory_study.record import SCHEMA, Record, Tag
from sweeps._alone import alone
from sweeps._batch import Outcome
from sweeps._isolate import one_line
from sweeps._ledger import (
    RANK,
    LedgerError,
    StoreAwayError,
    check_active,
    check_schema,
    first_line,
    is_server,
    sqlite_path,
    without_password,
)

MOST_PER_CALL = 900
"""Metrics in one call to a server: MLflow takes 1000 entities, params included."""

REQUESTS_AT_ONCE = 4
"""To a server, which works on several at a time."""

CREATION_ATTEMPTS, CREATION_PAUSE = 5, 2.0
"""Where somebody else, such as a server that starts, creates the tables at the same time. Seconds."""

# A call to a server that is away must come back soon: the tracker waits and tries again by itself.
HTTP_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # printing it costs a request
}


class Writer(Protocol):
    """A store open for writing."""

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Write each outcome as one ended run, unless its trial is finished already. Trying again doubles
        nothing.
        """


def open_writer(uri: str, experiment: str) -> Writer:
    """Create the store and the experiment where they are missing, and open them.

    Raises :class:`LedgerError`, one line, for a store or experiment that cannot be used.
    """
    with alone(uri):
        _create_tables(uri)
        client, experiment_id = _open(uri, experiment)
    if is_server(uri):
        return ClientWriter(client, experiment_id, REQUESTS_AT_ONCE)
    from sweeps._tables import TableWriter, tables_are_known

    return (
        TableWriter(client, uri, experiment_id) if tables_are_known() else ClientWriter(client, experiment_id)
    )


def _create_tables(uri: str) -> None:
    """Of a new SQLite file, whole or not at all: MLflow takes seconds, and cannot go on where it was stopped."""
    file = sqlite_path(uri)
    if file is None or _has_content(file):
        return
    aside = file.with_name(f".{file.name}.new")
    for left in (aside, aside.with_name(f"{aside.name}-journal")):  # by a process that was stopped
        left.unlink(missing_ok=True)
    with store_errors(uri):
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        create: Any = SqlAlchemyStore
        create(f"sqlite:///{aside}", (file.parent / "mlartifacts").absolute().as_uri()).engine.dispose()
    if _has_content(file):  # somebody else, such as a server that starts, was faster: that is the store
        aside.unlink()
    else:
        aside.replace(file)


def _has_content(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def open_client(uri: str) -> Any:
    """MLflow's client. Creates the tables of a database that has none."""
    for name, value in HTTP_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # slow to import

    return MlflowClient(uri)


@contextlib.contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turns what MLflow raises into a LedgerError of one line."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise StoreAwayError(
            f"tracking store {without_password(uri)} cannot be used ({first_line(error)}); mend it, or name another"
        ) from error


@contextlib.contextmanager
def artifact_errors() -> Iterator[None]:
    """Turns what object stores raise (each has errors of its own) into an OSError, so that it is tried again."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (OSError, MlflowException):
        raise
    except Exception as error:
        raise OSError(f"the run's files cannot be stored: {one_line(error)}") from error


def _open(uri: str, experiment: str) -> tuple[Any, str]:
    from sqlalchemy.exc import SQLAlchemyError

    for attempt in range(1, CREATION_ATTEMPTS + 1):
        try:
            with store_errors(uri):
                client = open_client(uri)
                return client, _open_experiment(client, uri, experiment)
        except LedgerError as error:
            being_created = isinstance(error.__cause__, SQLAlchemyError) or "found version None" in str(error)
            if not being_created or attempt == CREATION_ATTEMPTS:
                raise
            time.sleep(CREATION_PAUSE)
    raise AssertionError


def metrics_of(record: Record) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of every number in a record: curves at their epochs, scalars at step 0."""
    for name, curve in record.curves.items():
        yield from ((name, value, epoch) for epoch, value in curve)
    yield from ((name, value, 0) for name, value in record.scalars.items())


class ClientWriter:
    """Through MLflow's public client: four calls a trial, to a server or a database.

    A server is sent ``at_once`` trials at a time, because most of a call is waiting.
    """

    def __init__(self, client: Any, experiment_id: str, at_once: int = 1) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._at_once = at_once

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """See :class:`Writer`."""
        with ThreadPoolExecutor(self._at_once) as pool:
            list(pool.map(self._write_once, outcomes))

    def _write_once(self, outcome: Outcome) -> None:
        from mlflow.exceptions import MlflowException

        trial = outcome.config.id
        if self._leaves_one(trial, ("FINISHED",)):
            return None
        run_id = self._create(outcome)
        try:
            self._fill(run_id, outcome)
        except MlflowException:
            if not self._is_deleted(run_id):
                raise
            # Another writer has written how the trial ended, and cleared away this run.
            return self._write_once(outcome)
        while not self._leaves_one(trial, RANK):
            self._client.restore_run(run_id)
        return None

    def _leaves_one(self, trial: str, statuses: Collection[str]) -> bool:
        """Leave of a trial's runs the best with one of these statuses; the others go to MLflow's trash. False where there is
        none.

        Through a server, nothing makes asking and writing one step, so two writers may both write a trial. Whoever ends
        last sees both runs, and all keep the same one, which is the one that the analysis would count. Runs that have not
        ended are of a writer that died, or that is about to see that the trial is done. Or to end: then each may have kept
        its own run and cleared away the other's, which is why one looks again, and restores its own.
        """
        query = f"tags.{Tag.TRIAL} = '{trial}'"
        while len(runs := list(self._client.search_runs([self._experiment_id], query))) > 1:
            ended = sorted(
                (run for run in runs if run.info.status in statuses), key=lambda run: precedence(run.info)
            )
            if not ended:
                return False
            for run in runs:
                if run is not ended[0]:
                    self._client.delete_run(run.info.run_id)
        return any(run.info.status in statuses for run in runs)

    def _is_deleted(self, run_id: str) -> bool:
        return bool(self._client.get_run(run_id).info.lifecycle_stage == "deleted")

    def _create(self, outcome: Outcome) -> str:
        tags, name = dict(outcome.tags), outcome.config.name
        run = self._client.create_run(self._experiment_id, outcome.start, tags, run_name=name)
        return str(run.info.run_id)

    def _fill(self, run_id: str, outcome: Outcome) -> None:
        from mlflow.entities import Metric, Param

        points = [] if outcome.record is None else list(metrics_of(outcome.record))
        # Timestamps come from the outcome: the same point sent twice is then one point.
        metrics = [Metric(name, value, outcome.end, step) for name, value, step in points]
        params = [Param(name, value) for name, value in outcome.config.params().items()]
        self._client.log_batch(run_id, metrics[:MOST_PER_CALL], params)
        for first in range(MOST_PER_CALL, len(metrics), MOST_PER_CALL):
            self._client.log_batch(run_id, metrics[first : first + MOST_PER_CALL])
        with files_of(outcome.record) as files, artifact_errors():
            for path, folder in files:
                self._client.log_artifact(run_id, path, folder)
        self._client.set_terminated(run_id, outcome.status, outcome.end)


def precedence(ended: Any) -> tuple[int, int, str]:
    """Smallest for the run that stays: the first that finished, else the last that failed."""
    finished = ended.status == "FINISHED"
    return -RANK[ended.status], ended.end_time if finished else -ended.end_time, ended.run_id


@contextlib.contextmanager
def files_of(record: Record | None) -> Iterator[list[tuple[str, str | None]]]:
    """Paths of a record's files and their folders among a run's artifacts, for as long as the context lasts."""
    with contextlib.ExitStack() as stack:
        files: list[tuple[str, str | None]] = []
        if record is not None and (record.model is not None or record.arrays):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if record.model is not None:
                (folder / "model.pt").write_bytes(record.model)
                files.append((str(folder / "model.pt"), "model"))
            if record.arrays:
                np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **record.arrays)
                files.append((str(folder / "arrays.npz"), None))
        yield files


def _open_experiment(client: Any, uri: str, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(
                client.create_experiment(name, _artifact_location(uri, name), {Tag.SCHEMA: str(SCHEMA)})
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another driver was faster
    check_active(name, found.lifecycle_stage)
    tag = found.tags.get(Tag.SCHEMA)
    has_runs = tag is None and bool(client.search_runs([found.experiment_id], max_results=1))
    check_schema(name, tag, has_runs)
    if tag is None:
        client.set_experiment_tag(found.experiment_id, Tag.SCHEMA, str(SCHEMA))
    return str(found.experiment_id)


def _artifact_location(uri: str, experiment: str) -> str | None:
    """Beside a database file, so that it does not depend on the folder that a command happens to run in."""
    file = sqlite_path(uri)
    if file is None:
        return None
    # A name that is a path, or longer than a file system takes, is a poor folder: its hash is a good one.
    plain = re.fullmatch(r"\w[\w .-]{0,99}", experiment, re.ASCII)
    folder = experiment if plain else hashlib.sha256(experiment.encode()).hexdigest()[:16]
    return (file.resolve().parent / "mlartifacts" / folder).as_uri()
