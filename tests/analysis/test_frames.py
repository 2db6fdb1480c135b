"""The tidy tables: types, regularizers, panels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import _frames
from analysis._frames import Frames, tidy
from analysis._store import Rows
from memory_study.config import TrialConfig


def rows_of(configs: list[TrialConfig], **changes: pd.DataFrame) -> Rows:
    """What a store would give for these configs, one run each, one metric."""
    runs = [f"run{place}" for place in range(len(configs))]
    params = [
        (run, *pair) for run, config in zip(runs, configs, strict=True) for pair in config.params().items()
    ]
    columns = ["run", "key", "value"]
    tables = {
        "runs": pd.DataFrame({"run": runs, "end_time": range(len(runs))}),
        "params": pd.DataFrame(params, columns=columns),
        "tags": pd.DataFrame(
            [(r, "trial", c.id) for r, c in zip(runs, configs, strict=True)], columns=columns
        ),
        "metrics": pd.DataFrame([(run, "diverged", 0.0) for run in runs], columns=columns),
        "curves": pd.DataFrame({"run": [], "key": [], "step": [], "value": []}),
    }
    return Rows(**(tables | changes))


def test_every_param_comes_back_as_what_its_text_is(frames: Frames) -> None:
    trials = frames.trials
    assert trials["width"].dtype.kind == "i"
    assert trials["learning_rate"].dtype.kind == "f"
    assert trials["stop_at_convergence"].dtype == bool
    assert set(trials["corruption"]) == {"none", "randY"}


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
    only = pd.DataFrame([("run1", "test_accuracy", 0.9)], columns=["run", "key", "value"])
    trials = tidy(rows_of(configs, metrics=only)).trials
    assert np.isnan(trials.loc[configs[0].id, "test_accuracy"])
    assert trials.loc[configs[1].id, "test_accuracy"] == 0.9


def test_points_written_twice_count_once() -> None:
    points = pd.DataFrame(
        {"run": ["run0"] * 3, "key": ["a"] * 3, "step": [1, 1, 2], "value": [0.5, 0.5, 0.6]}
    )
    curves = tidy(rows_of([TrialConfig()], curves=points)).curves
    assert list(zip(curves["epoch"], curves["value"], strict=True)) == [(1, 0.5), (2, 0.6)]


def test_the_tables_do_not_depend_on_the_order_of_the_store() -> None:
    configs = [TrialConfig(seed=seed) for seed in range(4)]
    rows = rows_of(configs)
    shuffled = Rows(
        *(
            table.sample(frac=1, random_state=3)
            for table in (rows.runs, rows.params, rows.tags, rows.metrics)
        ),
        curves=rows.curves,
    )
    pd.testing.assert_frame_equal(tidy(rows).trials, tidy(shuffled).trials)


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


def test_only_real_data_and_fully_random_labels_are_labelled() -> None:
    configs = [
        TrialConfig(),
        TrialConfig(corruption="randY", corruption_level=1.0),
        TrialConfig(corruption="randY", corruption_level=0.4),
        TrialConfig(corruption="randX", corruption_level=1.0),
    ]
    found = _frames.labels(tidy(rows_of(configs)).trials).loc[[config.id for config in configs]]
    assert found.fillna("").tolist() == ["real", "randY", "", ""]
