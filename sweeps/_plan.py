"""The plan of a sweep, and what of it is left to do. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from memory_study.config import TrialConfig
from sweeps._ledger import Entry


@dataclass(frozen=True, slots=True)
class Todo:
    """What a ledger leaves of a plan. ``failed`` are the trials that failed before and are not to be tried
    again.
    """

    train: tuple[TrialConfig, ...]
    finished: int
    failed: tuple[TrialConfig, ...]
    put_off: int
    """Trials beyond the limit."""


def distinct(trials: Iterable[TrialConfig]) -> tuple[TrialConfig, ...]:
    """The trials in order, each once: a control that serves several settings is one trial."""
    return tuple({trial.id: trial for trial in trials}.values())


def difference(
    plan: Iterable[TrialConfig],
    ledger: Mapping[str, Entry],
    *,
    retry_failed: bool = False,
    limit: int | None = None,
) -> Todo:
    """What is left to do of ``plan``, in its order. A run that was interrupted leaves its trial to do."""
    train, failed, finished = [], [], 0
    for trial in plan:
        status = ledger[trial.id].status if trial.id in ledger else ""
        if status == "FINISHED":
            finished += 1
        elif status == "FAILED" and not retry_failed:
            failed.append(trial)
        else:
            train.append(trial)
    kept = train[:limit]
    return Todo(tuple(kept), finished, tuple(failed), len(train) - len(kept))
