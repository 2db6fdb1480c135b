from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from sqlalchemy.exc import OperationalError

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import SCHEMA, Record, Tag
from sweeps import _tables, _tracking
from sweeps._batch import Outcome, outcomes
from sweeps._ledger import read_ledger
from sweeps._tracking import Tracker
from sweeps._writers import ClientWriter, Writer, open_writer

Trials = Callable[[int], tuple[TrialConfig, ...]]
Outcomes = Callable[..., Outcome]


class Store:
    """A new SQLite store, written in one of the two ways and read with MLflow's client."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.client = MlflowClient(self.uri)
        self.writer = self.open(kind)

    def open(self, kind: str) -> Writer:
        writer = open_writer(self.uri, "x")
        experiment = self.client.get_experiment_by_name("x")
        assert isinstance(writer, _tables.TableWriter)
        return writer if kind == "tables" else ClientWriter(self.client, experiment.experiment_id)

    def runs(self, view: int = 1) -> list[Any]:
        experiment = self.client.get_experiment_by_name("x")
        return list(self.client.search_runs([experiment.experiment_id], run_view_type=view))


@pytest.fixture(params=["tables", "client"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(tmp_path: Path, kind: str, empty_store: Path) -> Store:
    shutil.copy(empty_store, tmp_path)
    return Store(tmp_path, kind)


def test_run_ids_are_distinct_look_like_mlflows_and_sort_by_age() -> None:
    ids = [_tables.new_run_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", run_id) for run_id in ids)
    ages = [run_id[:16] for run_id in ids]
    assert ages == sorted(ages)


def test_a_trial_is_one_run_with_all_that_was_measured(
    store: Store, trials: Trials, outcome: Outcomes
) -> None:
    (trial,) = trials(1)
    store.writer.write([outcome(trial, 0.25)])
    (run,) = store.runs()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == trial.name
    assert (run.info.start_time, run.info.end_time) == (1000, 2000)
    assert run.data.params == trial.params()
    assert run.data.metrics == {
        "train_loss": 0.25, "train_accuracy": 0.25, "best_validation_accuracy": 0.25, "test_accuracy": 0.25,
        "diverged": 0.0,
    }  # fmt: skip
    assert run.data.tags[Tag.TRIAL] == trial.id
    history = store.client.get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.25), (2, 0.25), (3, 0.25)]


def test_both_ways_write_the_same_run(tmp_path: Path, trials: Trials, outcome: Outcomes) -> None:
    (trial,) = trials(1)
    seen = []
    for kind in ("tables", "client"):
        (tmp_path / kind).mkdir()
        store = Store(tmp_path / kind, kind)
        store.writer.write([outcome(trial)])
        (run,) = store.runs()
        tags = {k: v for k, v in run.data.tags.items() if k != "mlflow.user"}
        own = Path(run.info.artifact_uri.removeprefix("file://")).relative_to(tmp_path / kind)
        place = str(own).replace(run.info.run_id, "RUN")
        seen.append((run.info.status, run.info.run_name, run.data.params, run.data.metrics, tags, place))
    assert seen[0] == seen[1]


def test_the_latest_value_of_a_curve_is_its_last_epochs(
    store: Store, trials: Trials, outcome: Outcomes
) -> None:
    (trial,) = trials(1)
    sample = outcome(trial)
    assert sample.record is not None
    curves = {"train_loss": ((1, 3.0), (2, 1.0), (3, 2.0))}
    changed = Outcome(trial, sample.tags, 1, 2, type(sample.record)(trial.id, {}, curves))
    store.writer.write([changed])
    assert store.runs()[0].data.metrics["train_loss"] == 2.0


def test_writing_again_changes_nothing(store: Store, kind: str, trials: Trials, outcome: Outcomes) -> None:
    batch = [outcome(trial) for trial in trials(3)]
    store.writer.write(batch[:1])
    store.writer.write(batch)
    store.open(kind).write(batch)
    assert len(store.runs(view=3)) == 3


def test_a_failed_trial_says_why_and_is_replaced_by_a_finished_one(
    store: Store, trials: Trials, outcome: Outcomes
) -> None:
    (trial,) = trials(1)
    store.writer.write([outcome(trial, error="ValueError: no")])
    (run,) = store.runs()
    assert (run.info.status, run.data.tags[Tag.ERROR], run.data.metrics) == ("FAILED", "ValueError: no", {})
    store.writer.write([outcome(trial)])
    (run,) = store.runs()
    assert run.info.status == "FINISHED"
    assert Tag.ERROR not in run.data.tags


def test_a_run_that_was_interrupted_is_replaced(store: Store, trials: Trials, outcome: Outcomes) -> None:
    (trial,) = trials(1)
    experiment = store.client.get_experiment_by_name("x").experiment_id
    stale = store.client.create_run(experiment, tags={Tag.TRIAL: trial.id}).info.run_id
    store.client.log_metric(stale, "train_loss", 9.0)
    store.writer.write([outcome(trial)])
    (run,) = store.runs()
    assert (run.info.status, run.data.metrics["train_loss"]) == ("FINISHED", 0.5)


def test_another_experiments_runs_are_left_alone(
    store: Store, tmp_path: Path, trials: Trials, outcome: Outcomes
) -> None:
    (trial,) = trials(1)
    other = open_writer(store.uri, "y")
    other.write([outcome(trial, error="no")])
    store.writer.write([outcome(trial)])
    experiment = store.client.get_experiment_by_name("y").experiment_id
    assert [run.info.status for run in store.client.search_runs([experiment])] == ["FAILED"]


def test_a_model_is_an_artifact_beside_the_database(
    store: Store, tmp_path: Path, trials: Trials, outcome: Outcomes
) -> None:
    store.writer.write([outcome(trials(1)[0], model=b"weights")])
    (run,) = store.runs()
    found = store.client.download_artifacts(run.info.run_id, "model/model.pt", str(tmp_path))
    assert Path(found).read_bytes() == b"weights"
    assert Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(tmp_path / "mlartifacts")


def test_arrays_are_a_file_that_numpy_opens_and_a_tag_that_names_them(
    store: Store, tmp_path: Path, trials: Trials, record: Callable[..., Record]
) -> None:
    config = trials(1)[0]
    right = np.array([True, False])
    found = replace(record(config), arrays={"train_right": right})
    store.writer.write(outcomes(Cohort((config,)), [found], [], {Tag.SWEEP: "test"}, (1000, 2000)))
    (run,) = store.runs()
    assert run.data.tags[Tag.ARRAYS] == "train_right"
    file = store.client.download_artifacts(run.info.run_id, "arrays.npz", str(tmp_path))
    with np.load(file, allow_pickle=False) as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {"train_right": [True, False]}


def files_beside(store: Store) -> list[Path]:
    folder = Path(store.uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_database_that_is_away_leaves_one_copy_of_the_files_uploaded_once(
    tmp_path: Path, trials: Trials, outcome: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, "tables")
    batch = [outcome(trial, model=b"weights") for trial in trials(3)]
    with monkeypatch.context() as away:
        away.setattr(_tables.TableWriter, "_lock", broken)
        for attempt in (batch, batch, batch[:1]):
            with pytest.raises(MlflowException, match="away"):
                store.writer.write(attempt)
    uploaded = [(path, path.stat().st_mtime_ns) for path in files_beside(store)]
    later = outcome(trials(4)[3], model=b"weights")
    store.writer.write(batch)
    store.writer.write([later])
    assert [(path, time) for path, time in uploaded if path.stat().st_mtime_ns == time] == uploaded
    runs = {run.info.run_id: run for run in store.runs()}
    assert [path.parts[-4] for path in files_beside(store)] == sorted(runs)
    assert runs[max(runs)].data.tags[Tag.TRIAL] == later.config.id


class ThrottlingError(Exception):
    """What an object store's client raises: neither MLflow's nor the system's."""


def test_an_object_store_that_refuses_for_a_while_delays_and_loses_nothing(
    store: Store, trials: Trials, outcome: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls <= 3:
            raise ThrottlingError("slow down")
        upload(*_)

    calls = 0
    upload = LocalArtifactRepository.log_artifact
    monkeypatch.setattr(LocalArtifactRepository, "log_artifact", refuse)
    monkeypatch.setattr(_tracking, "FIRST_WAIT", 0.01)
    tracker = Tracker(lambda: store.writer)
    tracker.open()
    tracker.submit([outcome(trial, model=b"weights") for trial in trials(2)])
    tally = tracker.close(30)
    assert (tally.finished, tally.lost) == (2, ())
    assert calls > 3
    assert len(store.runs()) == 2


def broken(*_: object) -> None:
    raise OperationalError("BEGIN", {}, Exception("away"))


@pytest.mark.parametrize("error", ["", "ValueError: no"])
def test_a_batch_whose_answer_was_lost_is_written_once(
    error: str, tmp_path: Path, trials: Trials, outcome: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, "tables")
    batch = [outcome(trial, error=error) for trial in trials(2)]
    with monkeypatch.context() as lost:
        lost.setattr(_tables.TableWriter, "_forget", broken)
        with pytest.raises(OperationalError):
            store.writer.write(batch)
    store.writer.write(batch)
    assert len(store.runs(view=3)) == 2
    assert {run.info.lifecycle_stage for run in store.runs(view=3)} == {"active"}


def test_another_end_of_a_trial_that_was_not_written_is_another_run(
    tmp_path: Path, trials: Trials, outcome: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, "tables")
    (trial,) = trials(1)
    with monkeypatch.context() as away:
        away.setattr(_tables.TableWriter, "_lock", broken)
        with pytest.raises(MlflowException):
            store.writer.write([outcome(trial, error="ValueError: no")])
    store.writer.write([outcome(trial, model=b"weights")])
    (run,) = store.runs()
    assert run.info.status == "FINISHED"
    assert [path.parts[-4] for path in files_beside(store)] == [run.info.run_id]


@pytest.mark.parametrize("name", ["../up", "/absolute", "..", "x" * 300, "é"])
def test_artifacts_stay_beside_the_database_whatever_the_experiments_name(tmp_path: Path, name: str) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    open_writer(uri, name)
    location = MlflowClient(uri).get_experiment_by_name(name).artifact_location
    folder = Path(location.removeprefix("file://")).resolve()
    assert folder.parent == tmp_path.resolve() / "mlartifacts"
    folder.mkdir(parents=True)


def test_a_long_curve_needs_several_calls_and_loses_nothing(
    store: Store, outcome: Outcomes, record: Callable[..., Any]
) -> None:
    trial = TrialConfig(epochs=1500)
    store.writer.write([outcome(trial)])
    (run,) = store.runs()
    assert len(store.client.get_metric_history(run.info.run_id, "train_loss")) == 1500


def test_the_experiment_says_its_schema(store: Store) -> None:
    assert store.client.get_experiment_by_name("x").tags[Tag.SCHEMA] == str(SCHEMA)


def test_two_drivers_write_each_trial_once(tmp_path: Path, trials: Trials, outcome: Outcomes) -> None:
    store = Store(tmp_path, "tables")
    batches = [[outcome(trial) for trial in trials(40)[first : first + 8]] for first in range(0, 40, 4)]
    threads = [
        threading.Thread(target=lambda: [store.open("tables").write(batch) for batch in batches])
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.runs(view=3)) == 40


class Interrupted:
    """MLflow's client, and what another writer does right before or after one call of it, once."""

    def __init__(
        self, client: MlflowClient, call: str, step: Callable[[], object], after: bool = False
    ) -> None:
        self._client = client
        self._call = call
        self._steps = [step]
        self._after = after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)

        def between(*arguments: Any, **options: Any) -> Any:
            if name == self._call and not self._after and self._steps:
                self._steps.pop()()
            answer = real(*arguments, **options)
            if name == self._call and self._after and self._steps:
                self._steps.pop()()
            return answer

        return between


def at(outcome: Outcome, end: int) -> Outcome:
    return replace(outcome, end=end)


@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("ends", [(2000, 3000), (3000, 2000)])
@pytest.mark.parametrize("kinds", ["client", "tables"])
def test_two_writers_through_a_server_leave_one_run_of_a_trial(
    call: str, ends: tuple[int, int], kinds: str, tmp_path: Path, trials: Trials, outcome: Outcomes
) -> None:
    """The other one comes in between this one's first look and its end."""
    (trial,) = trials(1)
    store = Store(tmp_path, "client")
    other = store.open(kinds)
    client = Interrupted(store.client, call, lambda: other.write([at(outcome(trial), ends[1])]))
    experiment = store.client.get_experiment_by_name("x").experiment_id
    ClientWriter(client, experiment).write([at(outcome(trial), ends[0])])
    (run,) = store.runs()
    assert run.info.status == "FINISHED"
    assert run.data.metrics["train_loss"] == 0.5
    if call == "create_run":
        assert run.info.end_time == 2000  # of two that ended both keep the first, whose turn it ever was


def test_a_writer_whose_run_was_cleared_away_by_one_that_lost_its_own_brings_it_back(
    tmp_path: Path, trials: Trials, outcome: Outcomes
) -> None:
    """Both ended at the same moment, each saw the other's run as one that had not."""
    (trial,) = trials(1)
    store = Store(tmp_path, "client")
    experiment = store.client.get_experiment_by_name("x").experiment_id

    def clear() -> None:
        (run,) = store.runs()
        store.client.delete_run(run.info.run_id)

    ClientWriter(Interrupted(store.client, "set_terminated", clear, after=True), experiment).write(
        [outcome(trial)]
    )
    (run,) = store.runs()
    assert run.info.status == "FINISHED"


def test_what_two_writers_left_twice_is_settled_by_the_next(
    tmp_path: Path, trials: Trials, outcome: Outcomes
) -> None:
    """One was killed before it could look again; the trial counts once even before that."""
    (trial,) = trials(1)
    store = Store(tmp_path, "client")
    experiment = store.client.get_experiment_by_name("x").experiment_id
    store.writer.write([outcome(trial)])
    twin = store.client.create_run(experiment, tags={Tag.TRIAL: trial.id}).info.run_id
    store.client.set_terminated(twin, "FINISHED", 1)
    assert len(store.runs()) == 2
    assert read_ledger(store.uri, "x").entries[trial.id].status == "FINISHED"
    store.open("client").write([outcome(trial)])
    (run,) = store.runs()
    assert run.info.run_id == twin


def test_an_mlflow_with_other_tables_is_written_through_its_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _tables.tables_are_known()
    monkeypatch.setattr(_tables, "_run_row", lambda *_: {"run_uuid": ""})
    assert _tables._covers({"run_uuid": None}, _tables.SqlTag.__table__) is False
    monkeypatch.setattr(_tables, "tables_are_known", lambda: False)
    assert isinstance(open_writer(f"sqlite:///{tmp_path}/mlflow.db", "x"), ClientWriter)
