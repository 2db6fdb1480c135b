"""From a command line to results: the way that every sweep takes."""

from __future__ import annotations

import dataclasses
import functools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from memory_study import datasets
from memory_study.config import ConfigError, TrialConfig
from sweeps import _report
from sweeps._checkpoints import Kept
from sweeps._checks import checkpoint_problems, plan_problems, room_problems, settings_problems
from sweeps._execute import FINISHED, SOME_FAILED, execute
from sweeps._flags import InputError, parse_arguments
from sweeps._ledger import LedgerError, read_ledger, sqlite_path, without_password
from sweeps._machine import cluster, this_machine
from sweeps._options import Options, Settings, Sweep, resolve, settings_of
from sweeps._pack import Facts, Machine, Task, pack
from sweeps._plan import Todo, difference, distinct
from sweeps._results import Archive
from sweeps._rounds import Planned, Search, Work

BAD_INPUT, INTERRUPTED = 2, 130


@dataclasses.dataclass(frozen=True)
class Question:
    """A sweep's plan, checked, with what its data set is."""

    options: Options
    plan: tuple[TrialConfig, ...]
    info: datasets.DatasetInfo
    location: Path

    def facts(self, config: TrialConfig) -> Facts:
        """What packing must know of the data."""
        info = self.info
        validation = info.test_examples if config.validation == "test" else info.held_out
        return Facts(info.image_shape, len(info.classes), validation, info.test_examples)


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
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SOME_FAILED


def _main(sweep: Sweep, argv: Sequence[str]) -> int:
    options, settings = _understand(sweep, argv)
    question = _ask(sweep, options, settings)
    try:
        ledger = read_ledger(settings.tracking_uri, settings.experiment)
    except LedgerError as error:
        raise InputError([str(error)]) from None
    todo = difference(question.plan, ledger.entries, retry_failed=settings.retry_failed, limit=settings.limit)
    if settings.dry_run:
        return _dry_run(question, todo, settings, in_rounds=sweep.rounds is not None)
    if settings.device == "cuda" and settings.address in ("", "inline"):
        this_machine(settings)  # a GPU that is missing is told before anything starts
    problems = list(room_problems(len(todo.train), settings.tracking_uri, settings.log_dir))
    folder = settings.checkpoints if todo.train else None
    if problems := [*problems, *checkpoint_problems(folder)]:
        raise InputError(problems)

    def packed(todo: Todo, machine: Machine) -> tuple[Task, ...]:
        kept = folder.resumable(ledger.finished, machine.device.is_gpu) if folder else ()
        return _pack(question, todo, settings, machine, kept)

    work: Work = Planned(todo, packed)
    if sweep.rounds is not None:
        archive = Archive(settings.tracking_uri, settings.experiment)
        work = Search(functools.partial(sweep.rounds, question.options, archive), packed, settings)
    command = without_password(shlex.join(["python", "-m", f"sweeps.{sweep.name}", *argv]))
    return execute(sweep.name, work, question.location, settings, command)


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
    _, mark, options = settings.tracking_uri.partition("?")  # such as a longer timeout
    return dataclasses.replace(settings, tracking_uri=f"sqlite:///{file.absolute()}{mark}{options}")


def _ask(sweep: Sweep, options: Options, settings: Settings) -> Question:
    """The plan, once the data set is in place. Raises :class:`InputError`."""
    asked = str(options.shared.get("dataset", TrialConfig().dataset))
    try:
        look = datasets.describe if settings.dry_run else datasets.prepare
        info = look(asked, settings.data_dir, int(options.shared.get("image_size", 0)))
    except datasets.DataError as error:
        raise InputError([str(error)]) from None
    shared = {**options.shared, "dataset": info.name, "dataset_digest": info.digest}
    options = dataclasses.replace(options, shared=shared)
    try:
        plan = distinct(sweep.plan(options))
    except ConfigError as error:
        raise InputError(error.problems) from None
    problems = [
        problem
        for config in {config.shared: config for config in plan}.values()
        for problem in plan_problems(config, info)
    ]
    if problems:
        raise InputError(problems)
    return Question(options, plan, info, datasets.location(asked, settings.data_dir))


def _pack(
    question: Question, todo: Todo, settings: Settings, machine: Machine, kept: Sequence[Kept] = ()
) -> tuple[Task, ...]:
    try:
        return pack(todo.train, machine, question.facts, settings.max_cohort, kept)
    except ValueError as error:
        raise InputError([str(error)]) from None


def _dry_run(question: Question, todo: Todo, settings: Settings, in_rounds: bool) -> int:
    joined = settings.address not in ("", "inline")
    machine = cluster(settings, 0, 0, []) if joined else this_machine(settings)
    tasks = _pack(question, todo, settings, machine)
    for line in _report.dry_run(question.plan, todo, tasks, machine, settings.price_per_hour):
        print(line)  # noqa: T201
    if in_rounds:
        print("in rounds       at most that, from the beginning: what is trained follows from what is found")  # noqa: T201
    return FINISHED
