from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps import _worker
from sweeps._batch import Outcome
from sweeps._desk import Desk
from sweeps._job import Job
from sweeps._pack import Task
from sweeps._tracking import Tally
from sweeps._worker import TrackerActor, Unfit
from sweeps._writers import open_writer

Trials = Callable[[int], tuple[TrialConfig, ...]]
Outcomes = Callable[..., Outcome]


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[TrackerActor]:
    """The actor's class as it is, in this process."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    actor = TrackerActor(Job(tmp_path, "cpu", False, uri, "x", {}), Desk(open_writer(uri, "x")).place)
    yield actor
    actor.close(60)


def test_a_task_is_given_out_with_the_trials_that_have_not_arrived(
    tracker: TrackerActor, trials: Trials, outcome: Outcomes
) -> None:
    tasks = [Task(Cohort(part), 1, 0, 0, 1.0) for part in (trials(5)[:3], trials(5)[3:])]
    tracker.assign(tasks)
    assert tracker.task(1) == (tasks[1], trials(5)[3:])
    tracker.submit([outcome(trials(5)[1])])
    assert tracker.task(0) == (tasks[0], (trials(5)[0], trials(5)[2]))
    tracker.submit([outcome(trial) for trial in trials(5)])
    assert tracker.task(0) == (tasks[0], ())
    tracker.assign(tasks[0].halves(trials(5)[:2]))  # another round, numbered from 0 again
    assert tracker.task(0)[0].cohort.configs == trials(5)[:1]


def test_a_node_is_to_blame_until_its_task_is_tried_elsewhere(tracker: TrackerActor, trials: Trials) -> None:
    tasks = [Task(Cohort((trial,)), 1, 0, 0, 1.0) for trial in trials(3)]
    tracker.assign(tasks)
    a, b = Unfit("1", "a has other code"), Unfit("2", "b has no GPU")
    for task, node in zip(tasks, (b, a, b), strict=True):
        tracker.refuse(task.cohort.id, node)
    assert tracker.tally().unfit == ("a has other code", "b has no GPU")
    tracker.task(1)
    assert tracker.refused() == {tasks[place].cohort.id: b for place in (0, 2)}
    assert tracker.tally().unfit == ("b has no GPU",)
    tracker.assign(tasks)
    assert not tracker.refused()


@pytest.mark.parametrize(
    ("heard", "seconds"),
    [
        ([{}], 0),  # nothing trains: nobody is in its way
        ([{"a": 1}, {"a": 2}, {"a": 2}, {"a": 3}, {}], 4),
        ([{"a": 1}, {"a": 2}] + 99 * [{"a": 2}], 6),  # the last sign of a process that died
    ],
)
def test_a_node_that_cannot_train_keeps_its_place_from_what_waits_while_others_get_further(
    heard: list[dict[str, int]], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def sleep(length: float) -> None:
        nonlocal now
        now += length

    monkeypatch.setattr(_worker, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    answers = iter(heard)
    _worker.let_others_go_on(lambda: Tally(running=next(answers)), quiet_seconds=5.0)
    assert now == seconds
