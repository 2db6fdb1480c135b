"""Keeping a driver's lease while it drives: by a thread of its process, or by a process beside it, which also writes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

from sweeps._desk import Desk, Place
from sweeps._lease import RENEW_SECONDS, ClientTags, Holder, Lease, Note, this_process
from sweeps._ledger import LedgerError, first_line
from sweeps._writers import Writer, open_client, open_writer, store_errors

AGAIN_SECONDS = 5.0
"""After a renewal that failed."""
GIVE_BACK_SECONDS = 10.0
"""To give a lease back in. One that is left behind is that of a process which has gone."""


@contextlib.contextmanager
def held(uri: str, experiment: str, note: Note) -> Iterator[None]:
    """Have the experiment for as long as the context lasts, by a thread. What is missing of the store is created.

    Raises LedgerError where that is refused, or as soon as another driver has taken the experiment over.
    """
    stop = threading.Event()
    lease, _ = _taken(uri, experiment, this_process(), note, stop)
    with _ended_by(lambda: keep(lease, stop)) as thread:
        try:
            yield
        finally:
            stop.set()
            thread.join(GIVE_BACK_SECONDS)


@contextlib.contextmanager
def kept(uri: str, experiment: str) -> Iterator[Keeper]:
    """Like :func:`held`, by a process. Its keeper is to be waited for before anything is trained."""
    keeper = Keeper(uri, experiment)
    with _ended_by(keeper.reason_to_end):
        try:
            yield keeper
        finally:
            keeper.close()


class Keeper:
    """A process that opens the store, creating what is missing, takes the lease and renews it, and writes for the tracker.

    Importing MLflow and creating its tables takes as long as starting Ray, so it happens meanwhile. And it outlives the
    driver for a moment: killed in whatever way, the driver leaves a closed pipe, and the lease is given back. Should the
    process itself be killed, the driver goes on: on this machine others still see that it lives, and the tracker opens the
    store itself.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        command = [sys.executable, "-m", "sweeps._keeper"]
        # A session of its own, because a terminal sends Ctrl-C to all processes of one.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._opened = threading.Event()
        assert self._process.stdin is not None
        # Not as arguments, which everybody on the machine can read: a URI may hold a password.
        self._process.stdin.write(json.dumps([uri, experiment, dataclasses.asdict(this_process())]) + "\n")
        self._process.stdin.flush()

    def wait(self, note: Note) -> Place:
        """Until the store is open and the experiment is ours: where to write. Raises LedgerError where that is refused."""
        while message := self._message():
            kind, text = message
            if kind == "held":
                self._opened.set()
                address, key = json.loads(text)
                return Place(address if isinstance(address, str) else (address[0], address[1]), key)
            if kind == "refused":
                raise LedgerError(text)
            note(text)
        raise LedgerError("the tracking store cannot be opened; the log file below says why")

    def reason_to_end(self) -> str:
        """Waits for the process to end: why the driver must end, too; "" if it need not."""
        self._opened.wait()
        message = self._message()
        return message[1] if message else ""

    def close(self) -> None:
        """Give the lease back and end the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the process may be gone
            self._process.stdin.close()
        try:
            self._process.wait(GIVE_BACK_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _message(self) -> tuple[str, str] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return None
        kind, text = json.loads(line)
        return kind, text


def keep(lease: Lease, stop: threading.Event) -> str:
    """Renew a lease until ``stop``, whether the store is there or away, and give it back.

    Returns why, if it ended because another driver has it; else "".
    """
    wait = RENEW_SECONDS
    while not stop.wait(wait):
        try:
            lease.renew()
            wait = RENEW_SECONDS
        except LedgerError as lost:
            return str(lost)
        except Exception as error:  # noqa: BLE001 - whatever a store raises while it is away
            wait = AGAIN_SECONDS
            _log(f"the lease could not be renewed: {first_line(error)}")
    try:
        lease.give_back()
    except Exception as error:  # noqa: BLE001 - as above; this process ends, and so does its lease
        _log(f"the lease could not be given back: {first_line(error)}")
    return ""


def _log(line: str) -> None:
    with contextlib.suppress(OSError):  # the log's disk may be full
        sys.stderr.write(f"{line}\n")


def _taken(uri: str, experiment: str, me: Holder, note: Note, stop: threading.Event) -> tuple[Lease, Writer]:
    writer = open_writer(uri, experiment)
    with store_errors(uri):
        client = open_client(uri)
        found = client.get_experiment_by_name(experiment)
        lease = Lease(ClientTags(client, found.experiment_id), me, experiment, note, stop)
        lease.take()
    return lease, writer


@contextlib.contextmanager
def _ended_by(reason_to_end: Callable[[], str]) -> Iterator[threading.Thread]:
    """End the context with LedgerError, as Ctrl-C would, if ``reason_to_end`` gives a reason. It waits in a thread."""
    reasons: list[str] = []
    over = threading.Event()
    here = threading.get_ident()

    def wait() -> None:
        reason = reason_to_end()
        if reason and not over.is_set():
            reasons.append(reason)
            signal.pthread_kill(here, signal.SIGINT)

    thread = threading.Thread(target=wait, name="lease", daemon=True)
    thread.start()
    try:
        yield thread
    except KeyboardInterrupt:
        if reasons:
            raise LedgerError(reasons[0]) from None
        raise
    finally:
        over.set()


def main() -> None:
    """What the process of a :class:`Keeper` does: standard input says what to keep, and ends with the driver."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no message

    def tell(kind: str, text: str) -> None:
        with contextlib.suppress(OSError):  # the driver may be gone
            print(json.dumps([kind, text]), file=out)

    uri, experiment, me = json.loads(sys.stdin.readline())
    stop = threading.Event()

    def wait_for_the_driver_to_end() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when Python ends
            pass
        stop.set()

    threading.Thread(target=wait_for_the_driver_to_end, daemon=True).start()
    try:
        lease, writer = _taken(uri, experiment, Holder(**me), lambda text: tell("note", text), stop)
    except LedgerError as refusal:
        return tell("refused", str(refusal))
    tell("held", json.dumps(dataclasses.astuple(Desk(writer).place)))
    if reason := keep(lease, stop):
        tell("refused", reason)
    return None


if __name__ == "__main__":
    main()
