"""Which trials the tracking store already knows. Read once, before anything starts.

A database is read with plain SQL: importing MLflow takes longer than that, and a dry run must not create or migrate
its tables.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from memory_study.record import SCHEMA, Tag

RANK = {"FINISHED": 2, "FAILED": 1}
"""Of several runs of one trial the best counts; anything else is a run that was interrupted."""

_EXPERIMENT = "select experiment_id, lifecycle_stage from experiments where name = :name"
_SCHEMA = "select t.value from experiment_tags t where t.key = :key and t.experiment_id = :experiment"
_COUNT = "select count(*) from runs where experiment_id = :experiment and lifecycle_stage = 'active'"
_RUNS = """
select tags.value, runs.status, runs.run_uuid
from runs join tags on tags.run_uuid = runs.run_uuid and tags.key = :key
where runs.experiment_id = :experiment and runs.lifecycle_stage = 'active'
"""

_IN_QUERY = re.compile(
    r"([?&](?:sig|key|auth|[^=&\s]*(?:passw|passphrase|pwd|secret|token|api.?key|access.?key|credential)[^=&\s]*)=)"
    r"[^&\s]*?(?=['\")]*(?:[&\s]|$))",
    re.IGNORECASE,
)
_OF_USER = re.compile(r"(://[^:/@\s]*):(?:[^?\s]*|[^/\s]*)@")

T = TypeVar("T")
Read = Callable[[str, Mapping[str, Any]], Sequence[Any]]
"""All rows that a query with these values gives."""


class LedgerError(Exception):
    """The store cannot be read as one of ours; one line with the next step."""


class StoreAwayError(LedgerError):
    """It does not answer, or not as it should: that may pass."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the store holds of a trial: the run that counts."""

    status: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """Entries by trial id."""

    entries: Mapping[str, Entry]

    @property
    def finished(self) -> frozenset[str]:
        """The ids of the trials that are done."""
        return frozenset(trial for trial, entry in self.entries.items() if entry.status == "FINISHED")


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite URI (``sqlite:///relative`` or ``sqlite:////absolute``), or None for another
    store.
    """
    prefix = "sqlite:///"
    return Path(uri[len(prefix) :].partition("?")[0]) if uri.startswith(prefix) else None


def without_password(text: str) -> str:
    """A store's URI, or a text with one, as it may be shown, without its password and the secrets of its query: terminals
    and logs are copied into issues.
    """
    return _OF_USER.sub(r"\1:***@", _IN_QUERY.sub(r"\1***", text))


def merge(rows: Iterable[tuple[str, str, str]]) -> dict[str, Entry]:
    """Entries from rows of trial id, status and run id."""
    found: dict[str, Entry] = {}
    for trial, status, run_id in rows:
        if trial not in found or RANK.get(status, 0) > RANK.get(found[trial].status, 0):
            found[trial] = Entry(status, run_id)
    return found


def check_schema(experiment: str, tag: str | None, has_runs: bool) -> None:
    """Raise :class:`LedgerError` if the experiment holds records of another schema, or none of ours."""
    if tag == str(SCHEMA) or (tag is None and not has_runs):
        return
    found = f"records of schema {tag}" if tag is not None else "runs that this project did not write"
    raise LedgerError(
        f"experiment {experiment!r} holds {found}, and this version reads and writes schema {SCHEMA}; "
        "choose another name with --experiment"
    )


def read_ledger(uri: str, experiment: str) -> Ledger:
    """All trials of an experiment, whoever ran them; empty where there is no store or experiment yet.

    Raises :class:`LedgerError` for a store or experiment that is not ours to write.
    """
    if is_server(uri):
        return _read_with_client(uri, experiment)
    with tables(uri) as read:
        return _read_tables(read, experiment) if read else Ledger({})


def is_server(uri: str) -> bool:
    """Whether a store is reached through MLflow's REST interface; else it is a database."""
    return uri.startswith(("http://", "https://"))


@contextlib.contextmanager
def tables(uri: str) -> Iterator[Read | None]:
    """A database's tables, to be read with plain SQL for as long as the context lasts; None where there are none yet.

    Raises :class:`LedgerError`, one line, for what cannot be read.
    """
    file = sqlite_path(uri)
    if file is None:
        with _database(uri) as read:
            yield read
    elif file.exists() and file.stat().st_size:
        with _file(file) as read:
            yield read
    else:
        yield None


@contextlib.contextmanager
def _file(file: Path) -> Iterator[Read]:
    try:
        connection = sqlite3.connect(f"file:{file.resolve()}?mode=ro", uri=True, timeout=20)
    except sqlite3.Error as error:
        raise LedgerError(
            f"tracking store {file} cannot be opened ({error}); check the path and its permissions"
        ) from None
    try:
        yield lambda query, values: connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise StoreAwayError(
            f"{file} is not an MLflow store that can be read ({error}); give --tracking-uri another file, "
            "or bring an older store up to date with: mlflow db upgrade"
        ) from None
    finally:
        connection.close()


@contextlib.contextmanager
def _database(uri: str) -> Iterator[Read | None]:
    import sqlalchemy  # not needed for a file

    try:
        engine = sqlalchemy.create_engine(
            uri, poolclass=sqlalchemy.NullPool, connect_args=connection_arguments(uri)
        )
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("experiments"):
                yield None
                return
            yield lambda query, values: connection.execute(sqlalchemy.text(query), values).fetchall()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise StoreAwayError(
            f"tracking store {without_password(uri)} cannot be read ({first_line(error)}); check it, then run again"
        ) from None


def connection_arguments(uri: str) -> dict[str, Any]:
    """For the driver of a database: one that does not answer is given up soon."""
    return {"connect_timeout": 10} if uri.startswith("postgresql") else {}


def _read_tables(read: Read, experiment: str) -> Ledger:
    found = read(_EXPERIMENT, {"name": experiment})
    if not found:
        return Ledger({})
    identifier, stage = found[0]
    check_active(experiment, stage)
    schema = read(_SCHEMA, {"key": str(Tag.SCHEMA), "experiment": identifier})
    runs = read(_COUNT, {"experiment": identifier})[0][0]
    check_schema(experiment, schema[0][0] if schema else None, bool(runs))
    rows = read(_RUNS, {"key": str(Tag.TRIAL), "experiment": identifier})
    return Ledger(merge(tuple(row) for row in rows))


def check_active(experiment: str, stage: str) -> None:
    """Raise :class:`LedgerError` if the experiment is in MLflow's trash."""
    if stage != "active":
        raise LedgerError(
            f"experiment {experiment!r} was deleted; restore it with `mlflow experiments restore`, "
            "or choose another name with --experiment"
        )


def _read_with_client(uri: str, experiment: str) -> Ledger:
    rows = trials_on_server(uri, experiment, lambda run: (run.info.status, run.info.run_id))
    if rows is None:
        return Ledger({})
    return Ledger(merge((trial, *row) for trial, row in rows))


def trials_on_server(uri: str, experiment: str, of: Callable[[Any], T]) -> list[tuple[str, T]] | None:
    """A trial's id, and what ``of`` makes of the client's run, for each run of a trial; None without an experiment.

    Raises :class:`LedgerError` for a server that does not answer, or an experiment that is not ours to write.
    """
    from mlflow import MlflowClient  # slow to import, and not needed for a file
    from mlflow.exceptions import MlflowException

    client = MlflowClient(uri)
    try:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return None
        check_active(experiment, found.lifecycle_stage)
        rows: list[tuple[str, T]] = []
        token, has_runs = None, False
        while True:
            page = client.search_runs([found.experiment_id], max_results=1000, page_token=token)
            has_runs = has_runs or bool(page)
            rows += [(run.data.tags[Tag.TRIAL], of(run)) for run in page if Tag.TRIAL in run.data.tags]
            token = page.token
            if not token:
                break
    except MlflowException as error:
        raise StoreAwayError(
            f"tracking store {without_password(uri)} cannot be read ({first_line(error)}); check it, then run again"
        ) from None
    check_schema(experiment, found.tags.get(Tag.SCHEMA), has_runs)
    return rows


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind; without passwords, because MLflow quotes URIs."""
    return without_password((str(error).strip().splitlines() or [type(error).__name__])[0])
