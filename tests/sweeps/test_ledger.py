from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from memory_study.config import TrialConfig
from memory_study.record import SCHEMA, Tag
from sweeps import _ledger
from sweeps._batch import Outcome
from sweeps._cli import _with_absolute_store
from sweeps._ledger import Entry, Ledger, LedgerError, merge, read_ledger, sqlite_path, without_password
from sweeps._options import Settings
from sweeps._writers import open_writer

Trials = Callable[[int], tuple[TrialConfig, ...]]


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_a_store_that_does_not_exist_holds_nothing_and_is_not_created(uri: str, tmp_path: Path) -> None:
    assert read_ledger(uri, "x").entries == {}
    assert not list(tmp_path.iterdir())


def read_as(kind: str, uri: str) -> Ledger:
    """The ledger of experiment x, by the way that stores of this kind are read."""
    if kind == "server":
        return _ledger._read_with_client(uri, "x")
    if kind == "file":
        return read_ledger(uri, "x")
    with _ledger._database(uri) as read:
        return _ledger._read_tables(read, "x") if read else Ledger({})


every_kind = pytest.mark.parametrize("kind", ["file", "database", "server"])


@every_kind
def test_all_readers_see_each_trials_best_run(
    kind: str, uri: str, trials: Trials, outcome: Callable[..., Outcome]
) -> None:
    done, failed, _ = trials(3)
    open_writer(uri, "x").write([outcome(done), outcome(failed, error="ValueError: no")])
    assert {trial: entry.status for trial, entry in read_as(kind, uri).entries.items()} == {
        done.id: "FINISHED",
        failed.id: "FAILED",
    }


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:pa:ss@host/db", "postgresql://me:***@host/db"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("postgresql://me:pa/ss@host/db", "postgresql://me:***@host/db"),
        (
            "postgresql://host/db?user=me&password=s3cr3t@x&port=1",
            "postgresql://host/db?user=me&password=***&port=1",
        ),
        ("postgresql://h:5432?password=s3cr3t@x", "postgresql://h:5432?password=***"),
        (
            "postgresql://me:s3cr3t@host/db?sslkey=a.pem&sslpassword=s3cr3t",
            "postgresql://me:***@host/db?sslkey=a.pem&sslpassword=***",
        ),
        ("read 'http://host/?Access_Token=s3cr3t' (no)", "read 'http://host/?Access_Token=***' (no)"),
        ("http://host:5000/?page=2&email=me@host", "http://host:5000/?page=2&email=me@host"),
    ],
)
def test_passwords_and_secrets_of_a_query_are_never_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown


def test_an_experiment_that_does_not_exist_holds_nothing(uri: str) -> None:
    open_writer(uri, "x")
    assert read_ledger(uri, "y").entries == {}


def test_runs_in_the_trash_do_not_count(uri: str, trials: Trials, outcome: Callable[..., Outcome]) -> None:
    from mlflow import MlflowClient

    (trial,) = trials(1)
    open_writer(uri, "x").write([outcome(trial)])
    MlflowClient(uri).delete_run(read_ledger(uri, "x").entries[trial.id].run_id)
    assert read_ledger(uri, "x").entries == {}


def test_figures_are_not_trials(uri: str, trials: Trials, outcome: Callable[..., Outcome]) -> None:
    from mlflow import MlflowClient

    open_writer(uri, "x").write([outcome(trials(1)[0])])
    client = MlflowClient(uri)
    client.create_run(client.get_experiment_by_name("x").experiment_id, tags={"kind": "figures"})
    assert set(read_ledger(uri, "x").entries) == {trials(1)[0].id}


@every_kind
def test_records_of_another_schema_are_refused(kind: str, uri: str) -> None:
    open_writer(uri, "x")
    with sqlite3.connect(sqlite_path(uri) or "") as connection:
        connection.execute("update experiment_tags set value = '999' where key = 'memory_study.schema'")
    with pytest.raises(LedgerError, match=r"schema 999, and this version .* schema 1; .* --experiment"):
        read_as(kind, uri)


def test_reading_a_database_creates_no_tables(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    assert read_as("database", f"sqlite:///{file}").entries == {}
    with sqlite3.connect(file) as connection:
        assert not connection.execute("select * from sqlite_master").fetchall()


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg2")
    uri = "postgresql+psycopg2://me:secret@127.0.0.1:9/none"
    for use in (read_ledger, open_writer):
        with pytest.raises(LedgerError, match=r"cannot be (read|used) .*127\.0\.0\.1.*port 9") as told:
            use(uri, "x")
        assert "secret" not in str(told.value)
        assert "\n" not in str(told.value)


def test_a_database_file_becomes_absolute_and_keeps_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = _with_absolute_store(Settings(tracking_uri="sqlite:///a.db?timeout=5"))
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/a.db?timeout=5"
    open_writer(settings.tracking_uri, "x")
    assert (tmp_path / "a.db").exists()


def test_an_experiment_that_others_fill_is_refused(uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    client.create_run(client.create_experiment("theirs"))
    with pytest.raises(LedgerError, match="did not write"):
        read_ledger(uri, "theirs")
    with pytest.raises(LedgerError, match="did not write"):
        open_writer(uri, "theirs")


def test_an_empty_experiment_is_adopted(uri: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    client.create_experiment("new")
    open_writer(uri, "new")
    assert client.get_experiment_by_name("new").tags == {Tag.SCHEMA: str(SCHEMA)}
    assert not read_ledger(uri, "new").entries


def test_a_deleted_experiment_is_not_revived(uri: str) -> None:
    from mlflow import MlflowClient

    open_writer(uri, "x")
    client = MlflowClient(uri)
    client.delete_experiment(client.get_experiment_by_name("x").experiment_id)
    for use in (read_ledger, open_writer):
        with pytest.raises(LedgerError, match="was deleted; restore it"):
            use(uri, "x")


def test_a_store_of_an_older_mlflow_is_refused_by_the_writer(uri: str) -> None:
    open_writer(uri, "x")
    with sqlite3.connect(sqlite_path(uri) or "") as connection:
        connection.execute("update alembic_version set version_num = 'cfd24bdc0731'")
    from mlflow.tracking._tracking_service import utils

    utils._tracking_store_registry._get_store_with_resolved_uri.cache_clear()
    with pytest.raises(LedgerError, match="out-of-date database schema"):
        open_writer(uri, "x")


def test_of_several_runs_of_a_trial_the_best_counts() -> None:
    rows = [("t", "RUNNING", "a"), ("t", "FINISHED", "b"), ("t", "FAILED", "c"), ("u", "RUNNING", "d")]
    for order in (rows, rows[::-1]):
        found = merge(order)
        assert found == {"t": Entry("FINISHED", "b"), "u": Entry("RUNNING", "d")}


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///a.db", Path("a.db")),
        ("sqlite:////b/a.db", Path("/b/a.db")),
        ("sqlite:///a.db?timeout=5", Path("a.db")),
        ("http://host", None),
        ("postgresql://u@h/d", None),
    ],
)
def test_a_sqlite_uri_names_a_file(uri: str, path: Path | None) -> None:
    assert sqlite_path(uri) == path
