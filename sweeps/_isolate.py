"""One bad trial must not cost its cohort: what fails together is halved until the culprit stands alone."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from memory_study.cohort import Cohort
from memory_study.record import Record


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial that raised when it trained alone. ``error`` is one line, ``details`` the whole traceback."""

    trial_id: str
    error: str
    details: str = ""


def isolate(
    cohort: Cohort, train: Callable[[Cohort], list[Record]], recover: Callable[[], None] = lambda: None
) -> Iterator[tuple[Cohort, list[Record], list[Failure]]]:
    """Train a cohort, or its halves where it raises, down to single trials. Yields each part as soon as it is
    done.

    Out of memory is halved like any other error. ``recover`` is called after an error, when the failed
    attempt's tensors are no longer referenced. What is not an ``Exception`` (a request to stop) passes
    through.
    """
    waiting = [cohort]
    while waiting:
        part = waiting.pop()
        failure = None
        try:
            records = train(part)
        except Exception as error:  # noqa: BLE001 - whatever one trial raises must not cost the others
            failure = Failure(part.configs[0].id, one_line(error), traceback.format_exc())
        if failure is None:
            yield part, records, []
            continue
        recover()
        if len(part.configs) > 1:
            waiting += reversed(part.halves())
        else:
            yield part, [], [failure]


def one_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says, at most 500 characters."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:500]
