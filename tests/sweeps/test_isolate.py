from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import Record
from sweeps._isolate import isolate, one_line

TRIALS = tuple(TrialConfig(seed=seed) for seed in range(16))


def train_but(bad: set[int], calls: list[int]) -> object:
    def train(cohort: Cohort) -> list[Record]:
        calls.append(len(cohort.configs))
        if culprits := [c.seed for c in cohort.configs if c.seed in bad]:
            raise RuntimeError(f"seed {culprits[0]}\nand more")
        return [Record(c.id, {}, {}) for c in cohort.configs]

    return train


@given(st.sets(st.integers(0, 15)))
def test_only_the_trials_that_raise_fail(bad: set[int]) -> None:
    parts = list(isolate(Cohort(TRIALS), train_but(bad, [])))  # type: ignore[arg-type]
    failed = {f.trial_id: f.error for _, _, failures in parts for f in failures}
    done = {r.trial_id for _, records, _ in parts for r in records}
    assert failed == {TRIALS[s].id: f"RuntimeError: seed {s}" for s in bad}
    assert done == {t.id for t in TRIALS} - failed.keys()


def test_a_sound_cohort_trains_once() -> None:
    calls: list[int] = []
    list(isolate(Cohort(TRIALS), train_but(set(), calls)))  # type: ignore[arg-type]
    assert calls == [16]


def test_what_is_too_large_is_halved_until_it_fits() -> None:
    recovered = []

    def train(cohort: Cohort) -> list[Record]:
        if len(cohort.configs) > 4:
            raise MemoryError("out of memory")
        return [Record(c.id, {}, {}) for c in cohort.configs]

    parts = list(isolate(Cohort(TRIALS), train, lambda: recovered.append(True)))
    assert [len(part.configs) for part, _, _ in parts] == [4, 4, 4, 4]
    assert len(recovered) == 3


def test_results_before_an_interruption_are_kept() -> None:
    def train(cohort: Cohort) -> list[Record]:
        if len(cohort.configs) > 8:
            raise RuntimeError("too many")
        if cohort.configs[0].seed >= 8:
            raise KeyboardInterrupt
        return [Record(c.id, {}, {}) for c in cohort.configs]

    parts = isolate(Cohort(TRIALS), train)
    assert len(next(parts)[1]) == 8
    with pytest.raises(KeyboardInterrupt):
        next(parts)


def test_an_error_is_told_in_one_line() -> None:
    assert one_line(ValueError("first\nsecond")) == "ValueError: first"
    assert one_line(ValueError()) == "ValueError: no message"
    assert len(one_line(ValueError("x" * 10_000))) == 500
