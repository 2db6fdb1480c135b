"""The benchmark of reading compares equal numbers, and its command works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import loading

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('loading')}/store.db"
    loading.fill(uri, 0, 5)
    return uri


def test_the_store_holds_the_runs_and_points_that_it_says(uri: str) -> None:
    figures = loading.read_once(uri, "")
    assert figures["trials"] == 5
    assert figures["points"] == 5 * 4 * 64


def test_the_plain_loop_gives_our_numbers_and_another_number_is_noticed(uri: str) -> None:
    cost, found = loading.plain_loop(uri, 3)
    assert cost["runs"] == 5
    assert len(found) == 3
    assert loading.differing(uri, found) == []
    trial = next(iter(found))
    step, value = found[trial]["train_loss"][-1]
    found[trial]["train_loss"][-1] = (step, value + 1e-9)
    assert loading.differing(uri, found) == [trial]


@pytest.mark.slow
def test_the_command_ends_with_a_line_of_figures() -> None:
    command = [sys.executable, "-m", "benchmarks.loading", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["runs"] == 60
    ratio = figures["plain loop"] / figures["from the cache"]  # how large it is says the machine, not a test
    assert figures["from the cache, times faster"] == pytest.approx(ratio, rel=0.05)
