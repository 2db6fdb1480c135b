"""Contracts of all measures that a config may ask for, and of what they share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from memory_study import measures
from memory_study.config import ConfigError, TrialConfig
from memory_study.record import ARRAYS, Record

BASE = TrialConfig(
    train_size=40, width=6, batch_size=16, epochs=6, learning_rate=0.1, csr_examples=0, dtype="float64"
)
SETTINGS = ({"corruption": "none"}, *({"corruption": c, "corruption_level": 1.0} for c in ("randX", "randY")))


@pytest.fixture
def run(train, splits):
    data = splits(train=40, side=6)
    return lambda configs: train(list(configs), data)


NEEDS = {"filters": {"model": "cnn-zhang"}}  # the only model with filters that takes such small images


def configs_of(name):
    base = replace(BASE, measures=(name,), **NEEDS.get(name, {}))
    return [replace(base, seed=seed, **noise) for seed in (0, 1) for noise in SETTINGS]


def found(record):
    """All that a measure can have added."""
    seconds = {name: value for name, value in record.scalars.items() if not name.endswith("seconds")}
    return seconds, record.curves, {name: array.tolist() for name, array in record.arrays.items()}


@pytest.mark.parametrize("name", measures.names())
def test_a_measure_adds_something_and_changes_nothing_else(name, run):
    plain = {record.trial_id: record for record in run(replace(c, measures=()) for c in configs_of(name))}
    for config, record in zip(configs_of(name), run(configs_of(name)), strict=True):
        without = plain[replace(config, measures=()).id]
        assert "measure_seconds" in record.scalars
        assert without.curves.items() <= record.curves.items()
        kept = {k: v for k, v in without.scalars.items() if not k.endswith("seconds")}
        assert kept.items() <= record.scalars.items()
        more = record.scalars.keys() - without.scalars.keys() - {"measure_seconds"}
        assert more or record.arrays or record.curves.keys() - without.curves.keys()


@pytest.mark.parametrize("name", measures.names())
def test_what_a_measure_finds_does_not_depend_on_the_stack(name, run):
    configs = configs_of(name)
    together = run(configs)
    assert list(map(found, run(configs[::-1])))[::-1] == list(map(found, together))
    alone = [run([config])[0] for config in configs]
    for one, other in zip(map(found, alone), map(found, together), strict=True):
        assert one[0] == pytest.approx(other[0], rel=1e-9)
        for name_ in one[2]:
            np.testing.assert_allclose(one[2][name_], other[2][name_], rtol=1e-7, atol=1e-12)


def test_training_examples_are_right_as_often_as_the_accuracy_says(run):
    (record,) = run([replace(BASE, measures=("training_examples",))])
    right = record.arrays["train_right"]
    assert right.shape == (40,)
    assert right.mean() == record.curves["train_accuracy"][-1][1]


def test_no_more_examples_are_looked_at_than_asked_for(run):
    (record,) = run([replace(BASE, measures=("training_examples",), measured_examples=7)])
    assert record.arrays["train_right"].shape == (7,)


def test_one_noisy_data_set_serves_many_seeds(run):
    noise = {"corruption": "randY", "corruption_level": 1.0}
    shared = [replace(BASE, **noise, seed=seed, corruption_seed=0) for seed in (0, 1)]
    own = replace(BASE, **noise, seed=0)
    first, second = run(shared)
    assert first.trial_id == own.id
    assert first.curves != second.curves


def test_an_unknown_measure_is_refused_with_the_list():
    with pytest.raises(ConfigError, match=r"'sharpnes' is not known; choose from .*training_examples"):
        TrialConfig(measures=("sharpnes",))


def test_an_array_that_nobody_chose_is_refused_by_name():
    assert "picture" not in ARRAYS
    with pytest.raises(ValueError, match="picture"):
        Record("id", {}, {}, arrays={"picture": np.zeros(3)})
