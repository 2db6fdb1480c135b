"""What runs in Ray's processes: the tasks, and the one actor that they hand their results to."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps._batch import Outcome
from sweeps._desk import DeskWriter, Place
from sweeps._job import Job, NodeError, check_code, check_node, train
from sweeps._pack import Task
from sweeps._tracking import Tally, Tracker
from sweeps._writers import open_writer


class TrackerActor:
    """A :class:`Tracker` in a process of its own, on the driver's node. Threaded: waiting calls do not block
    others.
    """

    def __init__(self, job: Job, desk: Place) -> None:
        self._unfit: set[str] = set()
        self._tracker = Tracker(
            lambda: DeskWriter(desk, lambda: open_writer(job.tracking_uri, job.experiment)),
            written=job.stored,
        )
        self._tracker.start()
        self._tasks: Sequence[Task] = ()

    def assign(self, tasks: Sequence[Task]) -> None:
        """These are the tasks of the round that begins."""
        self._tasks = tasks
        self._tracker.expect(tasks)

    def task(self, number: int) -> tuple[Task, tuple[TrialConfig, ...]]:
        """A task of this round, and its trials whose results have not arrived."""
        task = self._tasks[number]
        return task, self._tracker.unseen(task.cohort.configs)

    def refuse(self, node: str) -> None:
        """Note that a node cannot train, and why."""
        self._unfit.add(node)

    def unfit(self) -> list[str]:
        """The nodes that cannot train, as they said, a line each."""
        return sorted(self._unfit)

    def submit(self, batch: Sequence[Outcome]) -> None:
        """See :class:`Tracker`."""
        self._tracker.submit(batch)

    def beat(self, cohort: str, epoch: int) -> None:
        """See :class:`Tracker`."""
        self._tracker.beat(cohort, epoch)

    def unseen(self, trials: Sequence[TrialConfig]) -> tuple[TrialConfig, ...]:
        """See :class:`Tracker`."""
        return self._tracker.unseen(trials)

    def tally(self) -> Tally:
        """See :class:`Tracker`."""
        return self._tracker.tally()

    def drain(self, patience_seconds: float) -> Tally:
        """See :class:`Tracker`."""
        return self._tracker.drain(patience_seconds)

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


def other_code(job: Job) -> str:
    """This node's name and what it runs, where that is not what the driver runs; else nothing."""
    try:
        check_code(job)
    except NodeError as error:
        return f"{platform.node()} {error}"
    return ""


def run_task(config: Mapping[str, Any], job: Job, tracker: Any, assigned: None) -> None:
    """Train the task that ``config["task"]`` numbers: the function that Ray Tune calls.

    Ray runs a task again when its worker died, so trials whose results have arrived are not trained again.
    ``assigned`` is there once the tracker has this round's tasks. It gives them out, because Tune's parameters are
    unpickled for every task, however many trials they hold.
    """
    import torch

    task, left = ray.get(tracker.task.remote(config["task"]["number"]))
    if not left:
        return
    try:
        check_code(job)  # the driver has asked the nodes that were there before
        check_node(left[0], job, task.gpu)
    except NodeError as error:
        ray.get(tracker.refuse.remote(f"{platform.node()} {error}"))
        raise
    torch.set_num_threads(max(1, int(task.cpu)))
    train(Cohort(left), job, ActorSink(tracker), task.gpu, task.checkpoints)
    _return_freed_memory()


def _return_freed_memory() -> None:
    """Give the C library's free memory back to the system.

    Tune runs each task in a new thread, glibc gives new threads arenas of their own, and every arena would
    keep what one cohort needed: measured at MNIST, 120 MB more with each task.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
