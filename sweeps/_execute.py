"""Train what is to do of a sweep, and tell how it ended: by itself, by a signal, or by a mistake."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from memory_study._version import code_version
from memory_study.record import Tag
from sweeps import _report
from sweeps._flags import InputError
from sweeps._isolate import one_line
from sweeps._job import Job
from sweeps._keeper import held, kept
from sweeps._ledger import LedgerError, read_ledger
from sweeps._log import log_file, quiet, silence_ray
from sweeps._machine import this_machine
from sweeps._options import Settings
from sweeps._plan import Todo
from sweeps._rounds import Work
from sweeps._tracking import Tally
from sweeps._version import running_code

FINISHED, SOME_FAILED = 0, 1


def execute(sweep: str, work: Work, location: Path, settings: Settings, command: str) -> int:
    """Do ``work`` and print how it went; ``command`` is what goes on with it. Returns the exit code.

    ``location`` holds the data set. Raises :class:`InputError` for a store, a log or a cluster that refuses; if it took some
    results before, it is told how it went all the same.
    """
    started = time.monotonic()
    ended: list[Tally] = []
    log = log_file(settings.log_dir, sweep)
    code, refusal = 0, None
    if work.title:
        try:
            code = _run(_job(sweep, location, settings), work, settings, log, ended)
        except InputError as error:
            if not (ended and ended[0].finished):
                raise
            refusal = error
        if settings.checkpoints:
            settings.checkpoints.leave()
    todo = work.todo
    tally, missing = _account(todo, ended[0] if ended else Tally(), settings)
    seconds = time.monotonic() - started
    for line in _report.summary(todo, tally, missing, seconds, settings.tracking_uri, command):
        print(line)  # noqa: T201
    if work.title:
        print(_report.log_line(log))  # noqa: T201
    if refusal:
        raise refusal
    some_failed = missing or tally.failed or tally.lost or todo.failed
    return code or (SOME_FAILED if some_failed else FINISHED)


def _job(sweep: str, location: Path, settings: Settings) -> Job:
    commit, dirty = code_version()
    return Job(
        location=location,
        device=settings.device,
        save_models=settings.save_models,
        tracking_uri=settings.tracking_uri,
        experiment=settings.experiment,
        tags={Tag.SWEEP: sweep, Tag.CODE: commit, Tag.DIRTY: str(dirty).lower()},
        code=running_code(),
        checkpoints=settings.checkpoints,
        checkpoint_seconds=settings.checkpoint_seconds,
    )


def _run(job: Job, work: Work, settings: Settings, log: Path, ended: list[Tally]) -> int:
    """0, or an exit code if a signal or a mistake of this program ended it. ``ended`` gets the last tally."""
    with _stopped_by_signals() as received, quiet(log) as screen:
        try:
            print(f"{job.tags[Tag.SWEEP]}: {work.title}", file=screen, flush=True)
            _launch(job, work, settings, screen, ended)
        except KeyboardInterrupt:
            return 128 + received[0] if received else 128 + signal.SIGINT
        except LedgerError as error:
            raise InputError([str(error)]) from None
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - its traceback belongs in the log, what is done is still told
            traceback.print_exc()
            print(f"stopped by a mistake in the program: {one_line(error)}", file=screen, flush=True)
            return SOME_FAILED
    return 0


def _launch(job: Job, work: Work, settings: Settings, screen: TextIO, ended: list[Tally]) -> None:
    """Here or on Ray, which is imported only then, while no other driver has the experiment."""

    def note(text: str) -> None:
        print(text, file=screen, flush=True)

    if settings.address == "inline":
        from sweeps import _inline

        with held(job.tracking_uri, job.experiment, note):
            _inline.run(work.tasks(this_machine(settings), note), job, settings.cpus or 1, screen, ended)
            _prune(settings)
    else:
        silence_ray()
        with kept(job.tracking_uri, job.experiment) as keeper:
            from sweeps import _launch  # takes as long as opening the store

            _launch.run(
                lambda machine: work.tasks(machine, note),
                job,
                settings,
                screen,
                ended,
                lambda: keeper.wait(note),
            )
            _prune(settings)


def _prune(settings: Settings) -> None:
    """Delete checkpoints that nobody goes on with, while no other driver has the experiment."""
    if settings.checkpoints:
        settings.checkpoints.prune(lambda: read_ledger(settings.tracking_uri, settings.experiment).finished)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt, once; the second one ends the process. Gives those
    received.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(
                128 + number
            )  # asked twice: what is in the store is whole, and the rest is not worth a wait
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _account(todo: Todo, tally: Tally, settings: Settings) -> tuple[Tally, int]:
    """The tally, and how many trials left nothing. What does not add up is looked up in the store."""
    missing = len(todo.train) - tally.finished - len(tally.failed) - len(tally.lost)
    if not missing:
        return tally, 0
    try:
        entries = read_ledger(settings.tracking_uri, settings.experiment).entries
    except LedgerError:
        return tally, missing
    finished = sum(t.id in entries and entries[t.id].status == "FINISHED" for t in todo.train)
    return dataclasses.replace(tally, finished=finished), missing - (finished - tally.finished)
