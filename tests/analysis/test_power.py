"""The number of units that is named: with it, chance decides about half the time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis import _power
from analysis._statistics import sign_test, t_test


@pytest.mark.parametrize(
    ("effect", "deviation", "alpha"), [(1.0, 2.0, 0.05), (0.3, 0.5, 0.05), (1.0, 2.0, 0.005)]
)
def test_with_the_units_named_a_t_test_succeeds_about_half_the_time(
    effect: float, deviation: float, alpha: float
) -> None:
    units = _power.units_for_t(effect, deviation, alpha)
    assert units is not None
    drawn = np.random.default_rng(0).normal(effect, deviation, size=(1000, units))
    assert 0.4 < np.mean([t_test(sample).p < alpha for sample in drawn]) < 0.6


@pytest.mark.parametrize("share", [0.6, 0.75])
def test_with_the_units_named_a_sign_test_succeeds_about_half_the_time(share: float) -> None:
    units = _power.units_for_sign(share, 0.05)
    assert units is not None
    counts = np.random.default_rng(0).binomial(units, share, size=1000)
    assert 0.4 < np.mean([sign_test(count, units).p < 0.05 for count in counts]) < 0.65


@pytest.mark.parametrize("first", [30, 120])
def test_scaling_names_the_units_at_which_a_trend_is_found_about_half_the_time(first: int) -> None:
    """The pilot has exactly the true trend, as a large one would."""
    generator = np.random.default_rng(1)

    def p_of(units: int) -> float:
        x = generator.integers(0, 4, size=units)
        return float(stats.kendalltau(x, 0.25 * x + generator.normal(size=units)).pvalue)

    typical = float(np.median([p_of(first) for _ in range(400)]))
    units = _power.units_by_scaling(first, 1.0, typical, 0.05)
    assert units is not None
    assert 0.4 < np.mean([p_of(units) < 0.05 for _ in range(400)]) < 0.6


def test_it_is_the_smallest_number_at_the_observed_effect_and_spread() -> None:
    units = _power.units_for_t(1.0, 2.0, 0.05)
    assert units is not None

    def p(n: int) -> float:
        return float(2 * stats.t.sf(n**0.5 / 2, n - 1))

    assert p(units) < 0.05 <= p(units - 1)
    assert _power.units_for_sign(1.0, 0.05) == 6  # 2 / 2 ** 6 < .05 <= 2 / 2 ** 5


def test_no_number_is_named_where_the_effect_is_nil_or_the_other_way_or_as_good_as_nil() -> None:
    for effect in (0.0, -1.0, float("nan"), 1e-9):
        assert _power.units_for_t(effect, 1.0, 0.05) is None
        assert _power.units_by_scaling(10, effect, 1.0, 0.05) is None
    for share in (0.5, 0.4, float("nan")):
        assert _power.units_for_sign(share, 0.05) is None


def test_at_a_tiny_level_the_number_is_enough_though_the_normal_one_is_far_too_small() -> None:
    units = _power.units_for_t(1.0, 0.01, 1e-300)
    assert units is not None

    def p(n: int) -> float:
        return float(2 * stats.t.sf(100 * n**0.5, n - 1))

    assert p(units) < 1e-300 <= p(units - 1)


def test_no_number_is_named_where_none_below_the_most_is_enough() -> None:
    asked: list[float] = []

    def never(units: np.ndarray) -> np.ndarray:
        asked.extend((units[0], units[-1]))
        return np.zeros(len(units), dtype=bool)

    assert _power._first(10, never) is None
    assert asked[0] <= 10
    assert asked[-1] == _power.MOST - 1


def test_a_stricter_level_takes_more_units() -> None:
    for units in (
        [_power.units_for_t(1.0, 2.0, alpha) or 0 for alpha in (0.05, 0.01)],
        [_power.units_for_sign(0.7, alpha) or 0 for alpha in (0.05, 0.01)],
        [_power.units_by_scaling(20, 1.0, 0.2, alpha) or 0 for alpha in (0.05, 0.01)],
    ):
        assert 0 < units[0] < units[1]
