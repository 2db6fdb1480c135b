"""What a worker hands to the tracker: a cohort's results, and all that the store keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import Record, Tag
from sweeps._isolate import Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trial's end: a ``record``, or the ``error`` (one line) that it failed with. Times are in
    milliseconds.
    """

    config: TrialConfig
    tags: Mapping[str, str]
    start: int
    end: int
    record: Record | None = None
    error: str = ""

    @property
    def status(self) -> str:
        """Of its MLflow run."""
        return "FAILED" if self.record is None else "FINISHED"


def outcomes(
    cohort: Cohort,
    records: Sequence[Record],
    failures: Sequence[Failure],
    tags: Mapping[str, str],
    milliseconds: tuple[int, int],
) -> list[Outcome]:
    """The results of a cohort that ran from ``milliseconds[0]`` to ``milliseconds[1]``, in its order."""
    by_id: dict[str, Record | Failure] = {record.trial_id: record for record in records}
    by_id.update((failure.trial_id, failure) for failure in failures)
    together = {Tag.KIND: "trial", Tag.COHORT: cohort.id, Tag.COHORT_SIZE: str(len(cohort.configs)), **tags}
    found = []
    for config in cohort.configs:
        result = by_id[config.id]
        own = {**together, Tag.TRIAL: config.id}
        if isinstance(result, Failure):
            own[Tag.ERROR] = result.error
            found.append(Outcome(config, own, *milliseconds, error=result.error))
        else:
            if result.arrays:
                own[Tag.ARRAYS] = ",".join(sorted(result.arrays))
            found.append(Outcome(config, own, *milliseconds, record=result))
    return found
