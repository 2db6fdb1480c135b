"""One driver at a time for an experiment of a store: who drives keeps a lease there, as a tag of the experiment.

A driver writes a tag of its own and reads those of all others, so that nobody can overwrite anybody: of two that start at
once at least one sees the other, and the smaller token goes on. The tag is renewed while the driver lives. One that is not
renewed any more is taken over: at once where its process is known to be gone, else after having been watched in vain.
Clocks of different machines are never compared for a verdict.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sweeps._ledger import LedgerError

PREFIX = "memory_study.lease."
"""Of the experiment's tags; a driver's token follows."""

RENEW_SECONDS = 20.0
STALE_SECONDS = 90.0
"""Without a sign of life: more than a renewal and a call to a server that is slow to say no."""
WATCH_SECONDS = 25.0
"""Least time that a lease is watched before it is taken over: longer than between two renewals."""
POLL_SECONDS = 0.5

Note = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Holder:
    """A driver. Times are in seconds since 1970, on its own clock."""

    token: str
    host: str
    pid: int
    machine: str
    """Tells this machine, as long as it runs, and this container from all others; "" where that cannot be known."""
    started: str
    """When its process started: ids of processes are used again."""
    since: float
    beat: float = 0.0
    """The last sign of life."""
    generation: int = 0
    """A lease that was taken over has a smaller one than its taker's."""
    held: bool = False
    """False for a driver that is still finding out whether there are others."""

    def __str__(self) -> str:
        """Where it runs, and since when."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host}, since {when}"


def this_process() -> Holder:
    """This process as a driver."""
    pid = os.getpid()
    return Holder(uuid.uuid4().hex, socket.gethostname(), pid, _machine(), _started(pid) or "", time.time())


def is_alive(holder: Holder) -> bool | None:
    """Whether its process is there; None where it runs, or may run, on another machine."""
    if not holder.machine or holder.machine != _machine():
        return None
    return _started(holder.pid) == holder.started


def _machine() -> str:
    """Containers of one machine number their processes each for itself."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _started(pid: int) -> str | None:
    """Clock ticks from the machine's start to the process's; None where there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the second field is a name, which may hold anything
    return None if fields[0] in "ZX" else fields[19]


class Tags(Protocol):
    """The leases in a store."""

    def read(self) -> Mapping[str, Holder]:
        """All of them, by token."""

    def write(self, holder: Holder) -> None:
        """Add or replace this one."""

    def remove(self, token: str) -> None:
        """Take this one away, if it is there."""


class ClientTags:
    """Through MLflow's client: the same for a server and a database."""

    def __init__(self, client: Any, experiment_id: str) -> None:
        self._client = client
        self._id = experiment_id

    def read(self) -> Mapping[str, Holder]:
        """See :class:`Tags`."""
        found = self._client.get_experiment(self._id).tags
        return {key[len(PREFIX) :]: _parsed(key, found[key]) for key in found if key.startswith(PREFIX)}

    def write(self, holder: Holder) -> None:
        """See :class:`Tags`."""
        text = json.dumps(dataclasses.asdict(holder))
        self._client.set_experiment_tag(self._id, PREFIX + holder.token, text)

    def remove(self, token: str) -> None:
        """See :class:`Tags`."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.delete_experiment_tag(self._id, PREFIX + token)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise


def _parsed(key: str, text: str) -> Holder:
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        raise LedgerError(
            f"the experiment's tag {key} is no lease that this version can read; once no driver runs, remove it"
        ) from None


class Lease:
    """One driver's claim. All methods raise LedgerError, one line, where another driver has the experiment."""

    def __init__(self, tags: Tags, me: Holder, experiment: str, note: Note, stop: threading.Event) -> None:
        """``note`` is told why taking it takes time; ``stop`` ends that."""
        self._tags = tags
        self._me = me
        self._experiment = experiment
        self._note = note
        self._stop = stop
        self._watch = _Watch()

    def take(self) -> None:
        """Returns once this driver is the only one; until then it may wait for a silent one to be known as dead."""
        noted = False
        while (holder := self._first(self._unsure)) is not None:
            if not noted:
                noted = True
                self._note(
                    f"waiting for up to {self._watch.patience(holder):.0f} s to see whether another driver lives: {holder}"
                )
            self._pause(POLL_SECONDS)
        others = self._others()
        generation = 1 + max((other.generation for other in others), default=0)
        self._write(generation=generation)
        try:
            while self._first(self._contends) is not None:
                self._pause(POLL_SECONDS / 5)
            self._write(held=True)
        except BaseException:  # Ctrl-C, too
            self.give_back()
            raise
        for other in others:  # dead, or has given way
            self._tags.remove(other.token)

    def renew(self) -> None:
        """A sign of life. A driver that was taken over while it could not give one finds out here."""
        self._write()
        for other in self._others():
            if other.held and other.generation > self._me.generation:
                self.give_back()
                raise LedgerError(
                    f"another driver took experiment {self._experiment!r} over while this one gave no sign of life: "
                    f"{other}; what is in the store stays, so leave the rest to that one"
                )

    def give_back(self) -> None:
        """For the next driver to take at once."""
        self._tags.remove(self._me.token)

    def _unsure(self, other: Holder) -> bool:
        """Whether it cannot be said yet if the other driver lives. Raises LedgerError if it does."""
        alive = self._watch.is_alive(other)
        if alive:
            raise self._refusal(other)
        return alive is None

    def _contends(self, other: Holder) -> bool:
        """Whether a driver that is starting, too, has still to give way. Raises LedgerError if it will not."""
        if self._watch.is_alive(other) is False:
            return False
        if other.held or other.token < self._me.token:
            raise self._refusal(other)
        return True

    def _first(self, condition: Callable[[Holder], bool]) -> Holder | None:
        return next((other for other in self._others() if condition(other)), None)

    def _others(self) -> list[Holder]:
        return [holder for token, holder in self._tags.read().items() if token != self._me.token]

    def _write(self, **changed: Any) -> None:
        self._me = dataclasses.replace(self._me, beat=time.time(), **changed)
        self._tags.write(self._me)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise LedgerError("stopped before the experiment was free")

    def _refusal(self, other: Holder) -> LedgerError:
        return LedgerError(
            f"another driver is at work on experiment {self._experiment!r}: {other}; wait for its end or stop it there "
            "(Ctrl-C), then run this again, or choose another name with --experiment"
        )


class _Watch:
    """Tells whether other drivers live, by whether their signs of life go on."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float, float]] = {}  # beat, when it was seen first, patience

    def is_alive(self, holder: Holder) -> bool | None:
        """None as long as that cannot be said."""
        alive = is_alive(holder)
        if alive is not None:
            return alive
        now = time.monotonic()
        beat, since, patience = self._seen.setdefault(holder.token, (holder.beat, now, self.patience(holder)))
        if holder.beat != beat:
            return True
        return False if now - since >= patience else None

    @staticmethod
    def patience(holder: Holder) -> float:
        """How long to watch it. Its clock may be wrong: that only shortens the wait as far as is safe with any clock."""
        age = time.time() - holder.beat
        return max(WATCH_SECONDS, STALE_SECONDS - max(age, 0.0))
