"""Run a sweep in this process, cohort after cohort: for debugging, small machines and tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from sweeps._job import Job, train
from sweeps._pack import Task
from sweeps._progress import shown
from sweeps._tracking import IMPATIENCE_SECONDS, PATIENCE_SECONDS, Tally, Tracker
from sweeps._writers import open_writer


def run(rounds: Iterable[Sequence[Task]], job: Job, threads: int, screen: TextIO, ended: list[Tally]) -> None:
    """Train all tasks, round by round; ``ended`` gets the last tally, after Ctrl-C too.

    The next round is asked for once the results of the last one are in the store; where that takes nothing for
    :data:`sweeps._tracking.PATIENCE_SECONDS`, there is no next one. Raises LedgerError if the store refuses.
    """
    tracker = Tracker(lambda: open_writer(job.tracking_uri, job.experiment), written=job.stored)
    tracker.open()
    import torch

    # Measured: with two threads the small products of a narrow net take many times as long as with one.
    torch.set_num_threads(threads)
    patience = IMPATIENCE_SECONDS
    try:
        tally = Tally()
        for tasks in rounds:
            tracker.expect(tasks)
            with shown(tasks, tracker.tally, screen, tally):
                for task in tasks:
                    train(task.cohort, job, tracker, kept=task.checkpoints)
                tally = tracker.drain(PATIENCE_SECONDS)
            if tally.waiting:
                break
        patience = 0.0  # all is written, or waiting was in vain
    finally:
        ended.append(tracker.close(patience))
