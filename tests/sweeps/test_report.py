from __future__ import annotations

import io
import re

import pytest

from memory_study.config import TrialConfig
from sweeps import _report
from sweeps._cost import CPU, DEVICES
from sweeps._pack import Facts, Machine, pack
from sweeps._plan import Todo
from sweeps._progress import Meter, duration, shown, speed
from sweeps._tracking import Tally

PLAN = tuple(TrialConfig(seed=seed, batch_size=50) for seed in range(20))
FACTS = Facts((1, 8, 8), 10, 360, 360)


def text(lines: object) -> str:
    return "\n".join(lines)  # type: ignore[arg-type]


def test_a_dry_run_shows_trials_cohorts_memory_hours_and_money() -> None:
    machine = Machine(DEVICES["H200"], 2)
    tasks = pack(PLAN, machine, lambda _: FACTS)
    todo = Todo(PLAN, 3, PLAN[:1], 0)
    told = text(_report.dry_run(PLAN, todo, tasks, machine, 3.5))
    for word in (
        "20 planned, 3 finished before",
        "--retry-failed",
        "2 H200 GPUs",
        "GiB",
        "0.125",
        "H200 hours",
    ):
        assert word in told
    assert re.search(r"money +\d+\.\d\d, at 3.5 an hour", told)


def test_a_dry_run_with_nothing_to_do_has_no_cohorts() -> None:
    told = text(_report.dry_run(PLAN, Todo((), 20, (), 0), (), Machine(CPU, 2), None))
    assert "20 finished before, 0 to train" in told
    assert "cohorts" not in told


def test_a_summary_lists_failures_and_the_command_that_retries_them() -> None:
    tally = Tally(finished=18, diverged=1, failed=(("dropout 0.5 · real · seed 0", "ValueError: no"),))
    todo = Todo(PLAN, 5, (), 0)
    told = text(_report.summary(todo, tally, 1, 60, "sqlite:///m.db", "python -m sweeps.x --scale smoke"))
    assert (
        "18 trials finished, 1 of them diverged (5 more were finished before) in 60 s, 18.0 trials/min"
        in told
    )
    assert "  dropout 0.5 · real · seed 0: ValueError: no" in told
    assert "to try them again: python -m sweeps.x --scale smoke --retry-failed" in told
    assert "1 trials are not in the store" in told
    assert "mlflow ui --backend-store-uri sqlite:///m.db" in told
    assert "python -m analysis --tracking-uri sqlite:///m.db" in told


def test_many_failures_are_counted_not_listed() -> None:
    tally = Tally(failed=tuple((f"trial {n}", "no") for n in range(500)))
    told = list(_report.summary(Todo((), 0, (), 0), tally, 0, 1, "u", "c"))
    assert len(told) < 40
    assert any("and 480 more" in line for line in told)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (42, "42 s"), (180, "3 min"), (5400, "1.5 h"), (36_000, "10.0 h")]
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("trials", "seconds", "words"),
    [(100, 10, "10.0 trials/s"), (10, 60, "10.0 trials/min"), (1, 3600, "1.0 trials/h")],
)
def test_speeds_read_well(trials: int, seconds: float, words: str) -> None:
    assert speed(trials, seconds) == words


def test_progress_is_the_share_of_the_estimated_work() -> None:
    tasks = pack(PLAN, Machine(CPU, 2), lambda _: FACTS, 10)
    meter, whole = Meter(tasks, Tally()), sum(task.seconds for task in tasks)
    assert meter.share(Tally()) == 0
    assert meter.share(Tally(work=whole / 4)) == pytest.approx(0.25)
    assert meter.share(Tally(work=2 * whole)) == 1


def test_a_later_round_counts_its_own_trials_only() -> None:
    tasks = pack(PLAN, Machine(CPU, 2), lambda _: FACTS, 10)
    whole = sum(task.seconds for task in tasks)
    before = Tally(finished=30, failed=(("t", "no"),), work=100.0)
    meter = Meter(tasks, before)
    assert meter.share(before) == 0
    later = Tally(finished=34, failed=(("t", "no"), ("u", "no")), work=100.0 + whole / 2)
    assert meter.share(later) == pytest.approx(0.5)
    assert meter.line(later).startswith("5 of 20 trials · 1 failed · ")


def test_a_line_of_progress_says_what_matters() -> None:
    meter = Meter(pack(PLAN, Machine(CPU, 2), lambda _: FACTS), Tally())
    tally = Tally(
        finished=5,
        failed=(("t", "no"),),
        best=(0.9754, "dropout 0.5 · real · seed 0"),
        waiting=3,
        trouble="gone",
        unfit=("b has no GPU",),
    )
    line = meter.line(tally)
    for word in (
        "6 of 20 trials",
        "1 failed",
        "0.975 (dropout 0.5 · real · seed 0)",
        "3 trials wait",
        "gone",
        "a better node than b has no GPU",
    ):
        assert word in line


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_terminals_and_elsewhere(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeps import _progress

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    monkeypatch.setattr(_progress, "SECONDS_ON_TERMINAL", 0.01)
    monkeypatch.setattr(_progress, "SECONDS_IN_LOG", 0.01)
    screen, asked = Screen(), []

    def tally() -> Tally:
        asked.append(True)
        return Tally(finished=7)

    with shown(pack(PLAN, Machine(CPU, 2), lambda _: FACTS), tally, screen, Tally()):
        while len(asked) < 3:
            pass
    assert "7 of 20 trials" in screen.getvalue()
