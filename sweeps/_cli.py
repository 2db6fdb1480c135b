"""From a command line to results: the way that every sweep takes."""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from memory_study import datasets
from memory_study.config import ConfigError, TrialConfig
from memory_study.record import Tag
from sweeps import _report
from sweeps._checks import plan_problems, room_problems, settings_problems
from sweeps._flags import InputError, parse_arguments
from sweeps._job import Job
from sweeps._ledger import LedgerError, read_ledger, sqlite_path
from sweeps._log import log_file, quiet, silence_ray
from sweeps._machine import cluster, this_machine
from sweeps._options import Options, Settings, Sweep, resolve, settings_of
from sweeps._pack import Facts, Machine, Task, pack
from sweeps._plan import Todo, difference, distinct
from sweeps._tracking import Tally
from sweeps._version import code_version

FINISHED, SOME_FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


@dataclasses.dataclass(frozen=True)
class Question:
    """A sweep's plan, checked, with what its data set is."""

    plan: tuple[TrialConfig, ...]
    info: datasets.DatasetInfo
    location: Path

    def facts(self, config: TrialConfig) -> Facts:
        """What packing must know of the data; the held-out set is taken to be as large as the test set."""
        return Facts(
            self.info.image_shape, len(self.info.classes), self.info.test_examples, self.info.test_examples
        )


def main(sweep: Sweep, argv: Sequence[str] | None = None) -> int:
    """Run a sweep. Returns 0 if all trials finished, 1 if some failed, 2 for bad input, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _main(sweep, argv)
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)  # noqa: T201
        return BAD_INPUT
    except KeyboardInterrupt:
        print("stopped before anything was trained", file=sys.stderr)  # noqa: T201
        return INTERRUPTED


def _main(sweep: Sweep, argv: Sequence[str]) -> int:
    options, settings = _understand(sweep, argv)
    question = _ask(sweep, options, settings)
    try:
        ledger = read_ledger(settings.tracking_uri, settings.experiment)
    except LedgerError as error:
        raise InputError([str(error)]) from None
    todo = difference(question.plan, ledger.entries, retry_failed=settings.retry_failed, limit=settings.limit)
    if settings.dry_run:
        return _dry_run(question, todo, settings)
    return _train(sweep, question, todo, settings, argv)


def _understand(sweep: Sweep, argv: Sequence[str]) -> tuple[Options, Settings]:
    """What the command line asks for. Raises :class:`InputError` with all that is wrong with it."""
    program = f"python -m sweeps.{sweep.name}"
    given, problems = parse_arguments(sweep.flags(), argv, program, sweep.header)
    settings = settings_of(sweep, given)
    problems += settings_problems(settings)
    try:
        options = resolve(sweep, given)
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    if problems:
        raise InputError(problems)
    return options, _with_absolute_store(settings)


def _with_absolute_store(settings: Settings) -> Settings:
    """Workers run in other folders, so a database file is named by its whole path."""
    file = sqlite_path(settings.tracking_uri)
    if file is None:
        return settings
    return dataclasses.replace(settings, tracking_uri=f"sqlite:///{file.absolute()}")


def _ask(sweep: Sweep, options: Options, settings: Settings) -> Question:
    """The plan, once the data set is in place. Raises :class:`InputError`."""
    asked = str(options.shared.get("dataset", TrialConfig().dataset))
    try:
        info = datasets.prepare(asked, settings.data_dir, int(options.shared.get("image_size", 0)))
    except datasets.DataError as error:
        raise InputError([str(error)]) from None
    shared = {**options.shared, "dataset": info.name, "dataset_digest": info.digest}
    try:
        plan = distinct(sweep.plan(dataclasses.replace(options, shared=shared)))
    except ConfigError as error:
        raise InputError(error.problems) from None
    problems = [
        problem
        for config in {config.shared: config for config in plan}.values()
        for problem in plan_problems(
            config, info.image_shape, len(info.classes), info.train_examples, info.name
        )
    ]
    if problems:
        raise InputError(problems)
    return Question(plan, info, datasets.location(asked, settings.data_dir))


def _pack(question: Question, todo: Todo, settings: Settings, machine: Machine) -> tuple[Task, ...]:
    try:
        return pack(todo.train, machine, question.facts, settings.max_cohort)
    except ValueError as error:
        raise InputError([str(error)]) from None


def _dry_run(question: Question, todo: Todo, settings: Settings) -> int:
    joined = settings.address not in ("", "inline")
    machine = cluster(settings, 0, 0, []) if joined else this_machine(settings)
    tasks = _pack(question, todo, settings, machine)
    for line in _report.dry_run(question.plan, todo, tasks, machine, settings.price_per_hour):
        print(line)  # noqa: T201
    return FINISHED


def _train(sweep: Sweep, question: Question, todo: Todo, settings: Settings, argv: Sequence[str]) -> int:
    command = shlex.join(["python", "-m", f"sweeps.{sweep.name}", *argv])
    ended: list[Tally] = []
    started = time.monotonic()
    path = log_file(settings.log_dir, sweep.name)
    stopped = 0
    if todo.train:
        if problems := list(room_problems(len(todo.train), settings.tracking_uri, settings.log_dir)):
            raise InputError(problems)
        stopped = _run(sweep, question, todo, settings, path, ended)
    tally, missing = _account(todo, ended[0] if ended else Tally(), settings)
    seconds = time.monotonic() - started
    for line in _report.summary(todo, tally, missing, seconds, settings.tracking_uri, command):
        print(line)  # noqa: T201
    if todo.train:
        print(_report.log_line(path))  # noqa: T201
    if stopped:
        return stopped
    return SOME_FAILED if missing or tally.failed or tally.lost or todo.failed else FINISHED


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


def _run(
    sweep: Sweep, question: Question, todo: Todo, settings: Settings, log: Path, ended: list[Tally]
) -> int:
    """Train what is to do; 0, or an exit code if a signal ended it. ``ended`` gets the last tally."""
    commit, dirty = code_version()
    tags: dict[str, str] = {Tag.SWEEP: sweep.name, Tag.CODE: commit, Tag.DIRTY: str(dirty).lower()}
    job = Job(
        question.location,
        settings.device,
        settings.save_models,
        settings.tracking_uri,
        settings.experiment,
        tags,
    )
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(128 + number)  # asked twice: the store needs no farewell, its transactions are whole
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with quiet(log) as screen:
            print(f"{sweep.name}: {len(todo.train)} trials to train", file=screen, flush=True)
            if settings.address == "inline":
                from sweeps import _inline

                tasks = _pack(question, todo, settings, this_machine(settings))
                _inline.run(tasks, job, settings.cpus or 1, screen, ended)
            else:
                silence_ray()
                from sweeps import _launch

                _launch.run(
                    lambda machine: _pack(question, todo, settings, machine), job, settings, screen, ended
                )
    except KeyboardInterrupt:
        return 128 + received[0] if received else INTERRUPTED
    except LedgerError as error:
        raise InputError([str(error)]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
