"""The benchmark of scheduling: what it calls busy, and that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.utilisation import utilisation

ROOT = Path(__file__).parents[2]


def test_nodes_that_are_always_busy_are_busy_to_the_full() -> None:
    intervals = [(float(step), step + 1.0) for step in range(5) for _ in range(3)]
    assert utilisation(intervals, 3) == pytest.approx((1.0, 1.0, 12 / 4))


def test_a_start_one_after_the_other_counts_in_the_whole_and_not_in_the_steady_share() -> None:
    # Two nodes: the second begins 4 seconds late; then both work without a pause, and end together.
    intervals = [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0), (4.0, 6.0), (6.0, 8.0)]
    whole, steady, rate = utilisation(intervals, 2)
    assert whole == pytest.approx(12 / 16)
    assert steady == pytest.approx(1.0 - 2 / 8)  # from the second start, at 2 s, to the last one, at 6 s
    assert rate == pytest.approx(4 / 4)


@pytest.mark.slow
def test_each_node_gets_to_train_though_tasks_end_sooner_than_processes_start() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.utilisation", "--quick"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    (row,) = json.loads(done.stdout.splitlines()[-1]).values()
    assert row["processes"] == 4
    assert 0 < row["whole"] <= 1
    assert 0 < row["steady"] <= 1
