from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps._flags import InputError
from sweeps._ledger import first_line
from sweeps._log import log_file, quiet

CHATTER = """
import os, subprocess, sys
from pathlib import Path
from sweeps._flags import InputError
from sweeps._log import quiet
try:
    with quiet(Path("logs/x.log")) as screen:
        print("python chatter")
        os.write(2, b"native chatter\\n")
        subprocess.run([sys.executable, "-c", "print('child chatter')"], check=True)
        print("for people", file=screen)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("after")
    print("problem", file=sys.stderr)
"""


def test_whatever_prints_goes_to_the_log_and_the_screen_stays_clean(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", CHATTER]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert (done.stdout, done.stderr) == ("for people\nafter\n", "problem\n")
    logged = set((tmp_path / "logs" / "x.log").read_text().splitlines())
    assert {"python chatter", "native chatter", "child chatter"} <= logged


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.log").mkdir()
    with pytest.raises(InputError, match=r"--log-dir .* cannot be written to"), quiet(tmp_path / "x.log"):
        pass


def test_log_files_are_named_after_their_sweep(tmp_path: Path) -> None:
    assert log_file(tmp_path, "capacity").name.startswith("capacity-2")


def test_no_password_reaches_a_log_or_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "http://user:se@cret:x@host:5000"
    monkeypatch.setattr("sys.argv", ["sweep", "--tracking-uri", secret, "--seeds", "0"])
    with quiet(tmp_path / "log"):
        pass
    assert (tmp_path / "log").read_text() == "sweep --tracking-uri http://user:***@host:5000 --seeds 0\n"
    assert first_line(OSError(f"request to {secret}/health failed")) == (
        "request to http://user:***@host:5000/health failed"
    )
