from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps._batch import Outcome
from sweeps._desk import Desk
from sweeps._job import Job
from sweeps._pack import Task
from sweeps._worker import TrackerActor
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


def test_the_tracker_remembers_the_nodes_that_cannot_train(tracker: TrackerActor) -> None:
    for node in ("b has no GPU", "a has other code", "b has no GPU"):
        tracker.refuse(node)
    assert tracker.unfit() == ["a has other code", "b has no GPU"]
