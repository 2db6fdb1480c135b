"""What runs in Ray's processes: the tasks, and the one actor that they hand their results to."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from memory_study.cohort import Cohort
from sweeps._batch import Outcome
from sweeps._job import Job, train
from sweeps._pack import Task
from sweeps._tracking import Tally, Tracker
from sweeps._writers import open_writer


class TrackerActor:
    """A :class:`Tracker` in a process of its own, on the driver's node. Threaded: waiting calls do not block
    others.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self._tracker = Tracker(lambda: open_writer(uri, experiment), lazy=True)
        self._tracker.start()

    def submit(self, batch: Sequence[Outcome]) -> None:
        """See :class:`Tracker`."""
        self._tracker.submit(batch)

    def beat(self, cohort: str, epoch: int) -> None:
        """See :class:`Tracker`."""
        self._tracker.beat(cohort, epoch)

    def seen(self) -> frozenset[str]:
        """The trials whose results have arrived."""
        return self._tracker.seen()

    def tally(self) -> Tally:
        """See :class:`Tracker`."""
        return self._tracker.tally()

    def close(self, patience_seconds: float) -> Tally:
        """See :class:`Tracker`."""
        return self._tracker.close(patience_seconds)


class ActorSink:
    """The way from a task to the tracker. Raises Ray's errors where the tracker is gone, so that the task is
    retried.
    """

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker

    def submit(self, batch: Sequence[Outcome]) -> None:
        """Returns once the tracker's process has the results."""
        ray.get(self._tracker.submit.remote(batch))

    def beat(self, cohort: str, epoch: int) -> None:
        """Does not wait."""
        self._tracker.beat.remote(cohort, epoch)


def run_task(config: Mapping[str, Any], tasks: Sequence[Task], job: Job, tracker: Any) -> None:
    """Train the task that ``config["task"]`` numbers: the function that Ray Tune calls.

    Ray runs a task again when its worker died, so trials whose results have arrived are not trained again.
    """
    import torch

    task = tasks[config["task"]]
    torch.set_num_threads(max(1, int(task.cpu)))
    seen = ray.get(tracker.seen.remote())
    left = tuple(trial for trial in task.cohort.configs if trial.id not in seen)
    if left:
        train(Cohort(left), job, ActorSink(tracker), task.gpu)
        _return_freed_memory()


def _return_freed_memory() -> None:
    """Give the C library's free memory back to the system.

    Tune runs each task in a new thread, glibc gives new threads arenas of their own, and every arena would
    keep what one cohort needed: measured at MNIST, 120 MB more with each task.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
