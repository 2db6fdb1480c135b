"""Reading a database: what counts as a finished trial, and what is said about a store that cannot be read."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from invented_store import EXPERIMENT, SMALL, TRIES, Writer, invent, settings

from analysis._cache import load
from analysis._frames import Frames
from analysis._store import MissingExperimentError, StoreError, connect, find_experiment, hide_password
from memory_study.config import TrialConfig


def test_finished_trials_are_read_and_no_others(frames: Frames) -> None:
    expected = {c.id for c in settings(range(3), SMALL)} | {
        c.id for c in settings([0], [{"weight_decay": 1.0}])
    }
    assert set(frames.trials.index) == expected


def test_a_diverged_trial_is_a_finished_one(frames: Frames) -> None:
    assert frames.trials["diverged"].sum() == 2


def test_of_two_runs_of_one_trial_the_first_finished_counts(frames: Frames) -> None:
    twice = settings([0], [{}])[0]
    assert frames.trials.index.is_unique
    assert frames.trials.loc[twice.id, "best_validation_accuracy"] > 0.9


def test_failed_runs_are_read_with_what_failed_and_why(
    store_with: Callable[[list[TrialConfig]], Writer],
) -> None:
    writer = store_with(settings([0], [{}]))
    experiment = writer.client.get_experiment_by_name(EXPERIMENT).experiment_id
    trials = [invent(config) for config in settings([1, 2, 3], [{}])[::2]]
    runs = [writer.trial(experiment, trial, status="FAILED") for trial in trials]
    writer.client.set_tag(runs[0], "error", "RuntimeError: no")
    writer.client.delete_run(runs[2])
    store = connect(writer.uri)
    found = store.failed(find_experiment(store, EXPERIMENT)).set_index("trial")
    assert set(found.index) == {trial.config.id for trial in trials[:2]}
    assert found["sweep"].eq(EXPERIMENT).all()
    assert found.loc[trials[0].config.id, "error"] == "RuntimeError: no"
    assert found.loc[trials[1].config.id].isna()["error"]


def test_of_a_trial_that_failed_again_the_failure_that_started_last_comes_last(store: Writer) -> None:
    reader = connect(store.uri)
    failed = reader.failed(find_experiment(reader, EXPERIMENT))
    assert failed["trial"].nunique() == 1
    assert failed["error"].tolist() == [error for _, error in sorted(TRIES)]


def test_curves_hold_each_epoch_of_each_trial_once(frames: Frames) -> None:
    assert not frames.curves.duplicated(["trial", "metric", "epoch"]).any()
    trial = settings([1], [{"dropout": 0.5}])[0]
    one = frames.curves[frames.curves["trial"] == trial.id]
    assert one["epoch"].is_monotonic_increasing
    assert one["value"].iloc[-1] == frames.trials.loc[trial.id, "train_accuracy"]


def test_histories_that_nobody_asked_for_are_not_read(store: Writer) -> None:
    reader = connect(store.uri)
    assert load(reader, find_experiment(reader, EXPERIMENT), [], None).curves.empty


def test_an_experiment_without_trials_gives_empty_tables(
    store_with: Callable[[list[TrialConfig]], Writer], frames_of: Callable[[Writer], Frames]
) -> None:
    frames = frames_of(store_with([]))
    assert len(frames.trials) == 0
    assert len(frames.curves) == 0


def test_reading_leaves_the_database_as_it_was(store: Writer) -> None:
    path = Path(store.uri.removeprefix("sqlite:///"))
    before = path.read_bytes()
    reader = connect(store.uri)
    load(reader, find_experiment(reader, EXPERIMENT), ["train_accuracy"], None)
    assert path.read_bytes() == before


def test_a_path_with_odd_characters_is_read(store: Writer, tmp_path: Path) -> None:
    odd = tmp_path / "my #1 store?.db"
    shutil.copy(store.uri.removeprefix("sqlite:///"), odd)
    assert connect(f"sqlite:///{str(odd).replace('?', '%3F')}").experiment(EXPERIMENT).name == EXPERIMENT


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("mysql://root:secret@host/db", "no kind that can be read"),
        ("./mlruns", "no kind that can be read"),
        ("sqlite:////nowhere/at/all.db", "run a sweep first"),
        ("sqlite://", "no database file"),
        ("postgresql+nodriver://u:secret@127.0.0.1:1/db", "use --tracking-uri"),
    ],
)
def test_a_store_that_cannot_be_read_is_refused_in_one_line(uri: str, says: str) -> None:
    with pytest.raises(StoreError, match=says) as error:
        connect(uri)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_missing_experiment_is_named_with_those_there_are(store: Writer) -> None:
    with pytest.raises(
        MissingExperimentError, match=r"'capacity'.*there: Default, regularization.*sweeps\.capacity"
    ):
        connect(store.uri).experiment("capacity")


def test_a_deleted_experiment_says_how_to_bring_it_back(
    store_with: Callable[[list[TrialConfig]], Writer],
) -> None:
    writer = store_with([])
    writer.client.delete_experiment(writer.client.get_experiment_by_name(EXPERIMENT).experiment_id)
    with pytest.raises(StoreError, match="mlflow experiments restore -x 1"):
        connect(writer.uri).experiment(EXPERIMENT)


@pytest.mark.parametrize(("schema", "says"), [(999, "schema 999"), (None, "has no tag memory_study.schema")])
def test_records_of_another_schema_are_refused(
    store_with: Callable[[list[TrialConfig]], Writer], schema: int | None, says: str
) -> None:
    writer = store_with([])
    writer.experiment("other", schema=schema)
    with pytest.raises(StoreError, match=says):
        find_experiment(connect(writer.uri), "other")


@pytest.mark.parametrize(
    ("revision", "says"),
    [("abcdef012345", "install the newer MLflow"), ("0a8213491aaa", "mlflow db upgrade sqlite:///")],
)
def test_a_database_of_another_mlflow_version_says_which_side_to_upgrade(
    store: Writer, tmp_path: Path, revision: str, says: str
) -> None:
    shutil.copy(store.uri.removeprefix("sqlite:///"), tmp_path / "other.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
        connection.commit()
    with pytest.raises(StoreError, match=says):
        connect(f"sqlite:///{tmp_path}/other.db")


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to have a header\n" * 9])
def test_a_file_that_is_no_mlflow_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"not an MLflow database|cannot be read \(file is not a database\)"):
        connect(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:pa:ss@host/db", "postgresql://me:***@host/db"),
        ("http://me:secret@host:5000", "http://me:***@host:5000"),
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
def test_passwords_are_never_shown(uri: str, shown: str) -> None:
    assert hide_password(uri) == shown
