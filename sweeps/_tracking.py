"""The one writer of a sweep's results: a queue and a thread, so that neither training nor Ray waits for the
store.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from memory_study.config import TrialConfig
from sweeps._batch import Outcome
from sweeps._ledger import LedgerError, first_line
from sweeps._pack import Task
from sweeps._writers import Writer

FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
"""Seconds between attempts to reach a store that is away."""

PATIENCE_SECONDS, IMPATIENCE_SECONDS = 600.0, 10.0
"""How long to wait for a store that takes nothing, once training is over, and after Ctrl-C."""

MOST_AT_ONCE = 128
"""Trials waiting that are written together; a batch may be larger by one cohort."""

HOPELESS = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
        "INVALID_STATE",
        "RESOURCE_DOES_NOT_EXIST",
        "PERMISSION_DENIED",
    }
)
"""MLflow's error codes that trying again does not mend. Everything else (a server away, a full disk) may
pass.
"""

HOPELESS_ERRNO = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""The same for the operating system's errors: folders that may not be written to."""

READ_ONLY = "attempt to write a readonly database"
"""What SQLite says then."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Where the writing stands. Counts are trials. As small for many trials as for few: it is asked for often.

    ``failed`` and ``lost`` pair a trial's name with a reason; ``lost`` could not be written. ``running`` maps
    the cohorts in training to their epochs. ``trouble`` says why the store cannot be reached, while it
    cannot.
    """

    finished: int = 0
    diverged: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    work: float = 0.0
    """Estimated seconds of training behind us: of the trials that have ended, and of running cohorts' epochs."""
    running: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    trouble: str = ""
    best: tuple[float, str] | None = None
    """Highest validation accuracy on real data, and the trial's name."""
    unfit: tuple[str, ...] = ()
    """Nodes that cannot train what they were given, and why, a line each."""


class Tracker:
    """Writes what is submitted, in batches, in the background, for as long as it takes."""

    def __init__(
        self,
        open_store: Callable[[], Writer],
        written: Callable[[Sequence[Outcome]], None] = lambda outcomes: None,
    ) -> None:
        """``written`` is told the outcomes that are safe."""
        self._written = written
        self._open_store = open_store
        self._queue: queue.Queue[list[Outcome]] = queue.Queue()
        self._tally = Tally()
        self._seen: set[str] = set()
        self._seconds: dict[str, float] = {}  # by trial
        self._cohorts: dict[str, tuple[float, int]] = {}  # seconds and epochs
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._opened = threading.Event()
        self._refusal: LedgerError | None = None
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)

    def start(self) -> None:
        """Begin to open the store and to write; returns at once."""
        self._thread.start()

    def open(self) -> None:
        """Begin, and wait until the store is open. Raises :class:`sweeps._ledger.LedgerError` where it cannot
        be.
        """
        self.start()
        self._opened.wait()
        if self._refusal is not None:
            raise self._refusal

    def expect(self, tasks: Sequence[Task]) -> None:
        """Note what the trials of ``tasks`` are estimated to take, from which :attr:`Tally.work` follows.

        What a trial was to take in a first round stays: it ends once, in whatever round.
        """
        seconds = {c.id: t.seconds / len(t.cohort.configs) for t in tasks for c in t.cohort.configs}
        cohorts = {t.cohort.id: (t.seconds, t.cohort.configs[0].epochs) for t in tasks}
        with self._lock:
            self._seconds = {**seconds, **self._seconds}
            self._cohorts |= cohorts

    def beat(self, cohort: str, epoch: int) -> None:
        """Note that a cohort in training has reached ``epoch``; -1 when it ends."""
        with self._lock:
            running = {**self._tally.running, cohort: epoch}
            if epoch < 0:
                del running[cohort]
            self._tally = replace(self._tally, running=running)

    def submit(self, outcomes: Sequence[Outcome]) -> None:
        """Take over these outcomes; returns at once. A trial that was submitted before is dropped.

        So a task that Ray ran twice, or a worker that came back from the dead, writes nothing twice.
        """
        with self._lock:
            fresh = [outcome for outcome in outcomes if outcome.config.id not in self._seen]
            self._seen |= {outcome.config.id for outcome in fresh}
            work = sum(self._seconds.get(outcome.config.id, 0.0) for outcome in fresh)
            waiting = self._tally.waiting + len(fresh)
            self._tally = replace(self._tally, waiting=waiting, work=self._tally.work + work)
        if fresh:
            self._queue.put(fresh)

    def unseen(self, trials: Sequence[TrialConfig]) -> tuple[TrialConfig, ...]:
        """Those that were not submitted yet."""
        ids = [trial.id for trial in trials]
        with self._lock:
            return tuple(trial for trial, name in zip(trials, ids, strict=True) if name not in self._seen)

    def tally(self) -> Tally:
        """Where the writing stands now."""
        with self._lock:
            return replace(self._tally, work=self._tally.work + self._running_work())

    def _running_work(self) -> float:
        known = [(self._cohorts.get(c, (0.0, 1)), epoch) for c, epoch in self._tally.running.items()]
        return sum(seconds * min(epoch / epochs, 1.0) for (seconds, epochs), epoch in known)

    def drain(self, patience_seconds: float) -> Tally:
        """Wait until everything is written, or until nothing was for ``patience_seconds``."""
        since, last = time.monotonic(), self.tally().waiting
        while (waiting := self.tally().waiting) and time.monotonic() - since < patience_seconds:
            if waiting != last:
                since, last = time.monotonic(), waiting
            time.sleep(0.02)
        return self.tally()

    def close(self, patience_seconds: float) -> Tally:
        """Like :meth:`drain`; then stop."""
        waiting = self.drain(patience_seconds).waiting
        self._closing.set()
        if not waiting and self._thread.is_alive():
            self._thread.join(timeout=5)
        return self.tally()

    def _work(self) -> None:
        try:
            writer = self._open_store()
        except LedgerError as refusal:
            self._refusal = refusal
            return self._note(trouble=str(refusal))
        finally:
            self._opened.set()
        while not self._closing.is_set():
            try:
                batch = self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
            with contextlib.suppress(queue.Empty):  # a transaction costs as much as many trials
                while len(batch) < MOST_AT_ONCE:
                    batch = batch + self._queue.get_nowait()
            self._write(writer, batch)
        return None

    def _write(self, writer: Writer, batch: list[Outcome]) -> None:
        """Write a batch; where one of its trials cannot be written at all, the others are, one by one."""
        wait = FIRST_WAIT
        while not self._closing.is_set():
            try:
                writer.write(batch)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any error of any store
                if _is_hopeless(error):
                    return self._give_up(writer, batch, error)
                self._note(trouble=first_line(error))
                self._closing.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                return self._count(batch)
        return None

    def _give_up(self, writer: Writer, batch: list[Outcome], error: Exception) -> None:
        if len(batch) > 1:
            for outcome in batch:
                self._write(writer, [outcome])
            return
        _log(error)
        reason = (batch[0].config.name, f"could not be written: {first_line(error)}")
        with self._lock:
            self._tally = replace(
                self._tally, lost=(*self._tally.lost, reason), waiting=self._tally.waiting - 1
            )

    def _note(self, trouble: str) -> None:
        with self._lock:
            self._tally = replace(self._tally, trouble=trouble)

    def _count(self, batch: Sequence[Outcome]) -> None:
        with self._lock:
            self._tally = _counted(self._tally, batch)
        try:
            self._written(batch)
        except Exception as error:  # noqa: BLE001 - others' results wait here, and these are safe
            _log(error)


def _log(error: Exception) -> None:
    with contextlib.suppress(OSError):  # the log's disk may be full
        traceback.print_exception(error)


def _is_hopeless(error: Exception) -> bool:
    """Whether trying again cannot mend it. What neither MLflow nor the operating system raised is a mistake of this
    program.
    """
    if isinstance(error, LedgerError):  # a store that could be opened before
        return False
    if isinstance(error, OSError):
        return error.errno in HOPELESS_ERRNO
    if getattr(
        error.__cause__, "connection_invalidated", False
    ):  # a database that restarts; MLflow calls some of it bad
        return False
    code = getattr(error, "error_code", None)
    return code is None or code in HOPELESS or READ_ONLY in str(error)


def _counted(tally: Tally, batch: Sequence[Outcome]) -> Tally:
    records = [(outcome.config, outcome.record) for outcome in batch if outcome.record is not None]
    real = [
        (record.scalars["best_validation_accuracy"], config.name)
        for config, record in records
        if config.corruption == "none" and "best_validation_accuracy" in record.scalars
    ]
    best = max([*real, *([tally.best] if tally.best else [])], default=None)
    return replace(
        tally,
        finished=tally.finished + len(records),
        diverged=tally.diverged + sum(record.scalars.get("diverged") == 1 for _, record in records),
        failed=(*tally.failed, *((o.config.name, o.error) for o in batch if o.record is None)),
        waiting=tally.waiting - len(batch),
        trouble="",
        best=best,
    )
