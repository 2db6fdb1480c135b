"""Medians of censored times against the ordinary median, against statsmodels, and their intervals' coverage."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from analysis import _survival
from analysis._survival import median

times = st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_without_censoring_it_is_the_ordinary_median(epochs: list[int]) -> None:
    assert median(epochs, [True] * len(epochs)).median == pytest.approx(np.median(epochs))


@given(times)
def test_it_agrees_with_statsmodels(trials: list[tuple[int, bool]]) -> None:
    epochs, observed = np.array([t for t, _ in trials]), np.array([o for _, o in trials])
    found = median(epochs, observed).median
    # Theirs takes the first time below one half; ours the middle of the times at one half. Both need one below.
    theirs = SurvfuncRight(epochs, observed.astype(int))
    below = theirs.surv_times[theirs.surv_prob < 0.5 - 1e-9]
    at_most = theirs.surv_times[theirs.surv_prob <= 0.5 + 1e-9]
    if len(below):
        assert found == pytest.approx((below[0] + at_most[0]) / 2)
    else:
        assert math.isnan(found)


@given(times)
def test_the_median_lies_in_its_interval(trials: list[tuple[int, bool]]) -> None:
    found = median([time for time, _ in trials], [observed for _, observed in trials])
    if len(trials) > 1 and not math.isnan(found.median):
        assert found.low <= found.median <= found.high
    if len(trials) > 1 and not any(observed for _, observed in trials):
        assert found.high == math.inf


def test_half_of_the_trials_censored_leave_no_median() -> None:
    assert math.isnan(median([10, 20, 50, 50], [True, True, False, False]).median)
    assert median([10, 20, 30, 50, 50], [True, True, True, False, False]).median == 30


@pytest.mark.parametrize(
    ("trials", "rank"), [(2, 1), (3, 1), (5, 1), (6, 1), (8, 1), (9, 2), (12, 3), (20, 6)]
)
def test_coverage_is_what_all_orders_of_above_and_below_give(trials: int, rank: int) -> None:
    """Each time is above the true median with probability one half: counted over all outcomes, not by a formula."""
    found = median(range(1, trials + 1), [True] * trials)
    assert (found.low, found.high) == (rank, trials + 1 - rank)
    if trials <= 12:
        above = [sum(sides) for sides in product((0, 1), repeat=trials)]
        covered = sum(rank <= count <= trials - rank for count in above)
        assert found.coverage == pytest.approx(covered / 2**trials)
    assert found.coverage >= _survival.LEVEL or rank == 1


def test_a_censored_time_leaves_the_range_without_an_upper_end() -> None:
    found = median([10, 20, 50], [True, True, False])
    assert (found.median, found.low, found.high, found.coverage) == (20, 10, math.inf, 0.75)


def test_one_time_has_no_interval() -> None:
    found = median([7], [True])
    assert found.median == 7
    assert all(math.isnan(end) for end in (found.low, found.high, found.coverage))


@pytest.mark.parametrize(("epochs", "observed"), [([], []), ([1, 2], [True])])
def test_times_need_their_flags(epochs: list[int], observed: list[bool]) -> None:
    with pytest.raises(ValueError, match="a median needs times with their flags"):
        median(epochs, observed)
