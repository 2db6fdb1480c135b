"""Optuna's studies: what was asked, what came of it, what to ask next.

Asking is a function of a study's past and of a suggestion's number: each suggestion gets a sampler of its own, seeded by
the study's seed and the number, on a copy in memory. So a search that was killed, wherever, asks what it would have asked.
Every study of a seed draws the same random numbers: as long as it knows nothing, each sampler asks the same.

In a database beside MLflow's tables, Optuna's are told not to look at the version of their schema: both would keep it in
one table, ``alembic_version`` (https://github.com/mlflow/mlflow/issues/3374), which here stays MLflow's. No other table
is in both.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sweeps._ledger import (
    StoreAwayError,
    connection_arguments,
    first_line,
    is_server,
    sqlite_path,
    without_password,
)
from sweeps._space import WITHOUT

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage

SAMPLERS = ("tpe", "nsga2", "random")
DIRECTIONS: tuple[Literal["minimize", "maximize"], ...] = ("minimize", "maximize")
BESIDE_A_SERVER = "sqlite:///optuna.db"
"""Where studies are kept whose tracking store is a server: in the folder that the command runs in."""
BUSY_SECONDS = 20.0
"""That a writer of SQLite waits for another, as MLflow's."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a study asked under a ``number``, counted from 0. ``values`` are None until told, and for a failed one."""

    number: int
    positions: Mapping[str, float]
    open: bool
    """Not told yet."""
    values: tuple[float, ...] | None


@contextlib.contextmanager
def storage(uri: str) -> Iterator[RDBStorage]:
    """The database of a tracking store, or :data:`BESIDE_A_SERVER`, open for studies. Raises LedgerError, one line."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    where = BESIDE_A_SERVER if is_server(uri) else uri
    arguments = connection_arguments(where) if sqlite_path(where) is None else {"timeout": BUSY_SECONDS}
    try:
        opened = optuna.storages.RDBStorage(
            where, engine_kwargs={"connect_args": arguments}, skip_compatibility_check=not is_server(uri)
        )
        try:
            yield opened
        finally:
            opened.remove_session()
            opened.engine.dispose()
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise StoreAwayError(
            f"the studies in {without_password(where)} cannot be used ({first_line(error)}); mend it, then run this again"
        ) from error


class Studied:
    """One study: a search by one sampler, with one seed."""

    def __init__(
        self, kept: RDBStorage, name: str, sampler: str, seed: int, kinds: Sequence[str], batch: int
    ) -> None:
        import optuna

        self._study = optuna.create_study(
            storage=kept, study_name=name, directions=DIRECTIONS, load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),  # asks nothing: see the head of this file
        )  # fmt: skip
        self.sampler = sampler
        self.seed = seed
        self._kinds = sorted(kinds)
        self._batch = batch

    def ask_until(self, count: int) -> None:
        """Ask until there are ``count`` suggestions."""
        import optuna

        space: dict[str, Any] = {k: optuna.distributions.FloatDistribution(WITHOUT, 1.0) for k in self._kinds}
        for number in range(len(self._study.get_trials(deepcopy=False)), count):
            # A new copy each time: NSGA-II keeps in it whom it chose as parents, in another order than it chose them.
            sampler = _sampler(self.sampler, _stream(self.seed, number), self._batch)
            copy = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
            copy.add_trials(self._study.get_trials(deepcopy=False))
            copy.ask(space)
            self._study.add_trial(
                copy.get_trials(deepcopy=False)[number]
            )  # one transaction: all of it, or nothing

    def suggestions(self, first: int = 0, count: int | None = None) -> list[Suggestion]:
        """Those from number ``first`` on, ``count`` of them, or all."""
        trials = self._study.get_trials(deepcopy=False)[first:]
        return [
            Suggestion(t.number, t.params, not t.state.is_finished(), tuple(t.values) if t.values else None)
            for t in trials[:count]
        ]

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """What came of a suggestion: the values of both objectives, or None where it failed."""
        import optuna

        failed = optuna.trial.TrialState.FAIL
        self._study.tell(number, values, state=failed if values is None else None)


def _sampler(name: str, seed: int, batch: int) -> BaseSampler:
    """The first batch of each sampler is random; of NSGA-II a batch is a generation."""
    from optuna import samplers

    if name == "tpe":
        return samplers.TPESampler(n_startup_trials=batch, seed=seed)
    if name == "nsga2":
        return samplers.NSGAIISampler(population_size=batch, seed=seed)
    return samplers.RandomSampler(seed=seed)


def _stream(seed: int, number: int) -> int:
    """A seed for the sampler of one suggestion, 32 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed} suggestion {number}".encode()).digest()[:4])
