"""What a command has to train: all at once, or in rounds, each of which follows from what the last one found.

A sweep that decides as it goes has ``rounds``, a generator. Every :class:`Round` that it yields is trained, and the
generator goes on once all its trials are in the store, as finished or as failed. It keeps nothing that a kill could take:
begun again, it must yield what is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from memory_study.config import TrialConfig
from sweeps._ledger import StoreAwayError, read_ledger
from sweeps._options import Settings
from sweeps._pack import Machine, Task
from sweeps._plan import Todo, difference, distinct
from sweeps._tracking import FIRST_WAIT, LONGEST_WAIT, PATIENCE_SECONDS

Pack = Callable[[Todo, Machine], Sequence[Task]]
Note = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Round:
    """Trials to train next; ``name`` is what a person reads of it."""

    name: str
    trials: Sequence[TrialConfig]


class Work(Protocol):
    """What a command has to train."""

    todo: Todo
    """All of it, as far as it is known by now."""
    title: str
    """What a person reads before anything starts; "" where nothing is left to do."""

    def tasks(self, machine: Machine, note: Note) -> Iterator[Sequence[Task]]:
        """The tasks of one round after the other. Ask for the next ones when the store has the results of the last."""


class Planned:
    """A plan that is known from the start: one round."""

    def __init__(self, todo: Todo, pack: Pack) -> None:
        self.todo = todo
        self.title = f"{len(todo.train)} trials to train" if todo.train else ""
        self._pack = pack

    def tasks(self, machine: Machine, note: Note) -> Iterator[Sequence[Task]]:
        """See :class:`Work`."""
        yield self._pack(self.todo, machine)


class Search:
    """Rounds, without what the store has finished already. ``begin`` begins them anew where the store was away."""

    def __init__(self, begin: Callable[[], Iterator[Round]], pack: Pack, settings: Settings) -> None:
        self.todo = Todo((), 0, (), 0)
        self.title = "what it trains next, it decides by what it has found"
        self._begin = begin
        self._pack = pack
        self._settings = settings
        self._asked: set[str] = set()

    def tasks(self, machine: Machine, note: Note) -> Iterator[Sequence[Task]]:
        """See :class:`Work`. Ends where ``--limit`` cuts a round short: what follows from it is not known.

        Raises LedgerError for a store that refuses, and for one that is away for :data:`sweeps._tracking.PATIENCE_SECONDS`.
        """
        for name, left in self._patiently(note):
            self.todo = _sum(self.todo, left)
            if left.train:
                note(f"{name}: {len(left.train)} trials to train")
                yield self._pack(left, machine)
            if left.put_off:
                return

    def _patiently(self, note: Note) -> Iterator[tuple[str, Todo]]:
        """The name and what is left of each round; those that a new beginning repeats have nothing left."""
        last, wait = time.monotonic(), FIRST_WAIT
        while True:
            try:
                for round_ in self._begin():
                    asked = len(self._asked)
                    yield round_.name, self._left_of(round_)
                    if len(self._asked) > asked:
                        last, wait = time.monotonic(), FIRST_WAIT
                return
            except StoreAwayError as away:
                if not self._asked or time.monotonic() - last > PATIENCE_SECONDS:
                    raise
                note(f"{away}; trying again")
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _left_of(self, round_: Round) -> Todo:
        """What this command has not come across yet and the store has not finished."""
        settings = self._settings
        limit = None if settings.limit is None else settings.limit - len(self.todo.train)
        entries = read_ledger(settings.tracking_uri, settings.experiment).entries
        fresh = [trial for trial in distinct(round_.trials) if trial.id not in self._asked]
        self._asked |= {trial.id for trial in fresh}
        return difference(fresh, entries, retry_failed=settings.retry_failed, limit=limit)


def _sum(before: Todo, more: Todo) -> Todo:
    return Todo(
        (*before.train, *more.train),
        before.finished + more.finished,
        (*before.failed, *more.failed),
        before.put_off + more.put_off,
    )
