"""What a person reads before and after a sweep: lines of text, from values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from memory_study.config import TrialConfig
from sweeps._cost import GIB
from sweeps._ledger import without_password
from sweeps._pack import Machine, Task
from sweeps._plan import Todo
from sweeps._progress import duration, speed
from sweeps._tracking import Tally

MOST_LISTED = 20
"""Trials that are named one by one before the rest is only counted."""


def dry_run(
    plan: Sequence[TrialConfig], todo: Todo, tasks: Sequence[Task], machine: Machine, price: float | None
) -> Iterator[str]:
    """The plan, what of it is done, the cohorts and their cost."""
    yield f"trials          {len(plan)} planned, {todo.finished} finished before, {len(todo.train)} to train"
    if todo.failed:
        yield f"failed before   {len(todo.failed)}, left out; --retry-failed trains them again"
    if todo.put_off:
        yield f"put off         {todo.put_off}, because of --limit"
    if not tasks:
        return
    device = machine.device
    kind = f"{device.name} GPU" if device.is_gpu else "CPU core"
    yield f"machine         {machine.slots} {kind}{'s' if machine.slots > 1 else ''}"
    yield "cohorts         number  trials each  GPU share  memory each  seconds each"
    groups = Counter((len(t.cohort.configs), t.gpu) for t in tasks)
    for (size, gpu), count in sorted(groups.items(), reverse=True):
        same = [t for t in tasks if (len(t.cohort.configs), t.gpu) == (size, gpu)]
        memory = max(t.memory_bytes for t in same) / GIB
        mean = sum(t.seconds for t in same) / count
        yield f"                {count:6}  {size:11}  {gpu or '-':>9}  {memory:7.2f} GiB  {mean:12.1f}"
    if device.is_gpu:
        seen = sum(machine.peaks.bytes_of(task.cohort.configs) is not None for task in tasks)
        yield f"memory          of {seen} cohorts from what was measured on such a GPU, else an estimate"
    hours = sum(task.seconds for task in tasks) / 3600
    unit = f"{device.name} hours" if device.is_gpu else "core hours"
    wall = max(hours / machine.slots, max(task.seconds for task in tasks) / 3600)
    basis = "measured on another CPU" if device.measured else "from vendor figures, an estimate"
    yield f"cost            {hours:.{1 if hours >= 1 else 3}f} {unit}, about {duration(3600 * wall)} ({basis})"
    if price is not None:
        yield f"money           {price * wall:.2f}, at {price:g} an hour for the machine"


def summary(todo: Todo, tally: Tally, missing: int, seconds: float, uri: str, command: str) -> Iterator[str]:
    """How a sweep ended, what failed, what to do next. ``missing`` trials left neither result nor error."""
    diverged = f", {tally.diverged} of them diverged" if tally.diverged else ""
    before = f" ({todo.finished} more were finished before)" if todo.finished else ""
    rate = f", {speed(tally.finished, seconds)}" if tally.finished else ""
    yield f"{tally.finished} trials finished{diverged}{before} in {duration(seconds)}{rate}"
    failed = [*tally.failed, *tally.lost, *((trial.name, "failed before") for trial in todo.failed)]
    if failed:
        yield f"{len(failed)} trials failed:"
        yield from (f"  {name}: {error}" for name, error in failed[:MOST_LISTED])
        if len(failed) > MOST_LISTED:
            yield f"  and {len(failed) - MOST_LISTED} more: tag `error` of the failed runs says why"
        yield f"to try them again: {command} --retry-failed"
    if missing:
        yield f"{missing} trials are not in the store; the same command trains them: {command}"
    if todo.put_off:
        yield f"{todo.put_off} trials wait beyond --limit; the same command goes on"
    shown = without_password(uri)
    yield f"results are in {shown}; look at them with: {look_at(shown)}"
    yield f"next: python -m analysis --tracking-uri {shown}"


def look_at(uri: str) -> str:
    """How to open the tracking store's pages."""
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def log_line(path: Path) -> str:
    """Always the last line."""
    return f"what Ray and MLflow had to say is in {path}"
