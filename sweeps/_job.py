"""What is to be trained and where its results go: all that a worker must know, and the work of one task."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import Record, Tag
from sweeps import _peaks
from sweeps._batch import Outcome, outcomes
from sweeps._checkpoints import CohortCheckpoints, Folder
from sweeps._cost import GPU_CONTEXT_BYTES
from sweeps._isolate import isolate, one_line
from sweeps._version import running_code

BEAT_SECONDS = 1.0
"""Least time between two signs of life of a task."""


@dataclass(frozen=True, slots=True)
class Job:
    """Common to all tasks of a sweep. ``tags`` are those that the driver knows; ``location`` holds the data
    set; ``code`` is the :func:`sweeps._version.running_code` of the driver.
    """

    location: Path
    device: str
    save_models: bool
    tracking_uri: str
    experiment: str
    tags: Mapping[str, str]
    code: str = ""
    checkpoints: Folder | None = None
    checkpoint_seconds: float = 0.0

    def stored(self, batch: Sequence[Outcome]) -> None:
        """These are in the store: nobody needs their cohorts' checkpoints any more, and they say what a GPU has to hold.

        A cohort that comes in parts keeps its own until the driver ends: what is not written may have to be trained again.
        """
        sizes = {outcome.tags[Tag.COHORT]: int(outcome.tags[Tag.COHORT_SIZE]) for outcome in batch}
        arrived = Counter(outcome.tags[Tag.COHORT] for outcome in batch)
        for cohort, size in sizes.items():
            if self.checkpoints is not None and arrived[cohort] >= size:
                self.checkpoints.forget(cohort)
        try:
            _peaks.note(batch)
        except OSError as error:  # the next sweep then packs by the estimate again
            with contextlib.suppress(OSError):  # the log's disk may be full
                sys.stderr.write(f"the memory that cohorts took cannot be kept: {one_line(error)}\n")

    def epoch_of(self, names: Sequence[str], trials: Sequence[TrialConfig], gpu: bool = False) -> int:
        """Epochs that need not be trained again, because one of the checkpoints ``names`` holds ``trials`` after them."""
        folder = self.checkpoints
        return folder.furthest(names, [trial.id for trial in trials], gpu) if folder is not None else 0


class NodeError(Exception):
    """A machine cannot train what others may: no trial is to blame. The message goes on where its name stops."""


class Sink(Protocol):
    """Where a task's results go."""

    def submit(self, batch: Sequence[Outcome]) -> None:
        """Take over results; once this returns they are safe from the end of the task's process."""

    def beat(self, cohort: str, epoch: int) -> None:
        """Note that a task is alive and has trained this many epochs; -1 when it ends."""


def train(cohort: Cohort, job: Job, sink: Sink, gpu: float = 1.0, kept: Sequence[str] = ()) -> None:
    """Train a cohort and submit what comes of it. ``gpu`` is the share of a GPU's memory it may use, 0 for
    none. ``kept`` names checkpoints that may hold it: it goes on from there.
    """
    import torch

    from memory_study.run import run_cohort

    device = pick_device(job.device, gpu)
    if device == "cuda" and gpu < 1:
        cap_memory(gpu)
    beat = _throttled(lambda epoch: sink.beat(cohort.id, epoch))

    def train_part(part: Cohort) -> list[Record]:
        return run_cohort(
            part,
            location=job.location,
            device=device,
            keep_models=job.save_models,
            heartbeat=beat,
            checkpoints=_checkpoints(job, (part.id, *kept), part, device == "cuda"),
        )

    def recover() -> None:
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.synchronize()  # raises where the GPU is lost to this process, which no trial is to blame for

    tags = {**job.tags, Tag.DEVICE: _device_name(device), Tag.PYTHON: platform.python_version()}
    # A plain string: torch's own kind of one would import torch in the tracker's process, which takes 400 MB and seconds.
    tags[Tag.TORCH] = str(torch.__version__)
    start = _milliseconds()
    sink.beat(cohort.id, 0)
    for part, records, failures in isolate(cohort, train_part, recover):
        for failure in failures:
            with contextlib.suppress(OSError):  # the log's disk may be full
                sys.stderr.write(failure.details)
        end = _milliseconds()
        sink.submit(outcomes(part, records, failures, tags, (start, end)))
        start = end
    sink.beat(cohort.id, -1)


def cap_memory(gpu: float) -> None:
    """Let this process take no more than a share of the GPU, its context included, as packing has counted it."""
    import torch

    whole = torch.cuda.get_device_properties().total_memory
    torch.cuda.set_per_process_memory_fraction(gpu - GPU_CONTEXT_BYTES / whole)


def check_code(job: Job) -> None:
    """Raises :class:`NodeError` where this machine runs other code than the driver: what would its records be of?"""
    code = running_code()
    if code != job.code:
        raise NodeError(f"has {code}, the driver has {job.code}; install the same version on both")


def check_node(config: TrialConfig, job: Job, gpu: float) -> None:
    """Raises :class:`NodeError` where this machine has not got the data, or not the GPU that is asked for."""
    from memory_study import datasets

    if job.device == "cuda" and pick_device(job.device, gpu) != "cuda":
        raise NodeError("has no GPU that torch can use; look at its driver, or use --device auto")
    try:
        datasets.load(config, job.location)
    except (datasets.DataError, OSError) as error:
        raise NodeError(f"cannot load the data ({one_line(error)})") from error


def _checkpoints(job: Job, names: Sequence[str], part: Cohort, gpu: bool) -> CohortCheckpoints | None:
    if job.checkpoints is None:
        return None
    trials = [config.id for config in part.configs]
    return CohortCheckpoints(job.checkpoints, names, trials, job.checkpoint_seconds, gpu)


def pick_device(wanted: str, gpu: float) -> str:
    """``cuda`` where there is a GPU that this task may use, else ``cpu``. Ray hides no GPU from a task
    without one.
    """
    import torch

    return "cuda" if wanted != "cpu" and gpu > 0 and torch.cuda.is_available() else "cpu"


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def _milliseconds() -> int:
    return int(time.time() * 1000)


def _throttled(beat: Callable[[int], None]) -> Callable[[int], None]:
    last = time.monotonic()

    def maybe(epoch: int) -> None:
        nonlocal last
        if time.monotonic() - last >= BEAT_SECONDS:
            last = time.monotonic()
            beat(epoch)

    return maybe
