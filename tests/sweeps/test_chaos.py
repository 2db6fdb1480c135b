"""Twenty faults, one after the other, cost a sweep on a cluster no result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk of its own is root's to mount")
def test_after_twenty_faults_the_store_has_the_plan_and_the_numbers_of_an_undisturbed_sweep() -> None:
    script = Path(__file__).with_name("chaos.py")
    ended = subprocess.run(
        [sys.executable, str(script), "--rounds", "20", "--seed", "0", "--calm", "1"],
        capture_output=True,
        text=True,
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-20_000:]
