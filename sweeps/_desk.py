"""A store that one process has open and others of the machine write to: opening it takes each of them seconds and 300 MB."""

from __future__ import annotations

import contextlib
import pickle
import secrets
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener

from sweeps._batch import Outcome
from sweeps._ledger import LedgerError, first_line
from sweeps._writers import Writer

Answer = tuple[Exception, BaseException | None] | None
"""What the writer raised, and its cause; None if it wrote."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a :class:`Desk` is found, and the key without which it listens to nobody."""

    address: str | tuple[str, int]
    key: str = field(repr=False)


class Desk:
    """Writes what others hand in, one after the other, for as long as this process lives."""

    def __init__(self, writer: Writer) -> None:
        key = secrets.token_bytes(32)
        self._writer = writer
        try:
            self._listener = Listener(authkey=key)  # a socket in a folder that only this user may enter
        except OSError:  # whose name is too long for a socket's, or which is full
            self._listener = Listener(("127.0.0.1", 0), authkey=key)
        self.place = Place(self._listener.address, key.hex())
        threading.Thread(target=self._serve, name="desk", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                with self._listener.accept() as visitor:
                    while True:
                        visitor.send(self._answer(visitor.recv()))
            except (OSError, EOFError, AuthenticationError):  # whoever it was has gone
                continue
            except Exception:  # noqa: BLE001 - this visitor sees its line closed; were the desk to end, the next would wait for ever
                with contextlib.suppress(OSError):  # the log's disk may be full
                    traceback.print_exc()

    def _answer(self, outcomes: Sequence[Outcome]) -> Answer:
        try:
            self._writer.write(outcomes)
        except Exception as error:  # noqa: BLE001 - it is the visitor's to judge
            return _portable(error)
        return None


class DeskWriter:
    """Hands outcomes to a desk, or opens the store itself once that is gone. Either may have written what it could not say:
    trying again doubles nothing.
    """

    def __init__(self, place: Place, open_store: Callable[[], Writer]) -> None:
        self._place = place
        self._open_store = open_store
        self._desk: Connection | None = None
        self._own: Writer | None = None

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """See :class:`sweeps._writers.Writer`. Raises what the desk's writer raised, or LedgerError where that is gone and
        the store cannot be opened, now: whatever the reason, results wait for it.
        """
        if self._own is None:
            try:
                answer = self._ask(outcomes)
            except (OSError, EOFError, AuthenticationError):
                self._own = self._opened()
            else:
                if answer is not None:
                    raise answer[0] from answer[1]
                return
        self._own.write(outcomes)

    def _opened(self) -> Writer:
        try:
            return self._open_store()
        except LedgerError:
            raise
        except Exception as error:
            raise LedgerError(first_line(error)) from error

    def _ask(self, outcomes: Sequence[Outcome]) -> Answer:
        if self._desk is None:
            self._desk = Client(self._place.address, authkey=bytes.fromhex(self._place.key))
        self._desk.send(outcomes)
        answer: Answer = self._desk.recv()
        return answer


def _portable(error: Exception) -> Answer:
    """The error and its cause as they are if another process can have them, else what may be tried again."""
    found = (error, error.__cause__)
    try:
        pickle.loads(pickle.dumps(found))
    except Exception:  # noqa: BLE001 - whatever a library's error does when it is copied
        return OSError(first_line(error)), None
    return found
