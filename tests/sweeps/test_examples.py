from __future__ import annotations

import pytest

from memory_study.config import TrialConfig
from sweeps import examples
from sweeps._flags import shown
from sweeps._options import resolve
from sweeps._plan import distinct


def planned(**given: object) -> tuple[TrialConfig, ...]:
    return distinct(examples.SWEEP.plan(resolve(examples.SWEEP, given)))


def test_a_hundred_nets_see_each_kind_of_data_for_one_epoch() -> None:
    trials = planned(scale="laptop")
    assert {(t.corruption, t.corruption_level) for t in trials} == {("none", 0), ("randX", 1), ("randY", 1)}
    assert len(trials) == 300
    assert {t.epochs for t in trials} == {1}
    assert len({t.shared for t in trials}) == 1


@pytest.mark.parametrize("given", [{}, {"corruption_seed": 3}])
def test_all_nets_of_a_kind_of_noise_see_the_same_noise(given: dict[str, object]) -> None:
    noise_seeds = {t.noise_seed for t in planned(scale="smoke", **given) if t.corruption != "none"}
    assert noise_seeds == {given.get("corruption_seed", 1_000_000)}


def test_the_default_of_a_hundred_seeds_is_shown_as_a_range() -> None:
    assert shown(tuple(range(100))) == "0,1,...,99"
    assert shown((0, 1, 2)) == "0,1,2"
    assert shown((1, 2, 4, 8, 16, 32, 64)) == "1,2,4,8,16,32,64"
