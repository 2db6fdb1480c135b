"""A store's tables are there whole or not at all, wherever their creation is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeps import _writers
from sweeps._ledger import read_ledger
from sweeps._writers import open_writer

ROOT = Path(__file__).parents[2]
OPEN = "import sys; from sweeps._writers import open_writer; open_writer(sys.argv[1], 'x')"


@pytest.mark.parametrize("kib", [1, 200, 400])
def test_a_process_that_is_killed_while_it_creates_the_tables_leaves_nothing_in_the_way(
    kib: int, tmp_path: Path
) -> None:
    file = tmp_path / "mlflow.db"
    uri = f"sqlite:///{file}"
    first = subprocess.Popen([sys.executable, "-c", OPEN, uri], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while sum(path.stat().st_size for path in tmp_path.glob("*.new")) < kib * 1024:
        assert first.poll() is None
        assert time.monotonic() < deadline
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not file.exists()
    open_writer(uri, "x")
    assert not read_ledger(uri, "x").entries
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_that_somebody_else_has_made_meanwhile_is_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlflow.db"
    open_writer(f"sqlite:///{file}", "theirs")
    number = file.stat().st_ino
    looks = iter([False, True])  # not there at first, there once our tables are made
    monkeypatch.setattr(_writers, "_has_content", lambda _: next(looks))
    open_writer(f"sqlite:///{file}", "ours")
    assert file.stat().st_ino == number
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    open_writer(f"sqlite:///{file}", "x")
    number = file.stat().st_ino
    open_writer(f"sqlite:///{file}", "y")
    assert file.stat().st_ino == number
