"""What a command has to train: all at once, or in rounds, each of which follows from what the last one found.

A sweep that decides as it goes has ``rounds``, a generator. Every :class:`Round` that it yields is trained, and the
generator goes on once all its trials are in the store, as finished or as failed. It keeps nothing that a kill could take:
begun again, it must yield what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from memory_study.config import TrialConfig
from sweeps._ledger import read_ledger
from sweeps._options import Settings
from sweeps._pack import Machine, Task
from sweeps._plan import Todo, difference, distinct

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
    """Rounds, without what the store has finished already."""

    def __init__(self, rounds: Iterator[Round], pack: Pack, settings: Settings) -> None:
        self.todo = Todo((), 0, (), 0)
        self.title = "what it trains next, it decides by what it has found"
        self._rounds = rounds
        self._pack = pack
        self._settings = settings
        self._asked: set[str] = set()

    def tasks(self, machine: Machine, note: Note) -> Iterator[Sequence[Task]]:
        """See :class:`Work`. Ends where ``--limit`` cuts a round short: what follows from it is not known."""
        for round_ in self._rounds:
            left = self._left_of(round_)
            self.todo = _sum(self.todo, left)
            if left.train:
                note(f"{round_.name}: {len(left.train)} trials to train")
                yield self._pack(left, machine)
            if left.put_off:
                return

    def _left_of(self, round_: Round) -> Todo:
        """What this command has not come across yet and the store has not finished."""
        settings = self._settings
        limit = None if settings.limit is None else settings.limit - len(self.todo.train)
        fresh = [trial for trial in distinct(round_.trials) if trial.id not in self._asked]
        self._asked |= {trial.id for trial in fresh}
        entries = read_ledger(settings.tracking_uri, settings.experiment).entries
        return difference(fresh, entries, retry_failed=settings.retry_failed, limit=limit)


def _sum(before: Todo, more: Todo) -> Todo:
    return Todo(
        (*before.train, *more.train),
        before.finished + more.finished,
        (*before.failed, *more.failed),
        before.put_off + more.put_off,
    )
