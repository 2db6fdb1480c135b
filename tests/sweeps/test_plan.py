from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from memory_study.config import TrialConfig
from sweeps._ledger import Entry
from sweeps._plan import difference, distinct

TRIALS = tuple(TrialConfig(seed=seed) for seed in range(12))
STATUSES = st.lists(
    st.sampled_from(["FINISHED", "FAILED", "RUNNING", "KILLED", "SCHEDULED", "absent"]),
    min_size=12,
    max_size=12,
)


def test_equal_trials_are_one() -> None:
    assert distinct([TRIALS[1], TRIALS[0], TRIALS[1]]) == (TRIALS[1], TRIALS[0])


@given(STATUSES, st.booleans(), st.none() | st.integers(1, 15))
def test_a_difference_accounts_for_every_trial_once(
    statuses: list[str], retry: bool, limit: int | None
) -> None:
    known = {
        t.id: Entry(status, "run") for t, status in zip(TRIALS, statuses, strict=True) if status != "absent"
    }
    todo = difference(TRIALS, known, retry_failed=retry, limit=limit)
    assert len(todo.train) + todo.finished + len(todo.failed) + todo.put_off == len(TRIALS)
    assert list(todo.train) == [t for t in TRIALS if t in todo.train]
    assert todo.finished == statuses.count("FINISHED")
    assert len(todo.failed) == (0 if retry else statuses.count("FAILED"))
    assert limit is None or len(todo.train) <= limit


def test_an_interrupted_run_leaves_its_trial_to_do() -> None:
    assert difference(TRIALS[:1], {TRIALS[0].id: Entry("RUNNING", "run")}).train == TRIALS[:1]


def test_trials_of_other_sweeps_do_not_matter(trials: Callable[[int], tuple[TrialConfig, ...]]) -> None:
    assert difference(trials(2), {"0" * 16: Entry("FINISHED", "run")}).train == trials(2)


def test_a_limit_counts_the_trials_still_to_do() -> None:
    known = {t.id: Entry("FINISHED", "run") for t in TRIALS[:10]}
    todo = difference(TRIALS, known, limit=1)
    assert todo.train == (TRIALS[10],)
    assert todo.put_off == 1
