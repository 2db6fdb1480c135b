from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_study.record import CURVES, SCALARS, Record, epoch_grid


@given(st.integers(1, 20_000), st.integers(2, 64))
def test_a_grid_ascends_from_the_first_epoch_to_the_last_within_its_count(epochs, points):
    grid = epoch_grid(epochs, points)
    assert grid[0] == 1
    assert grid[-1] == epochs
    assert len(grid) == min(epochs, points)
    assert all(earlier < later for earlier, later in pairwise(grid))


@given(st.integers(200, 20_000))
def test_the_steps_of_a_grid_grow_as_its_epochs_do(epochs):
    late = [epoch for epoch in epoch_grid(epochs) if epoch > 20]
    ratios = [later / earlier for earlier, later in pairwise(late)]
    assert max(ratios) / min(ratios) < 1.15


def test_a_short_training_keeps_every_epoch():
    assert epoch_grid(5) == (1, 2, 3, 4, 5)


@pytest.mark.parametrize(("epochs", "points"), [(0, 5), (5, 0), (-1, 5)])
def test_a_grid_without_epochs_or_points_is_refused(epochs, points):
    with pytest.raises(ValueError, match="at least one epoch and one point"):
        epoch_grid(epochs, points)


def test_names_that_nobody_chose_are_refused_by_name():
    with pytest.raises(ValueError, match=r"\['acuracy', 'los'\]"):
        Record("id", {"acuracy": 1.0}, {"los": ((1, 1.0),)})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_by_name(value):
    with pytest.raises(ValueError, match=r"not finite \['test_accuracy', 'train_loss'\]"):
        Record("id", {"test_accuracy": value}, {"train_loss": ((1, 0.5), (2, value))})


def test_no_name_is_both_a_curve_and_a_scalar():
    # One metric name of the store is one series.
    assert not CURVES.keys() & SCALARS.keys()
