"""What runs in Ray's processes: the tasks, and the one actor that they hand their results to."""

from __future__ import annotations

import ctypes
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import ray

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps._batch import Outcome
from sweeps._desk import DeskWriter, Place
from sweeps._job import Job, NodeError, check_code, check_node, train
from sweeps._pack import Task
from sweeps._tracking import Tally, Tracker
from sweeps._writers import open_writer

QUIET_SECONDS, ASK_SECONDS = 60.0, 1.0
"""Without a sign of life from any other task, and between two questions for it."""


class Unfit(NamedTuple):
    """A node that cannot train: its id, and a line that begins with its name."""

    id: str
    reason: str


class TrackerActor:
    """A :class:`Tracker` in a process of its own, on the driver's node. Threaded: waiting calls do not block
    others.
    """

    def __init__(self, job: Job, desk: Place) -> None:
        self._refused: dict[str, Unfit] = {}  # by the name of the cohort that it cannot train
        self._tracker = Tracker(
            lambda: DeskWriter(desk, lambda: open_writer(job.tracking_uri, job.experiment)),
            written=job.stored,
        )
        self._tracker.start()
        self._tasks: Sequence[Task] = ()

    def assign(self, tasks: Sequence[Task]) -> None:
        """These are the tasks of the round that begins."""
        self._tasks = tasks
        self._refused = {}
        self._tracker.expect(tasks)

    def task(self, number: int) -> tuple[Task, tuple[TrialConfig, ...]]:
        """A task of this round, and its trials whose results have not arrived: for an attempt that begins."""
        task = self._tasks[number]
        self._refused.pop(task.cohort.id, None)
        return task, self._tracker.unseen(task.cohort.configs)

    def refuse(self, cohort: str, node: Unfit) -> None:
        """Note that a node cannot train what it was given."""
        self._refused[cohort] = node

    def refused(self) -> Mapping[str, Unfit]:
        """By cohort, the nodes of this round's tasks whose last attempt ended so."""
        return dict(self._refused)

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
        return replace(
            self._tracker.tally(), unfit=tuple(sorted({node.reason for node in self._refused.values()}))
        )

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
        node = Unfit(ray.get_runtime_context().get_node_id(), f"{platform.node()} {error}")
        ray.get(tracker.refuse.remote(task.cohort.id, node))
        let_others_go_on(lambda: ray.get(tracker.tally.remote()))
        raise
    torch.set_num_threads(max(1, int(task.cpu)))
    train(Cohort(left), job, ActorSink(tracker), task.gpu, task.checkpoints)
    _return_freed_memory()


def let_others_go_on(tally: Callable[[], Tally], quiet_seconds: float = QUIET_SECONDS) -> None:
    """Return once no other task has got further for so long, at once where none trains.

    A node that cannot train would else have done in a moment with every task that waits: they come to where a place is free.
    """
    last, since = tally().running, time.monotonic()
    while last and time.monotonic() - since < quiet_seconds:
        time.sleep(ASK_SECONDS)
        now = tally().running
        last, since = (now, since) if now == last else (now, time.monotonic())


def _return_freed_memory() -> None:
    """Give the C library's free memory back to the system.

    Tune runs each task in a new thread, glibc gives new threads arenas of their own, and every arena would
    keep what one cohort needed: measured at MNIST, 120 MB more with each task.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
