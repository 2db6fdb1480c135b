"""One process writes for others: what it raises they raise, and without it they write themselves."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import DBAPIError

from memory_study.config import TrialConfig
from sweeps import _keeper
from sweeps._batch import Outcome
from sweeps._desk import Desk, DeskWriter, Place
from sweeps._ledger import read_ledger
from sweeps._tracking import _is_hopeless
from sweeps._writers import Writer, open_writer

Trials = Callable[[int], tuple[TrialConfig, ...]]
Outcomes = Callable[..., Outcome]


class FakeWriter:
    def __init__(self, error: Exception | None = None) -> None:
        self.written: list[str] = []
        self.error = error

    def write(self, outcomes: Sequence[Outcome]) -> None:
        if self.error is not None:
            raise self.error
        self.written += [o.config.id for o in outcomes]


def never() -> Writer:
    raise AssertionError("the desk is there")


def test_a_desk_writes_for_each_who_comes(trials: Trials, outcome: Outcomes) -> None:
    writer = FakeWriter()
    desk = Desk(writer)
    first, *others = trials(5)
    DeskWriter(desk.place, never).write([outcome(first)])
    second = DeskWriter(desk.place, never)
    for trial in others:
        second.write([outcome(trial)])
    assert writer.written == [trial.id for trial in trials(5)]


def with_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class UncopiedError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


@pytest.mark.parametrize(
    ("error", "kind", "hopeless"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OSError, False),
        (PermissionError(errno.EACCES, "no"), PermissionError, True),
        (MlflowException("away", error_code=TEMPORARILY_UNAVAILABLE), MlflowException, False),
        (MlflowException.invalid_parameter_value("too long"), MlflowException, True),
        (
            with_cause(
                MlflowException.invalid_parameter_value("restarting"),
                DBAPIError("select 1", {}, Exception("shutdown"), connection_invalidated=True),
            ),
            MlflowException,
            False,
        ),
        (ValueError("a mistake"), ValueError, True),
        (UncopiedError("what cannot", "be copied"), OSError, False),
    ],
)
def test_what_the_writer_raised_is_raised_and_as_hopeless_as_it_was(
    trials: Trials, outcome: Outcomes, error: Exception, kind: type[Exception], hopeless: bool
) -> None:
    writer = FakeWriter(error)
    visitor = DeskWriter(Desk(writer).place, never)
    with pytest.raises(kind) as raised:
        visitor.write([outcome(trials(1)[0])])
    assert str(raised.value) == str(error)
    assert _is_hopeless(raised.value) == hopeless
    writer.error = None
    visitor.write([outcome(trials(1)[0])])
    assert writer.written == [trials(1)[0].id]


def test_strangers_are_not_heard(trials: Trials, outcome: Outcomes) -> None:
    writer = FakeWriter()
    desk = Desk(writer)
    own = FakeWriter()
    DeskWriter(Place(desk.place.address, "00" * 32), lambda: own).write([outcome(trials(1)[0])])
    assert (writer.written, own.written) == ([], [trials(1)[0].id])
    DeskWriter(desk.place, never).write([outcome(trials(1)[0])])
    assert writer.written == [trials(1)[0].id]
    assert desk.place.key not in repr(desk.place)


def test_once_the_keeper_is_killed_results_are_written_without_it(
    tmp_path: Path, trials: Trials, outcome: Outcomes
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with _keeper.kept(uri, "x") as keeper:
        writer = DeskWriter(keeper.wait(print), lambda: open_writer(uri, "x"))
        writer.write([outcome(trials(3)[0])])
        assert len(read_ledger(uri, "x").finished) == 1
        os.kill(keeper._process.pid, signal.SIGKILL)
        for trial in trials(3):
            writer.write([outcome(trial)])
    assert read_ledger(uri, "x").finished == {trial.id for trial in trials(3)}
