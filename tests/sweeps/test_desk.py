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
from sweeps import _keeper, _tracking
from sweeps._batch import Outcome
from sweeps._desk import Desk, DeskWriter, Place
from sweeps._ledger import LedgerError, read_ledger
from sweeps._tracking import Tracker, _is_hopeless
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
        self.written += [o.config.id for o in outcomes if isinstance(o, Outcome)]


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


def gone(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "nobody"), "00")


@pytest.mark.parametrize("error", [LedgerError("away"), OSError("disk full"), RuntimeError("anything")])
def test_a_store_that_cannot_be_opened_without_the_desk_is_tried_again(
    trials: Trials, outcome: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(_tracking, "FIRST_WAIT", 0.01)
    away, writer = [error, error], FakeWriter()

    def open_store() -> Writer:
        if away:
            raise away.pop()
        return writer

    tracker = Tracker(lambda: DeskWriter(gone(tmp_path), open_store))
    tracker.start()
    tracker.submit([outcome(t) for t in trials(3)])
    tally = tracker.close(10)
    assert (tally.finished, tally.lost) == (3, ())
    assert writer.written == [t.id for t in trials(3)]


def test_a_store_that_stays_away_is_told_and_the_tracker_can_be_closed(
    trials: Trials, outcome: Outcomes, tmp_path: Path
) -> None:
    def open_store() -> Writer:
        raise RuntimeError("away for good")

    tracker = Tracker(lambda: DeskWriter(gone(tmp_path), open_store))
    tracker.start()
    tracker.submit([outcome(t) for t in trials(3)])
    tally = tracker.close(0.3)
    assert (tally.finished, tally.waiting, tally.lost) == (0, 3, ())
    assert "away for good" in tally.trouble


def explode() -> None:
    raise ImportError("no such class here")


class Unreadable:
    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return explode, ()


def test_a_visitor_who_cannot_be_understood_keeps_nobody_else_waiting(
    trials: Trials, outcome: Outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    writer, own = FakeWriter(), FakeWriter()
    desk = Desk(writer)
    strange = DeskWriter(desk.place, lambda: own)
    strange.write([Unreadable()])  # type: ignore[list-item]
    DeskWriter(desk.place, never).write([outcome(trials(1)[0])])
    assert writer.written == [trials(1)[0].id]
    assert "no such class here" in capsys.readouterr().err


def test_a_temporary_folder_with_a_long_name_is_no_obstacle(
    tmp_path: Path, trials: Trials, outcome: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with _keeper.kept(uri, "x") as keeper:
        DeskWriter(keeper.wait(print), never).write([outcome(trials(1)[0])])
    assert len(read_ledger(uri, "x").finished) == 1
