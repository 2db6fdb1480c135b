"""How far a sweep is: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from sweeps._pack import Task
from sweeps._tracking import Tally

LEAST_SHARE = 0.02
"""Of the work, before it is told how long the rest will take: starting up is not training."""

SECONDS_ON_TERMINAL, SECONDS_IN_LOG = 0.5, 15.0


@contextlib.contextmanager
def shown(tasks: Sequence[Task], tally: Callable[[], Tally], screen: TextIO, before: Tally) -> Iterator[None]:
    """Show progress on ``screen`` while the context lasts. ``tally`` is asked from another thread; ``before`` is
    what it was when these tasks began.
    """
    meter = Meter(tasks, before)
    stop = threading.Event()
    loop = _live if screen.isatty() else _lines
    thread = threading.Thread(target=loop, args=(meter, tally, screen, stop), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


class Meter:
    """Turns tallies into a share of the work done, a speed and the time left."""

    def __init__(self, tasks: Sequence[Task], before: Tally) -> None:
        """``before`` is where the writing stood when these tasks began: an earlier round is not their work."""
        self._before = before
        self._seconds = sum(task.seconds for task in tasks) or 1.0
        self._started = time.monotonic()
        self.trials = sum(len(task.cohort.configs) for task in tasks)

    def share(self, tally: Tally) -> float:
        """Of the estimated work, in [0, 1]. A cohort that has ended may count twice for a moment."""
        return min(1.0, (tally.work - self._before.work) / self._seconds)

    def line(self, tally: Tally) -> str:
        """All of it in one line."""
        seconds = time.monotonic() - self._started
        failed = len(tally.failed) - len(self._before.failed)
        ended = tally.finished - self._before.finished + failed
        parts = [f"{ended} of {self.trials} trials"]
        if tally.running:
            parts.append(f"{len(tally.running)} cohorts running")
        if failed:
            parts.append(f"{failed} failed")
        if ended:
            parts.append(speed(ended, seconds))
        share = self.share(tally)
        if LEAST_SHARE < share < 1:
            parts.append(f"about {duration(seconds * (1 - share) / share)} left")
        if tally.best is not None:
            parts.append(f"best validation accuracy {tally.best[0]:.3f} ({tally.best[1]})")
        if tally.unfit:
            parts.append(f"waiting for a better node than {'; '.join(tally.unfit)[:240]}")
        if tally.trouble:
            parts.append(f"{tally.waiting} trials wait for the tracking store ({tally.trouble[:120]})")
        return " · ".join(parts)


def speed(trials: int, seconds: float) -> str:
    """Trials a second, or a minute or an hour where that is a handier number."""
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if trials * length / seconds >= 2 or unit == "h":
            return f"{trials * length / seconds:.1f} trials/{unit}"
    raise AssertionError


def duration(seconds: float) -> str:
    """About two significant figures of a time: ``42 s``, ``3 min``, ``1.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _lines(meter: Meter, tally: Callable[[], Tally], screen: TextIO, stop: threading.Event) -> None:
    while not stop.wait(SECONDS_IN_LOG):
        print(meter.line(tally()), file=screen, flush=True)


def _live(meter: Meter, tally: Callable[[], Tally], screen: TextIO, stop: threading.Event) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    with Live(console=Console(file=screen), auto_refresh=False, transient=True) as live:
        while not stop.wait(SECONDS_ON_TERMINAL):
            now = tally()
            table = Table.grid()
            table.add_row(ProgressBar(total=1.0, completed=meter.share(now), width=60))
            for part in meter.line(now).split(" · ", 4):
                table.add_row(part)
            live.update(table, refresh=True)
