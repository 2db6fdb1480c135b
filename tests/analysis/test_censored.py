"""Censored regression and log-rank test: by definition, by simulation, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis._censored import censored_log_normal, log_rank


def design_of(generator: np.random.Generator, runs: int) -> np.ndarray:
    x, level = generator.normal(size=runs), generator.choice([0, 0.5, 1.0], size=runs)
    return np.column_stack([np.ones(runs), x, level, x * level])


def test_without_censored_times_it_is_least_squares() -> None:
    generator = np.random.default_rng(0)
    design = design_of(generator, 40)
    times = design @ [3, -0.5, 1, 0.7] + generator.normal(size=40)
    fit = censored_log_normal(design, times, np.ones(40, dtype=bool))
    np.testing.assert_allclose(fit, np.linalg.lstsq(design, times, rcond=None)[0], atol=1e-5)


def test_it_finds_the_planted_coefficients_that_least_squares_misses() -> None:
    generator = np.random.default_rng(1)
    truth, cap = np.array([3, -0.5, 1, -0.7]), 3.6
    fits, ordinary = [], []
    for _ in range(100):
        design = design_of(generator, 120)
        drawn = design @ truth + 0.8 * generator.normal(size=120)
        times = np.minimum(drawn, cap)
        fits.append(censored_log_normal(design, times, drawn <= cap))
        ordinary.append(np.linalg.lstsq(design, times, rcond=None)[0])
    np.testing.assert_allclose(np.mean(fits, axis=0), truth, atol=0.06)
    assert abs(np.mean(ordinary, axis=0) - truth)[3] > 0.2


def test_it_is_where_the_likelihood_is_highest() -> None:
    generator = np.random.default_rng(2)
    design = np.column_stack([np.ones(30), generator.normal(size=30)])
    drawn = design @ [2.0, 1.0] + generator.normal(size=30)
    observed, times = drawn <= 2.5, np.minimum(drawn, 2.5)
    fit = censored_log_normal(design, times, observed)
    assert fit is not None

    def best_over_sigma(coefficients: np.ndarray) -> float:
        mean = design @ coefficients
        return max(
            np.where(observed, stats.norm.logpdf(times, mean, s), stats.norm.logsf(times, mean, s)).sum()
            for s in np.linspace(0.4, 2, 400)
        )

    at_best = best_over_sigma(fit)
    for step in ([0.05, 0], [-0.05, 0], [0, 0.05], [0, -0.05]):
        assert best_over_sigma(fit + np.array(step)) < at_best


def test_too_few_observed_times_identify_nothing() -> None:
    design = design_of(np.random.default_rng(0), 20)
    observed = np.zeros(20, dtype=bool)
    observed[:5] = True
    assert censored_log_normal(design, np.arange(20.0), observed) is None
    observed = design[:, 2] == 0  # none observed with noise: the interaction has no estimate
    assert censored_log_normal(design, np.arange(20.0), observed) is None


def test_the_log_rank_test_is_the_one_by_hand() -> None:
    """Two strata; observed less expected events and hypergeometric variances, written out."""
    times = np.array([1, 2, 3, 4, 2, 5, 6, 6.0])
    observed = np.array([1, 1, 1, 0, 1, 1, 0, 0], dtype=bool)
    group = np.array([1, 0, 1, 0, 1, 0, 1, 0], dtype=bool)
    strata = np.repeat([0, 1], 4)
    # Stratum 0: times 1 (of 4 at risk 2 in the group), 2 (of 3, 1), 3 (of 2, 1); 1: times 2 (of 4, 2), 5 (of 3, 1).
    expected = 2 / 4 + 1 / 3 + 1 / 2 + 2 / 4 + 1 / 3
    variance = 1 / 4 + 2 / 9 + 1 / 4 + 1 / 4 + 2 / 9
    statistic = (3 - expected) ** 2 / variance
    found = log_rank(times, observed, group, strata)
    assert found.excess == pytest.approx(3 - expected)
    assert found.p == pytest.approx(stats.chi2.sf(statistic, 1))
    swapped = log_rank(times, observed, ~group, strata)
    assert (swapped.excess, swapped.p) == pytest.approx((expected - 3, found.p))


def test_strata_that_cannot_be_compared_have_no_p() -> None:
    one = np.ones(4)
    flags = np.array([True, True, False, False])
    assert np.isnan(log_rank(one, np.zeros(4, dtype=bool), flags, one)).all()  # nothing observed
    assert np.isnan(log_rank(np.arange(4.0), one > 0, flags, flags)).all()  # a group in each stratum
    assert np.isnan(log_rank(one, one > 0, flags, one)).all()  # all at once: no variance
