"""Intervals, envelopes, rank correlations: by definition, by a library, by property."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import _statistics as statistics

coordinates = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1), st.just(float("nan")))
points = st.lists(st.tuples(coordinates, coordinates), max_size=25)


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(points)
def test_the_envelope_holds_exactly_the_points_that_none_beats(cloud: list[tuple[float, float]]) -> None:
    x, y = [p[0] for p in cloud], [p[1] for p in cloud]
    on = statistics.upper_left_envelope(x, y)
    finite = [point for point in cloud if np.isfinite(point).all()]
    for point, found in zip(cloud, on, strict=True):
        assert found == (np.isfinite(point).all() and not any(beats(other, point) for other in finite))


@given(points, st.randoms(use_true_random=False))
def test_the_envelope_does_not_depend_on_the_order_of_the_points(
    cloud: list[tuple[float, float]], random: object
) -> None:
    shuffled = list(cloud)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def envelope(some: list[tuple[float, float]]) -> set[tuple[float, float]]:
        on = statistics.upper_left_envelope([p[0] for p in some], [p[1] for p in some])
        return {point for point, found in zip(some, on, strict=True) if found}

    assert envelope(cloud) == envelope(shuffled)


@given(points)
def test_the_envelope_rises_from_left_to_right(cloud: list[tuple[float, float]]) -> None:
    on = statistics.upper_left_envelope([p[0] for p in cloud], [p[1] for p in cloud])
    edge = sorted({point for point, found in zip(cloud, on, strict=True) if found})
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(edge))


def test_the_t_interval_is_the_one_of_scipy() -> None:
    sample = np.array([0.5, 0.6, 0.55, 0.7])
    low, high = statistics.t_interval(sample.mean(), sample.std(ddof=1), len(sample))
    expected = stats.t.interval(0.95, len(sample) - 1, sample.mean(), stats.sem(sample))
    np.testing.assert_allclose([low, high], expected)


def test_one_seed_has_no_interval_and_none_leaves_zero_to_one() -> None:
    low, high = statistics.t_interval([0.5, 0.98], [np.nan, 0.1], [1, 3])
    assert np.isnan(low[0])
    assert np.isnan(high[0])
    assert high[1] == 1.0


@pytest.mark.parametrize("seeds", [3, 4, 5, 10])
def test_an_interval_over_seeds_covers_the_mean_in_95_percent_however_few_they_are(seeds: int) -> None:
    generator = np.random.default_rng(0)
    counts = statistics.resampled_counts(seeds, "coverage")
    samples = generator.normal(size=(1000, seeds))
    means = samples @ counts.T / seeds
    found = [
        statistics.bootstrap_t(sample.mean(), drawn, seeds)
        for sample, drawn in zip(samples, means, strict=True)
    ]
    assert 0.93 < np.mean([low <= 0 <= high for _, low, high, _ in found]) < 0.97


def test_resampling_is_the_same_each_time_and_differs_by_purpose() -> None:
    first, again = (statistics.resampled_counts(5, "a") for _ in range(2))
    assert (first == again).all()
    assert (first.sum(axis=1) == 5).all()
    assert (first != statistics.resampled_counts(5, "b")).any()


@given(st.integers(0, 1000), st.booleans())
def test_kendall_tau_is_the_one_of_scipy(seed: int, ties: bool) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(2, 8)), generator.normal(size=(3, 8))
    if ties:
        a, b = np.round(a), np.round(b)
    expected = [[stats.kendalltau(x, y).statistic for y in b] for x in a]
    np.testing.assert_allclose(statistics.kendall_tau(a, b), expected, atol=1e-12)


def test_equal_items_have_a_large_p_and_clearly_ordered_ones_a_small_one() -> None:
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(5, 4))
    assert statistics.permutation_p_of_range(np.ones((5, 4)), "p") == 1.0
    assert statistics.permutation_p_of_range(noise, "p") > 0.05
    assert statistics.permutation_p_of_range(noise + 10 * np.arange(5)[:, None], "p") < 0.01


def test_the_t_test_is_the_one_of_scipy() -> None:
    sample = np.array([0.5, -0.6, 1.55, 0.7])
    expected = stats.ttest_1samp(sample, 0)
    interval = expected.confidence_interval()
    np.testing.assert_allclose(
        statistics.t_test(sample), [sample.mean(), interval.low, interval.high, expected.pvalue]
    )


def test_one_value_has_no_test_and_equal_values_have_a_certain_one() -> None:
    assert np.isnan(statistics.t_test(np.array([0.5]))[1:]).all()
    assert statistics.t_test(np.zeros(3)) == (0, 0, 0, 1)
    assert statistics.t_test(np.ones(3)) == (1, 1, 1, 0)


@given(st.integers(1, 40), st.integers(0, 40))
def test_the_interval_of_a_sign_test_excludes_zero_exactly_where_p_is_small(
    trials: int, successes: int
) -> None:
    effect, low, high, p = statistics.sign_test(min(successes, trials), trials)
    assert effect == min(successes, trials) / trials - 0.5
    assert low <= effect <= high
    assert (p < 0.05) == (low > 0 or high < 0)


def test_a_sign_test_of_no_trial_says_nothing() -> None:
    assert np.isnan(statistics.sign_test(0, 0)).all()


def test_the_bootstrap_of_a_mean_gives_about_the_t_test_of_its_units() -> None:
    sample = np.random.default_rng(0).normal(0.5, 1, size=8)
    drawn = statistics.resampled_counts(8, "p") @ sample / 8
    np.testing.assert_allclose(
        statistics.bootstrap_t(float(sample.mean()), drawn, 8)[:3], statistics.t_test(sample)[:3], atol=0.05
    )
    found = statistics.bootstrap_t(float(sample.mean()), drawn, 8)
    assert found.p == pytest.approx(statistics.t_test(sample).p, rel=0.3)
    assert (found.p < 0.05) == (found.low > 0)


def test_resamples_that_agree_are_certain_and_one_seed_says_nothing() -> None:
    assert statistics.bootstrap_t(0.0, np.zeros(10), 8) == (0, 0, 0, 1)
    assert statistics.bootstrap_t(1.0, np.ones(10), 8) == (1, 1, 1, 0)
    for drawn, seeds in ((np.ones(10), 1), (np.full(10, np.nan), 5)):
        assert np.isnan(statistics.bootstrap_t(1.0, drawn, seeds)[1:]).all()
