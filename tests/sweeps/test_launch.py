"""What becomes of tasks that are lost again and again, with Ray's rounds played by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps import _launch
from sweeps._checkpoints import Folder
from sweeps._flags import InputError
from sweeps._job import Job
from sweeps._pack import Task
from sweeps._tracking import Tracker
from sweeps._worker import Unfit

Trials = Callable[[int], tuple[TrialConfig, ...]]
Attempt = Callable[[Task], bool]
"""Trains a task; whether it came to its end."""


class Written:
    """A store that takes everything."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def write(self, outcomes: Sequence[Any]) -> None:
        self.errors |= {outcome.config.id: outcome.error for outcome in outcomes}


class Remote:
    """An actor of this process: ``remote`` calls at once."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.unfit: dict[str, Unfit] = {}  # the nodes that refuse, by cohort

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._tracker, name) if name != "refused" else lambda: dict(self.unfit)
        return type("Method", (), {"remote": staticmethod(method)})


@pytest.fixture
def job(tmp_path: Path) -> Job:
    folder = Folder.of(str(tmp_path), "e", "store")
    return Job(tmp_path, "cpu", False, "", "e", {}, checkpoints=folder, checkpoint_seconds=60)


@pytest.fixture
def store() -> Iterator[Written]:
    return Written()


@pytest.fixture
def tracker(store: Written) -> Iterator[Tracker]:
    running = Tracker(lambda: store)
    running.open()
    yield running
    running.close(5)


def rounds(monkeypatch: pytest.MonkeyPatch, attempt: Attempt) -> list[list[int]]:
    """Play Ray Tune, which tries each task ``1 + RETRIES`` times; gives the sizes of each round's cohorts."""
    played: list[list[int]] = []

    def fit(tasks: Sequence[Task], job: Job, tracker: Any) -> list[tuple[Task, str]]:
        assert len(played) < 100, "it never ends"
        played.append([len(task.cohort.configs) for task in tasks])
        return [
            (task, "node died")
            for task in tasks
            if not any(attempt(task) for _ in range(_launch.RETRIES + 1))
        ]

    monkeypatch.setattr(_launch, "_fit", fit)
    monkeypatch.setattr(_launch.ray, "get", lambda value: value)
    return played


def test_a_trial_that_gets_further_each_time_is_never_given_up(
    trials: Trials, outcome: Callable[..., Any], job: Job, tracker: Tracker, store: Written,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    task = Task(Cohort(trials(1)), 1, 0, 0, 8.0)
    attempts = []

    def lost_twelve_times(task: Task) -> bool:
        attempts.append(task)
        if len(attempts) % 3 == 1:  # not every attempt comes as far as its first checkpoint
            assert job.checkpoints is not None
            job.checkpoints.write(task.cohort.id, [c.id for c in task.cohort.configs], len(attempts), b"")
        if len(attempts) > 12:
            tracker.submit([outcome(c) for c in task.cohort.configs])
        return len(attempts) > 12

    played = rounds(monkeypatch, lost_twelve_times)
    _launch._train([task], job, Remote(tracker))
    assert played == [[1]] * 5
    assert tracker.close(5).failed == ()
    assert store.errors == {task.cohort.configs[0].id: ""}


@pytest.mark.parametrize("keeps", [True, False])
def test_a_trial_that_ends_its_worker_at_the_same_epoch_each_time_fails_alone(
    trials: Trials, outcome: Callable[..., Any], job: Job, tracker: Tracker, store: Written,
    monkeypatch: pytest.MonkeyPatch, keeps: bool,
) -> None:  # fmt: skip
    poison = trials(8)[5]

    def attempt(task: Task) -> bool:
        if keeps:
            assert job.checkpoints is not None
            job.checkpoints.write(task.cohort.id, [c.id for c in task.cohort.configs], 7, b"")
        if poison in task.cohort.configs:
            return False
        tracker.submit([outcome(c) for c in task.cohort.configs])
        return True

    played = rounds(monkeypatch, attempt)
    _launch._train([Task(Cohort(trials(8)), 1, 0, 0, 8.0)], job, Remote(tracker))
    assert played == [*([[8]] if keeps else []), [8], [4, 4], [2, 2], [1, 1]]
    assert tracker.close(5).finished == 7
    assert [trial for trial, error in store.errors.items() if error] == [poison.id]
    assert "its worker died 3 times and got no further: node died" in store.errors[poison.id]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The resources and nodes that were set aside, in a cluster of a head and three workers, one of them lost."""
    nodes = [
        {"NodeID": name, "Alive": name != "lost", "Resources": {"CPU": cpus, "memory": 1e9} if cpus else {}}
        for name, cpus in (("head", 0), ("a", 4.0), ("b", 2.0), ("lost", 2.0))
    ]
    groups: list[tuple[object, ...]] = []

    def group(bundles: object, bundle_label_selector: object) -> SimpleNamespace:
        groups.append((bundles, bundle_label_selector))
        return SimpleNamespace(wait=lambda seconds: True)

    monkeypatch.setattr(_launch.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(_launch, "placement_group", group)
    return groups


def test_what_a_node_cannot_train_goes_on_whole_elsewhere(
    trials: Trials, outcome: Callable[..., Any], job: Job, tracker: Tracker, store: Written,
    monkeypatch: pytest.MonkeyPatch, taken: list[tuple[object, ...]],
) -> None:  # fmt: skip
    """A node without the data takes two of three tasks, and is set aside; no trial is blamed and no cohort cut."""
    tasks = [Task(Cohort(trials(6)[place : place + 2]), 1, 0, 0, 8.0) for place in range(0, 6, 2)]
    remote = Remote(tracker)

    def attempt(task: Task) -> bool:
        remote.unfit = dict.fromkeys(
            [] if taken else [task.cohort.id for task in tasks[1:]], Unfit("b", "host-b cannot load the data")
        )
        if task.cohort.id in remote.unfit:
            return False
        tracker.submit([outcome(c) for c in task.cohort.configs])
        return True

    played = rounds(monkeypatch, attempt)
    _launch._train(tasks, job, remote)
    assert played == [[2, 2, 2], [2, 2]]
    assert taken == [([{"CPU": 2.0}], [{"ray.io/node-id": "b"}])]
    assert (tracker.close(5).finished, set(store.errors.values())) == (6, {""})


def test_where_no_node_can_train_the_sweep_ends_and_says_why(
    trials: Trials,
    job: Job,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    taken: list[tuple[object, ...]],
) -> None:
    task = Task(Cohort(trials(2)), 1, 0, 0, 8.0)
    remote = Remote(tracker)

    def attempt(task: Task) -> bool:
        node = ("b", "a")[len(taken)]
        remote.unfit = {task.cohort.id: Unfit(node, f"host-{node} has no GPU that torch can use")}
        return False

    played = rounds(monkeypatch, attempt)
    with pytest.raises(InputError) as told:
        _launch._train([task], job, remote)
    assert told.value.problems == ["node host-a has no GPU that torch can use"]
    assert played == [[2], [2]]


def test_what_a_node_refused_that_is_lost_by_now_goes_on(
    trials: Trials, outcome: Callable[..., Any], job: Job, tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch, taken: list[tuple[object, ...]],
) -> None:  # fmt: skip
    task = Task(Cohort(trials(2)), 1, 0, 0, 8.0)
    remote = Remote(tracker)
    remote.unfit = {task.cohort.id: Unfit("lost", "host-lost cannot load the data")}

    def attempt(task: Task) -> bool:
        if len(played) == 1:
            return False
        tracker.submit([outcome(c) for c in task.cohort.configs])
        return True

    played = rounds(monkeypatch, attempt)
    _launch._train([task], job, remote)
    assert played == [[2], [2]]
    assert not taken
    assert tracker.close(5).finished == 2


def test_a_node_that_takes_tasks_though_it_was_set_aside_ends_the_sweep(
    trials: Trials,
    job: Job,
    tracker: Tracker,
    monkeypatch: pytest.MonkeyPatch,
    taken: list[tuple[object, ...]],
) -> None:
    task = Task(Cohort(trials(2)), 1, 0, 0, 8.0)
    remote = Remote(tracker)
    remote.unfit = {task.cohort.id: Unfit("b", "host-b has no GPU that torch can use")}
    played = rounds(monkeypatch, lambda task: False)
    with pytest.raises(InputError, match="node host-b has no GPU"):
        _launch._train([task], job, remote)
    assert played == [[2], [2]]
    assert len(taken) == 1


def test_what_arrived_is_progress_and_what_is_left_goes_on_from_its_own_checkpoint(
    trials: Trials, outcome: Callable[..., Any], job: Job, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, left = trials(4)[:1], trials(4)[1:]
    seen: list[Task] = []

    def attempt(task: Task) -> bool:
        seen.append(task)
        tracker.submit([outcome(c) for c in (arrived if len(seen) < 4 else left)])
        assert job.checkpoints is not None
        job.checkpoints.write(Cohort(left).id, [c.id for c in left], 5, b"")
        return len(seen) > 3

    played = rounds(monkeypatch, attempt)
    _launch._train([Task(Cohort(trials(4)), 1, 0, 0, 8.0)], job, Remote(tracker))
    assert played == [[4], [3]]
    assert (seen[-1].epoch, seen[-1].checkpoints) == (5, (Cohort(left).id, Cohort(trials(4)).id))


def test_checkpoints_of_other_trials_or_versions_are_no_progress(
    trials: Trials, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert job.checkpoints is not None
    first, second, third = (trial.id for trial in trials(3))
    job.checkpoints.write("others", [third], 9, b"")
    job.checkpoints.write("ours", [first, second, third], 4, b"")
    (Path(job.checkpoints.path) / "broken.json").write_text("{")
    names = ("none", "others", "ours", "broken")
    assert job.epoch_of(names, trials(2)) == 4
    monkeypatch.setattr("sweeps._checkpoints.fingerprint", lambda: "newer")
    assert job.epoch_of(names, trials(2)) == 0
