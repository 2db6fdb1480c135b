"""Whole commands, as a person runs them: on Ray, in this process, and when things die."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from memory_study.cohort import Cohort
from memory_study.record import Record

Run = Callable[..., int]
Start = Callable[..., "subprocess.Popen[str]"]
Rows = Callable[[str], Sequence[tuple[object, ...]]]

RUNS = "select status, count(*) from runs where lifecycle_stage = 'active' group by status"
TWICE = (
    "select value from tags join runs using (run_uuid) where key = 'trial' and lifecycle_stage = 'active' "
)
TWICE += "group by value having count(*) > 1"
SMOKE = ("--scale", "smoke")
SIXTEEN = (*SMOKE, "--seeds", "0", "1", "--cpus", "1", "--max-cohort", "1")
"""Tasks of a trial each."""
LONGER = (*SIXTEEN, "--epochs", "40")
"""Each takes more than two seconds, where training is slower."""


def finish(process: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def processes() -> dict[int, tuple[int, str]]:
    """Parent and title of every process of this machine."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                title = (folder / "cmdline").read_text().replace("\0", " ")
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(folder.name)] = (parent, title)
    return found


def descendants(ancestor: int) -> dict[int, str]:
    listed = processes()
    family = {ancestor}
    while grown := {pid for pid, (parent, _) in listed.items() if parent in family} - family:
        family |= grown
    return {pid: listed[pid][1] for pid in family - {ancestor} if pid in listed}


def is_worker(listed: Mapping[int, tuple[int, str]], pid: int) -> bool:
    return "ray::ImplicitFunc" in listed.get(pid, (0, ""))[1]


def workers_of(driver: subprocess.Popen[str]) -> list[int]:
    """The processes that train."""
    listed = processes()
    return [pid for pid in descendants(driver.pid) if is_worker(listed, pid)]


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def finished(rows: Rows) -> int:
    with contextlib.suppress(Exception):
        return int(str(dict(rows(RUNS)).get("FINISHED", 0)))
    return 0


@pytest.fixture
def started(start: Start, slower: str) -> Iterator[Start]:
    """Like ``start``, but that training is slower; whatever is left of the processes afterwards is killed."""
    running: list[subprocess.Popen[str]] = []
    families: set[int] = set()

    def call(*argv: str) -> subprocess.Popen[str]:
        running.append(start(*argv, PYTHONPATH=slower))
        return running[-1]

    yield call
    for process in running:
        families |= descendants(process.pid).keys()
        if process.poll() is None:
            process.kill()
            process.communicate()
    for pid in families:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_sweep_runs_inline_and_has_nothing_to_do_the_second_time(
    run: Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*SMOKE, "--address", "inline") == 0
    told = capsys.readouterr().out
    assert "8 trials finished" in told
    assert told.splitlines()[-1].startswith("what Ray and MLflow had to say is in logs/regularization-")
    assert rows(RUNS) == [("FINISHED", 8)]
    assert run(*SMOKE, "--address", "inline") == 0
    assert "0 trials finished (8 more were finished before)" in capsys.readouterr().out
    assert rows(RUNS) == [("FINISHED", 8)]


def test_a_larger_plan_trains_the_difference_only(
    run: Run, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*SMOKE, "--address", "inline", "--limit", "3")
    assert "5 trials wait beyond --limit" in capsys.readouterr().out
    assert run(*SMOKE, "--address", "inline", "--kinds", "dropout") == 0
    assert rows(RUNS) == [("FINISHED", 6)]
    assert rows(TWICE) == []


def test_a_failing_trial_fails_alone_and_is_retried_on_request(
    run: Run, rows: Rows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from memory_study import run as training

    real = training.run_cohort

    def broken(cohort: Cohort, **options: object) -> list[Record]:
        if any(dict(c.regularizers).get("dropout") == 0.5 and c.corruption == "none" for c in cohort.configs):
            raise RuntimeError("CUDA out of memory")
        return real(cohort, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(training, "run_cohort", broken)
        assert run(*SMOKE, "--address", "inline") == 1
    told = capsys.readouterr().out
    assert "dropout 0.5 · real · seed 0: RuntimeError: CUDA out of memory" in told
    assert "--retry-failed" in told
    assert dict(rows(RUNS)) == {"FINISHED": 7, "FAILED": 1}  # type: ignore[comparison-overlap]
    assert run(*SMOKE, "--address", "inline") == 1
    assert "failed before" in capsys.readouterr().out
    assert run(*SMOKE, "--address", "inline", "--retry-failed") == 0
    assert rows(RUNS) == [("FINISHED", 8)]


def test_models_are_kept_on_request(run: Run, rows: Rows, here: Path) -> None:
    assert run(*SMOKE, "--address", "inline", "--limit", "1", "--save-models") == 0
    (model,) = here.glob("mlartifacts/regularization/*/artifacts/model/model.pt")
    assert model.stat().st_size > 1000


@pytest.mark.slow
def test_a_sweep_runs_on_a_local_ray_and_leaves_no_process_behind(
    started: Start, rows: Rows, here: Path
) -> None:
    process = started(*SMOKE, "--cpus", "2")
    code, out, err = finish(process)
    assert (code, err) == (0, ""), out + err
    assert "8 trials finished" in out
    assert rows(RUNS) == [("FINISHED", 8)]
    assert not descendants(process.pid)
    assert {path.name for path in here.iterdir()} <= {"mlflow.db", "logs", "data"}


@pytest.mark.slow
def test_gpu_shares_are_asked_for_and_run_side_by_side(started: Start, rows: Rows) -> None:
    """Two tasks at once on the one GPU that Ray is told of can only be tasks that ask for a part of it."""
    code, out, err = finish(started(*SIXTEEN, "--epochs", "60", "--gpus", "1", "--limit", "3"))
    assert code == 0, out + err
    assert rows(RUNS) == [("FINISHED", 3)]
    spans = rows(
        "select tags.value, min(start_time), max(end_time) from runs join tags using (run_uuid)"
        " where tags.key = 'cohort' group by tags.value order by 2"
    )
    assert len(spans) == 3
    assert any(later[1] < earlier[2] for earlier, later in itertools.pairwise(spans))
    assert rows("select distinct value from tags where key = 'device'") == [("cpu",)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_ends_a_sweep_the_next_command_goes_on_with_what_is_left(started: Start, rows: Rows) -> None:
    before = 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        process = started(*LONGER)
        wait_for(lambda least=before + 2: finished(rows) >= least)
        in_training = workers_of(process)
        os.kill(process.pid, number)
        if number == signal.SIGKILL:
            process.communicate()
            wait_for(lambda pids=in_training: not [pid for pid in pids if is_worker(processes(), pid)], 60)
        else:
            code, out, err = finish(process, 60)
            assert code == 128 + number, out + err
            assert "the same command trains them: python -m sweeps.regularization --scale smoke" in out
            assert "Traceback" not in out + err
            wait_for(lambda pid=process.pid: not descendants(pid), 30)
        assert before + 2 <= finished(rows) < 16
        before = finished(rows)
    process = started(*LONGER)
    wait_for(lambda: finished(rows) > before)
    os.kill(workers_of(process)[0], signal.SIGKILL)  # costs its task a retry, and nothing else
    code, out, err = finish(process)
    assert code == 0, out + err
    assert f"{16 - before} trials finished ({before} more were finished before)" in out
    assert rows(RUNS) == [("FINISHED", 16)]
    assert rows(TWICE) == []
