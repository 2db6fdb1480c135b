"""The tidy tables: types, regularizers, panels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import _frames, _settings
from analysis._frames import Frames, tidy, with_trials_of
from analysis._rows import Facts, Rows, history, wide
from memory_study.config import ABSENT, TrialConfig


def rows_of(
    configs: list[TrialConfig],
    metrics: list[tuple[int, str, object]] | None = None,
    points: Sequence[tuple[int, int, float]] = (),
    order: Sequence[int] | None = None,
) -> Rows:
    """What a store would give for these configs, one run each: one metric, and a curve ``a`` of the points (place of
    the run, step, value). ``order`` of the runs is that of the store.
    """
    order = range(len(configs)) if order is None else order
    runs = [f"run{place}" for place in order]
    place_of = {place: index for index, place in enumerate(order)}
    params = [(place_of[p], *pair) for p, config in enumerate(configs) for pair in config.params().items()]
    tags: list[tuple[int, str, object]] = [(place_of[p], "trial", c.id) for p, c in enumerate(configs)]
    if metrics is None:
        metrics = [(p, "diverged", 0.0) for p in range(len(configs))]
    metrics = [(place_of[p], key, value) for p, key, value in metrics]
    facts = Facts(wide(runs, params, object), wide(runs, tags, object), wide(runs, metrics, float))
    table = np.array([(place_of[p], step, value) for p, step, value in points], dtype=float).reshape(-1, 3)
    curve = history(len(runs), table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2])
    return Rows(
        pd.DataFrame({"end_time": list(order)}, index=runs), facts, {"a": curve}, pd.DataFrame(index=runs)
    )


def test_every_param_comes_back_as_what_its_text_is(frames: Frames) -> None:
    trials = frames.trials
    assert trials["width"].dtype.kind == "i"
    assert trials["learning_rate"].dtype.kind == "f"
    assert trials["stop_at_convergence"].dtype == bool
    assert set(trials["corruption"]) == {"none", "randY"}


def test_a_trial_of_older_code_is_in_the_panel_of_newer_ones() -> None:
    rows = rows_of([TrialConfig(seed=seed) for seed in range(2)])
    added = list(ABSENT)
    assert "measures" in added
    rows.facts.params.loc["run0", added] = np.nan
    trials = tidy(rows).trials
    assert trials.notna().all().all()
    assert _frames.panels(trials).nunique() == 1


def test_a_digest_of_digits_stays_text() -> None:
    trials = tidy(rows_of([TrialConfig(dataset="folder:x", dataset_digest="1234567890")])).trials
    assert trials["dataset_digest"].tolist() == ["1234567890"]


def test_regularizers_become_kinds_and_strengths() -> None:
    configs = [
        TrialConfig(regularizers=strengths)
        for strengths in ((), (("dropout", 0.5),), (("dropout", 0.35), ("adversarial", 0.2)))
    ]
    trials = tidy(rows_of(configs)).trials.loc[[config.id for config in configs]]
    assert trials["regularizer"].tolist() == ["none", "dropout", "adversarial + dropout"]
    assert trials["strength"].tolist()[:2] == [0.0, 0.5]
    assert np.isnan(trials["strength"].iloc[2])
    assert trials["strength.dropout"].tolist() == [0.0, 0.5, 0.35]
    assert trials["strength.adversarial"].tolist() == [0.0, 0.0, 0.2]


def test_a_metric_that_a_trial_lacks_is_nan() -> None:
    configs = [TrialConfig(seed=0), TrialConfig(seed=1)]
    trials = tidy(rows_of(configs, metrics=[(1, "test_accuracy", 0.9)])).trials
    assert np.isnan(trials.loc[configs[0].id, "test_accuracy"])
    assert trials.loc[configs[1].id, "test_accuracy"] == 0.9


def test_points_written_twice_count_once() -> None:
    curves = tidy(rows_of([TrialConfig()], points=[(0, 1, 0.5), (0, 1, 0.5), (0, 2, 0.6)])).curves
    assert list(zip(curves["epoch"], curves["value"], strict=True)) == [(1, 0.5), (2, 0.6)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(-1, 1))), st.permutations(range(4)))
@settings(deadline=None)
def test_the_tables_do_not_depend_on_the_order_of_the_store(
    points: list[tuple[int, int, float]], order: list[int]
) -> None:
    configs = [TrialConfig(seed=seed) for seed in range(4)]
    frames = tidy(rows_of(configs, points=points))
    shuffled = tidy(rows_of(configs, points=points[::-1], order=order))
    pd.testing.assert_frame_equal(frames.trials, shuffled.trials)
    pd.testing.assert_frame_equal(frames.curves, shuffled.curves)
    lowest: dict[tuple[str, int], float] = {}
    for place, step, value in points:
        key = (configs[place].id, step)
        lowest[key] = min(value, lowest.get(key, np.inf))
    found = zip(frames.curves["trial"], frames.curves["epoch"], frames.curves["value"], strict=True)
    assert [(trial, step, value) for trial, step, value in found] == [
        (*key, lowest[key]) for key in sorted(lowest)
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=8), st.randoms())
@settings(deadline=None)
def test_a_trial_counts_once_however_many_runs_finished_it(
    runs: list[tuple[int, int]], draws: random.Random
) -> None:
    """``runs``: the seed of the trial, and when the run ended. The first to end counts, of those the smallest run id."""
    metrics = [(place, "test_accuracy", float(place)) for place in range(len(runs))]
    points = [(place, 1, float(place)) for place in range(len(runs))]
    order = draws.sample(range(len(runs)), len(runs))
    rows = rows_of([TrialConfig(seed=seed) for seed, _ in runs], metrics, points, order)
    ended = [runs[place][1] for place in order]
    frames = tidy(replace(rows, runs=rows.runs.assign(end_time=ended)))
    counts = {
        TrialConfig(seed=seed).id: min((end, place) for place, (s, end) in enumerate(runs) if s == seed)[1]
        for seed, _ in runs
    }
    assert frames.trials["test_accuracy"].to_dict() == counts
    assert dict(zip(frames.curves["trial"], frames.curves["value"], strict=True)) == counts


def test_a_point_that_is_no_number_is_left_out() -> None:
    curves = tidy(rows_of([TrialConfig()], points=[(0, 1, np.nan), (0, 2, 0.6)])).curves
    assert curves["epoch"].tolist() == [2]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (TrialConfig(seed=0), TrialConfig(seed=1), True),
        (TrialConfig(), TrialConfig(corruption="randY", corruption_level=1.0), True),
        (TrialConfig(), TrialConfig(regularizers=(("dropout", 0.5),)), True),
        (TrialConfig(), TrialConfig(csr_examples=0), True),
        (TrialConfig(), TrialConfig(width=64), False),
        (TrialConfig(), TrialConfig(learning_rate=0.1), False),
        (TrialConfig(), TrialConfig(train_size=100), False),
    ],
)
def test_trials_share_a_panel_when_they_train_the_same_net(
    first: TrialConfig, second: TrialConfig, same: bool
) -> None:
    names = _frames.panels(tidy(rows_of([first, second])).trials)
    assert (names.nunique() == 1) == same


def test_a_panel_is_named_by_what_sets_it_apart_from_its_likes_only() -> None:
    digits = [TrialConfig(seed=seed, width=width) for seed in (0, 1) for width in (8, 16)]
    mnist = TrialConfig(dataset="mnist", epochs=7, learning_rate=0.3)
    names = _frames.panels(tidy(rows_of([*digits, mnist])).trials)
    base = "digits · mlp · 1000 examples"
    assert set(names) == {f"{base} · width 8", f"{base} · width 16", "mnist · mlp · 1000 examples"}


def test_what_was_logged_by_hand_leaves_the_panels_as_they_are() -> None:
    rows = rows_of([TrialConfig(seed=seed) for seed in range(6)])
    rows.facts.params.loc[["run0", "run1"], "note"] = ["good", "bad"]
    rows.facts.metrics.loc[["run2", "run3"], "my_loss"] = [0.25, 0.5]
    trials = tidy(rows).trials
    assert {"note", "my_loss"} <= set(trials)
    assert _frames.panels(trials).tolist() == ["digits · mlp · 1000 examples"] * 6


def test_a_name_that_was_used_again_by_hand_is_that_of_the_record() -> None:
    rows = rows_of([TrialConfig(seed=seed, regularizers=(("dropout", 0.5),)) for seed in range(2)])
    rows.facts.params[["diverged", "trial", "strength", "note"]] = "mine"
    rows.facts.metrics[["width", "regularizer", "note"]] = 7.0
    trials = tidy(rows).trials
    assert trials.columns.is_unique
    assert (
        trials[["width", "diverged", "regularizer", "strength"]].to_numpy().tolist()
        == [[128, 0.0, "dropout", 0.5]] * 2
    )


@pytest.mark.parametrize("field", ["learning_rate", "train_size", "dataset", "stop_at_convergence", "epochs"])
def test_a_trial_that_lacks_a_field_is_in_a_panel_and_so_are_all_others(field: str) -> None:
    """As no run of a sweep does, but one that was written by hand may."""
    rows = rows_of([TrialConfig(seed=seed) for seed in range(3)])
    rows.facts.params.loc["run0", field] = np.nan
    names = _frames.panels(tidy(rows).trials)
    assert names.notna().all()
    assert names.nunique() == 2
    known = names[[TrialConfig(seed=seed).id for seed in (1, 2)]]
    assert known.str.startswith("digits · mlp · 1000 examples").all()
    assert "unknown" in names[TrialConfig(seed=0).id]
    assert "unknown" not in "".join(known)


@pytest.mark.parametrize("older", [0, 1])
def test_trials_beside_others_did_what_they_did_before_a_field_existed(older: int) -> None:
    both = [
        rows_of([TrialConfig(seed=seed, regularizers=kinds)])
        for seed, kinds in ((0, ()), (1, (("sam", 0.5),)))
    ]
    both[older].facts.params.drop(columns=list(ABSENT), inplace=True)
    trials = with_trials_of(*map(tidy, both)).trials
    whole = [
        rows_of([TrialConfig(seed=seed, regularizers=kinds)])
        for seed, kinds in ((0, ()), (1, (("sam", 0.5),)))
    ]
    expected = with_trials_of(*map(tidy, whole)).trials
    pd.testing.assert_frame_equal(trials[expected.columns], expected)
    assert expected["strength.sam"].tolist() == [0.0, 0.5]
    assert _frames.panels(trials).nunique() == 1


def test_only_real_data_and_fully_random_labels_are_labelled() -> None:
    configs = [
        TrialConfig(),
        TrialConfig(corruption="randY", corruption_level=1.0),
        TrialConfig(corruption="randY", corruption_level=0.4),
        TrialConfig(corruption="randX", corruption_level=1.0),
    ]
    found = _frames.labels(tidy(rows_of(configs)).trials).loc[[config.id for config in configs]]
    assert found.fillna("").tolist() == ["real", "randY", "", ""]


def test_which_side_a_trial_is_on_stands_beside_how_its_examples_are_labelled() -> None:
    configs = [TrialConfig(labels="example"), TrialConfig(corruption="randY", corruption_level=1.0)]
    found = _settings.labelled(tidy(rows_of(configs)).trials).loc[[config.id for config in configs]]
    assert found["labels"].tolist() == ["example", "data"]
    assert found["side"].tolist() == ["real", "randY"]
