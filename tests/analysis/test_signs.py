"""Sign tests of trials that share seeds: no surer than trials, or seeds, alone would make them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis._statistics import sign_test
from analysis.claims import _signs
from analysis.claims._finding import Finding

BLANK = Finding(claim="C11", test="t", unit="share of trials above half", margin=0.1, units="trial")


def finding_on(*of_seeds: str) -> Finding:
    """The finding on outcomes by seed: ``"++-"`` is a seed with three trials."""
    return _signs.sign(BLANK, *outcomes(*of_seeds), runs=sum(map(len, of_seeds)))


def outcomes(*of_seeds: str) -> tuple[pd.Series, pd.Series]:
    """Outcome and seed by trial."""
    signs, seeds = list("".join(of_seeds)), np.repeat(range(len(of_seeds)), [*map(len, of_seeds)])
    index = [f"trial{place}" for place in range(len(signs))]
    return pd.Series([sign == "+" for sign in signs], index, dtype=bool), pd.Series(seeds, index)


def test_a_seed_votes_as_most_of_its_trials_and_not_at_all_where_they_tie() -> None:
    assert _signs.votes_of(*outcomes("++-", "+-", "--", "+")).to_dict() == {0: True, 2: False, 3: True}
    assert _signs.in_words(*outcomes("++-", "+-", "--", "+")) == "so do most trials in 2 of 3 seeds"


def test_trials_of_one_seed_that_agree_count_once() -> None:
    found = finding_on(*["+++"] * 6)
    assert (found.n, found.seeds, found.effect) == (18, 6, 0.5)
    assert found.p == pytest.approx(2 / 2**6)
    assert found.low == pytest.approx(sign_test(6, 6).low)


def test_with_one_trial_a_seed_it_is_the_sign_test_of_the_trials() -> None:
    found = finding_on(*"++++++++-")
    assert (found.effect, found.low, found.high, found.p) == pytest.approx(sign_test(8, 9))


def test_seeds_that_point_the_other_way_or_are_all_of_two_minds_leave_it_open() -> None:
    assert finding_on("+" * 40, *["-"] * 6).p == 1  # most trials of few seeds, and few trials of most
    torn = finding_on(*["+-"] * 6)
    assert (torn.p, torn.low, torn.high) == (1, -0.5, 0.5)
    assert torn.more_runs(0.05) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("+-", min_size=1, max_size=6), min_size=1, max_size=12))
def test_the_interval_excludes_zero_exactly_where_p_is_small(of_seeds: list[str]) -> None:
    found = finding_on(*of_seeds)
    assert found.low <= found.effect <= found.high
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_further_runs_are_those_of_further_seeds() -> None:
    assert finding_on(*["+++"] * 4).more_runs(0.05) == 2 * 3  # 6 seeds that agree are p = .03
    assert finding_on(*["+++", "++-"] * 3).more_runs(0.05) == 3  # enough, but at least one more seed
    assert finding_on(*["+++"] * 4, "---", "---").more_runs(0.05) > 6
