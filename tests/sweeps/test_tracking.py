from __future__ import annotations

import errno
import pickle
import time
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy.exc import DBAPIError

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from sweeps import _tracking
from sweeps._batch import Outcome
from sweeps._ledger import LedgerError
from sweeps._pack import Task
from sweeps._tracking import FIRST_WAIT, LONGEST_WAIT, PATIENCE_SECONDS, Tracker
from sweeps._writers import Writer

Trials = Callable[[int], tuple[TrialConfig, ...]]
Outcomes = Callable[..., Outcome]


class StoreError(Exception):
    def __init__(self, code: str, reason: str = "store says no") -> None:
        super().__init__(f"{code}: {reason}\nsecond line")
        self.error_code = code


class FakeWriter:
    """Remembers what is written; raises what ``errors`` holds first."""

    def __init__(self, errors: Sequence[Exception] = (), poison: str = "") -> None:
        self.written: list[str] = []
        self.errors = list(errors)
        self.poison = poison

    def write(self, outcomes: Sequence[Outcome]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        if self.poison in [o.config.id for o in outcomes]:
            raise StoreError("INVALID_PARAMETER_VALUE")
        self.written += [o.config.id for o in outcomes]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tracking, "FIRST_WAIT", 0.01)


def opened(writer: Writer) -> Tracker:
    tracker = Tracker(lambda: writer)
    tracker.open()
    return tracker


def test_everything_submitted_is_written_in_order(trials: Trials, outcome: Outcomes) -> None:
    writer = FakeWriter()
    tracker = opened(writer)
    tracker.submit([outcome(t) for t in trials(5)[:2]])
    tracker.submit([outcome(t) for t in trials(5)[2:]])
    tally = tracker.close(5)
    assert writer.written == [t.id for t in trials(5)]
    assert (tally.finished, tally.waiting) == (5, 0)


def test_a_trial_submitted_twice_is_written_once(trials: Trials, outcome: Outcomes) -> None:
    writer = FakeWriter()
    tracker = opened(writer)
    for _ in range(3):
        tracker.submit([outcome(t) for t in trials(2)])
    assert tracker.close(5).finished == 2
    assert len(writer.written) == 2


def test_a_store_that_is_away_costs_nothing(trials: Trials, outcome: Outcomes) -> None:
    away: list[Exception] = [
        StoreError("INTERNAL_ERROR"),
        ConnectionError("gone"),
        StoreError("TEMPORARILY_UNAVAILABLE"),
    ]
    writer = FakeWriter(away)
    tracker = opened(writer)
    started = time.monotonic()
    tracker.submit([outcome(t) for t in trials(3)])
    assert time.monotonic() - started < 0.1
    tally = tracker.close(5)
    assert (tally.finished, tally.trouble) == (3, "")
    assert len(writer.written) == 3


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EROFS, "Read-only file system"),
        StoreError("TEMPORARILY_UNAVAILABLE", "attempt to write a readonly database"),
    ],
)
def test_a_store_that_will_never_take_a_result_is_not_waited_for(
    error: Exception, trials: Trials, outcome: Outcomes
) -> None:
    tracker = opened(FakeWriter([error] * 10))
    tracker.submit([outcome(trial) for trial in trials(3)])
    started = time.monotonic()
    tally = tracker.close(60)
    assert time.monotonic() - started < 5
    assert len(tally.lost) == 3
    assert "could not be written: " in tally.lost[0][1]


def test_a_full_disk_and_a_database_that_restarts_are_waited_for(trials: Trials, outcome: Outcomes) -> None:
    restart = StoreError("BAD_REQUEST")
    restart.__cause__ = DBAPIError("", None, Exception(), connection_invalidated=True)
    errors = [
        OSError(errno.ENOSPC, "No space left on device"),
        StoreError("TEMPORARILY_UNAVAILABLE"),
        restart,
    ]
    tracker = opened(FakeWriter(errors))
    tracker.submit([outcome(trial) for trial in trials(3)])
    assert tracker.close(5).finished == 3


class Clock:
    """Time that passes while the tracker waits to try again: stands in for the module time, and for its event."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        time.sleep(0.001)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(0.03)  # long enough that whoever waits for the tracker sees this time


def test_a_server_away_for_two_minutes_after_all_is_trained_delays_and_loses_nothing(
    trials: Trials, outcome: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the waits as they are, on a clock that need not be waited for. A server really away: test_faults.py."""
    clock, attempts = Clock(), []
    monkeypatch.setattr(_tracking, "FIRST_WAIT", FIRST_WAIT)

    class Away(FakeWriter):
        def write(self, outcomes: Sequence[Outcome]) -> None:
            attempts.append(clock.now)
            if clock.now < 120:
                raise ConnectionError("refused")
            super().write(outcomes)

    writer = Away()
    tracker = opened(writer)
    tracker._closing.wait = clock.wait  # type: ignore[method-assign, assignment]
    monkeypatch.setattr(_tracking, "time", clock)
    tracker.submit([outcome(trial) for trial in trials(8)])
    tally = tracker.close(PATIENCE_SECONDS)
    assert (tally.finished, tally.waiting, tally.lost) == (8, 0, ())
    assert writer.written == [trial.id for trial in trials(8)]
    assert 120 <= attempts[-1] < 120 + LONGEST_WAIT, "soon after it is back"
    assert len(attempts) < 20


def test_trouble_is_told_while_it_lasts(trials: Trials, outcome: Outcomes) -> None:
    writer = FakeWriter([StoreError("TEMPORARILY_UNAVAILABLE")] * 1000)
    tracker = opened(writer)
    tracker.submit([outcome(t) for t in trials(3)])
    tally = tracker.close(0.2)
    assert tally.trouble == "TEMPORARILY_UNAVAILABLE: store says no"
    assert (tally.finished, tally.waiting) == (0, 3)


def test_what_cannot_be_written_does_not_hold_up_the_rest(
    trials: Trials, outcome: Outcomes, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = trials(4)[2]
    writer = FakeWriter(poison=bad.id)
    tracker = opened(writer)
    tracker.submit([outcome(t) for t in trials(4)])
    tally = tracker.close(5)
    assert tally.finished == 3
    assert tally.waiting == 0
    assert [name for name, _ in tally.lost] == [bad.name]
    assert "INVALID_PARAMETER_VALUE" in tally.lost[0][1]


def test_a_mistake_of_ours_is_told_and_not_repeated(trials: Trials, outcome: Outcomes) -> None:
    tracker = opened(FakeWriter([TypeError("a bug"), TypeError("a bug")]))
    tracker.submit([outcome(trials(1)[0])])
    assert "a bug" in tracker.close(5).lost[0][1]


def test_closing_waits_as_long_as_something_is_written(trials: Trials, outcome: Outcomes) -> None:
    class Slow(FakeWriter):
        def write(self, outcomes: Sequence[Outcome]) -> None:
            time.sleep(0.05)
            super().write(outcomes)

    tracker = opened(Slow())
    for trial in trials(10):
        tracker.submit([outcome(trial)])
    assert tracker.close(0.2).finished == 10


def test_a_tally_counts_failures_divergence_and_the_best(outcome: Outcomes) -> None:
    real, better, noisy = (
        TrialConfig(),
        TrialConfig(seed=1),
        TrialConfig(corruption="randY", corruption_level=1.0),
    )
    tracker = opened(FakeWriter())
    tracker.submit([outcome(real, 0.5), outcome(better, 0.75), outcome(noisy, 0.9)])
    tracker.submit([outcome(TrialConfig(seed=2), error="ValueError: no")])
    tally = tracker.close(5)
    assert tally.best == (0.75, better.name)
    assert tally.failed == ((TrialConfig(seed=2).name, "ValueError: no"),)
    assert tally.finished == 3


def test_running_cohorts_are_known_by_their_beats() -> None:
    tracker = opened(FakeWriter())
    tracker.beat("a", 0)
    tracker.beat("b", 3)
    tracker.beat("a", 7)
    assert tracker.tally().running == {"a": 7, "b": 3}
    tracker.beat("a", -1)
    assert tracker.close(1).running == {"b": 3}


def test_work_counts_ended_trials_and_the_epochs_of_running_cohorts(
    trials: Trials, outcome: Outcomes
) -> None:
    first, second = (Task(Cohort(part), 1, 0, 0, 8.0) for part in (trials(6)[:4], trials(6)[4:]))
    tracker = opened(FakeWriter())
    tracker.expect([first, second])
    assert tracker.tally().work == 0
    tracker.beat(first.cohort.id, 2)
    tracker.beat(second.cohort.id, 9)  # more than its epochs
    tracker.beat("a cohort that was halved", 1)
    assert tracker.tally().work == pytest.approx(8 * 2 / 3 + 8)
    tracker.beat(first.cohort.id, -1)
    tracker.beat(second.cohort.id, -1)
    tracker.submit([outcome(trial) for trial in trials(6)[3:]])
    assert tracker.tally().work == pytest.approx(2 + 8)
    tracker.expect(first.halves(first.cohort.configs[:3]))  # a second round estimates them anew
    tracker.submit([outcome(trial) for trial in trials(6)[:3]])
    assert tracker.close(5).work == pytest.approx(16)


def test_a_tally_is_as_small_for_many_trials_as_for_few(trials: Trials, outcome: Outcomes) -> None:
    def size(count: int) -> int:
        tracker = opened(FakeWriter())
        tracker.submit([outcome(trial) for trial in trials(count)])
        return len(pickle.dumps(tracker.close(5)))

    assert size(500) < size(5) + 50


def test_what_has_not_arrived_is_known(trials: Trials, outcome: Outcomes) -> None:
    tracker = opened(FakeWriter())
    tracker.submit([outcome(trial) for trial in trials(5)[1:3]])
    assert tracker.unseen(trials(5)) == (trials(5)[0], *trials(5)[3:])


def test_a_store_that_refuses_is_told_at_the_start() -> None:
    def refuse() -> Writer:
        raise LedgerError("no such store")

    with pytest.raises(LedgerError, match="no such store"):
        Tracker(refuse).open()


def test_a_store_that_cannot_be_opened_again_is_tried_until_it_can(trials: Trials, outcome: Outcomes) -> None:
    """The tracker opens it itself once the process that had it open is gone."""
    writer = FakeWriter([LedgerError("away"), LedgerError("away")])
    tracker = opened(writer)
    tracker.submit([outcome(t) for t in trials(3)])
    assert tracker.close(10).finished == 3
    assert writer.written == [t.id for t in trials(3)]


def test_a_cohorts_checkpoint_may_go_only_when_its_results_are_in_the_store(
    trials: Trials, outcome: Outcomes
) -> None:
    writer, safe = FakeWriter([StoreError("TEMPORARILY_UNAVAILABLE")] * 3), []

    def written(outcomes: Sequence[Outcome]) -> None:
        safe.append(([o.config.id for o in outcomes], list(writer.written)))

    tracker = Tracker(lambda: writer, written=written)
    tracker.open()
    tracker.submit([outcome(t) for t in trials(2)])
    assert tracker.close(10).finished == 2
    assert safe == [([t.id for t in trials(2)],) * 2]


def test_a_mistake_in_what_is_told_of_safe_results_holds_up_no_others(
    trials: Trials, outcome: Outcomes
) -> None:
    def written(outcomes: Sequence[Outcome]) -> None:
        raise ValueError("a mistake")

    writer = FakeWriter()
    tracker = Tracker(lambda: writer, written=written)
    tracker.open()
    for trial in trials(3):
        tracker.submit([outcome(trial)])
        assert tracker.drain(10).waiting == 0
    assert tracker.close(10).finished == len(writer.written) == 3


def test_closing_an_idle_tracker_is_immediate() -> None:
    tracker = opened(FakeWriter())
    started = time.monotonic()
    tracker.close(60)
    assert time.monotonic() - started < 2
