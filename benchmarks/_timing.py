"""Whole commands, timed from outside: from the start of the interpreter to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SETTLING_SECONDS = 2.0
"""Before each run, for the last processes of the one before to end."""

LEAST_SECONDS_PER_TRIAL = 1e-3
"""What a difference between two runs cannot tell from noise."""


class BenchmarkError(Exception):
    """A contender failed. One line: which command, and where its output is."""


@dataclass(frozen=True)
class Timing:
    """One run. ``busy`` is the share of the machine's CPUs that others used right before."""

    contender: str
    trials: int
    seconds: float
    busy: float


@dataclass(frozen=True)
class Cost:
    """Seconds to start up and end, and seconds a trial: the line through two runs of different sizes."""

    fixed: float
    per_trial: float

    def of(self, trials: int) -> float:
        """Seconds of a whole run."""
        return self.fixed + self.per_trial * trials


def line(small: int, small_seconds: float, large: int, large_seconds: float) -> Cost:
    """Through the two sizes. A cost per trial below :data:`LEAST_SECONDS_PER_TRIAL` counts as that."""
    per_trial = max((large_seconds - small_seconds) / (large - small), LEAST_SECONDS_PER_TRIAL)
    return Cost(large_seconds - per_trial * large, per_trial)


def timed(contender: str, trials: int, command: Callable[[Path], Sequence[str]], keep: Path) -> Timing:
    """Run ``command(folder)`` in an empty folder of its own; what it leaves in ``results.db`` there goes to ``keep``.

    Raises :class:`BenchmarkError` where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        time.sleep(SETTLING_SECONDS)
        busy = busy_share()
        output = keep.with_suffix(".log")
        environment = {**os.environ, "RAY_TMPDIR": name, "PYTHONPATH": str(Path(__file__).parents[1])}
        environment.pop("RAY_ADDRESS", None)
        with output.open("w") as log:
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-m", *command(folder)],
                cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            seconds = time.perf_counter() - started
        if done.returncode:
            raise BenchmarkError(f"{contender} ended with code {done.returncode}; its output is in {output}")
        (folder / "results.db").replace(keep)
        return Timing(contender, trials, seconds, busy)


def busy_share(wait_seconds: float = 1.0) -> float:
    """Share of the machine's CPU time in use, in [0, 1]; 0 where that is not known."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0

    def ticks() -> tuple[int, int]:
        numbers = [int(word) for word in stat.read_text().splitlines()[0].split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    total, idle = ticks()
    time.sleep(wait_seconds)
    later_total, later_idle = ticks()
    return 1 - (later_idle - idle) / max(1, later_total - total)
