from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _tiny, _watch
from benchmarks._plan import plan_of
from benchmarks._timing import BenchmarkError
from benchmarks.overhead import FULL, QUICK, Point

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("scale", "sizes"), [(FULL, [100, 1000, 10_000]), (QUICK, [100])])
def test_the_plans_have_the_sizes_that_they_promise(scale, sizes):
    assert [len(plan_of(_tiny.flags(scale.strengths, seeds))) for seeds in scale.seeds] == sizes


def test_the_cohorts_are_those_that_the_sweep_would_make():
    cohorts = _tiny.cohorts_of(_tiny.flags(24, 4))
    assert sorted(c.id for cohort in cohorts for c in cohort.configs) == sorted(
        c.id for c in plan_of(_tiny.flags(24, 4))
    )
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.regularization", *_tiny.flags(24, 4), "--dry-run",
         "--tracking-uri", "sqlite:////nowhere/at/all.db"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    counts = [line.split() for line in done.stdout.splitlines() if line.endswith(" 0.0")]
    assert sum(int(words[0]) for words in counts) == len(cohorts)


def test_an_overhead_is_what_training_and_writing_do_not_explain():
    point = Point(
        1000, 32, wall=30, fixed=15, training=8, writing=2, client=0.02, slots=2, running=13, opening=1
    )
    assert point.beyond_writing == pytest.approx(5)
    assert point.beyond_client == pytest.approx(-13)
    assert point.beyond_overlap == pytest.approx(6)
    assert point.while_running == pytest.approx(2)
    slow_store = Point(
        1000, 32, wall=30, fixed=15, training=2, writing=13, client=0.02, slots=2, running=13, opening=1
    )
    assert slow_store.beyond_overlap == pytest.approx(2)  # one writer cannot use two cores


def test_alone_every_trial_is_trained_and_written_once(tmp_path):
    cohorts = _tiny.cohorts_of(_tiny.flags(4, 1))
    seconds, outcomes = _tiny.train_alone(cohorts, 2, tmp_path)
    assert seconds > 0
    assert sorted(o.config.id for o in outcomes) == sorted(c.id for h in cohorts for c in h.configs)
    assert all(outcome.status == "FINISHED" for outcome in outcomes)
    assert _tiny.write_alone(outcomes, _tiny.OURS, tmp_path) > 0


def test_a_part_that_fails_is_an_error_of_one_line(tmp_path):
    with pytest.raises(BenchmarkError, match=r"benchmarks._tiny write ended with code 1: .*KeyError"):
        _tiny.write_alone([], "no such way", tmp_path)


def test_memory_is_told_by_its_peak_and_its_growth_after_the_first_tenth():
    samples = [
        _watch.Sample(*s) for s in [(0, 300, 1), (5, 100, 2), (10, 110, 3), (60, 140, 4), (100, 130, 5)]
    ]
    watched = _watch.Watched(9.0, Path(), {"driver": samples})
    assert watched.memory("driver", 100) == (300, 30)
    assert watched.cpu_seconds("driver") == 5


def test_overlap_counts_what_was_written_before_the_last_trial_ended(tmp_path):
    store = tmp_path / "store.db"
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute(
            "create table runs (run_uuid text, start_time integer, end_time integer, status text)"
        )
        for begun, ended in ((1000, 900), (1900, 1800), (2100, 2000)):
            run_id = f"{begun * 10**6:016x}" + 16 * "0"
            connection.execute("insert into runs values (?, ?, ?, 'FINISHED')", (run_id, ended - 400, ended))
        connection.commit()
    assert _watch.overlap(store) == pytest.approx(2 / 3)
    assert _watch.running_seconds(store) == pytest.approx(1.6)
    assert _watch.written(store) == 3
    assert _watch.written(tmp_path / "none.db") == 0


@pytest.mark.slow
def test_the_last_line_of_the_benchmark_is_its_figures_in_json():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead", "--quick"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert {
        "overhead_ms_100",
        "beyond_overlap_ms_100",
        "driver_mib",
        "tracker_mib",
        "keeper_mib",
        "page_runs_s",
    } <= figures.keys()
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["driver_mib"] > figures["driver_growth_mib"]
