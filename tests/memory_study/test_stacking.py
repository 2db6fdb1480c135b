"""Trials do not notice whom they are stacked with. On the CPU with one thread that holds bit for bit."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import chain

import pytest

from memory_study import regularizers
from memory_study.config import MODELS, TrialConfig

SEARCH = {"csr_examples": 20, "csr_radius": 40.0, "csr_gradient_step": 15.0, "csr_noise_step": 5.0}
SHAPES = {"mlp": {"side": 6}, "cnn-keras": {"side": 25}, "cnn-zhang": {"side": 7}}


def cohort(**shared) -> list[TrialConfig]:
    """Every regularizer, every kind of noise, two seeds and two learning rates."""
    base = TrialConfig(**{"train_size": 42, "batch_size": 16, "csr_epochs": (0, 2)} | SEARCH | shared)
    noises = ("none", 0.0), ("randX", 0.5), ("randX", 1.0), ("randY", 0.6)
    noisy = [
        replace(base, corruption=kind, corruption_level=level, seed=seed)
        for seed in (0, 1)
        for kind, level in noises
    ]
    regularized = [
        replace(noisy[index % len(noisy)], regularizers={kind: regularizers.find(kind).grid[place]}, seed=2 - place)
        for index, kind in enumerate(regularizers.kinds())
        for place in (0, -3)
    ]  # fmt: skip
    together = (
        {"adversarial": 0.5, "dropout": 0.2},
        {"dropout": 0.2, "label_smoothing": 0.3, "mixup": 1.0, "sam": 0.1},
        {"early_stopping": 1.0},
    )
    return [
        *noisy,
        *regularized,
        *(replace(noisy[3 * index], regularizers=kinds) for index, kinds in enumerate(together)),
        replace(base, learning_rate=0.1),
        replace(base, learning_rate=0.3, seed=1),
    ]


def alone(train, configs, data):
    return list(chain.from_iterable(train([config], data) for config in configs))


def assert_same(measured, records, expected):
    for record, reference in zip(records, expected, strict=True):
        assert measured(record) == measured(reference)


@pytest.mark.parametrize("width", [37, 101])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_stack_of_mlps_gives_each_trial_what_it_gets_alone(splits, train, measured, width, momentum):
    data = splits(train=42)
    configs = cohort(width=width, momentum=momentum, epochs=5, halving_epochs=2)
    if momentum == 0:
        configs = [c for c in configs if "adversarial" not in dict(c.regularizers)]  # see the test below
    assert_same(measured, train(configs, data), alone(train, configs, data))


@pytest.mark.parametrize("shape", [{"depth": 0}, {"depth": 3, "input_scaling": "unit"}, {"dtype": "float64"}])
def test_so_do_stacks_of_other_shapes(splits, train, measured, shape):
    data = splits(train=42, channels=3)
    configs = cohort(width=23, epochs=3, momentum=0.9, **shape)
    assert_same(measured, train(configs, data), alone(train, configs, data))


@pytest.mark.parametrize("model", MODELS)
def test_a_stack_of_any_model_gives_each_trial_what_it_gets_alone(splits, train, measured, model):
    data = splits(train=42, channels=2, others=10, **SHAPES[model])
    configs = cohort(width=3, model=model, epochs=2, momentum=0.9)[1::3]
    assert_same(measured, train(configs, data), alone(train, configs, data))


@pytest.mark.parametrize("model", ["mlp", "cnn-zhang"])
def test_a_training_set_larger_than_one_pass_is_evaluated_as_alone(splits, train, measured, model):
    data = splits(train=2300, others=10, **SHAPES[model])
    shared = {
        "train_size": 2300,
        "width": 5,
        "model": model,
        "epochs": 1,
        "batch_size": 600,
        "csr_examples": 0,
    }
    configs = [TrialConfig(**shared), TrialConfig(**shared, corruption="randX", corruption_level=0.5)]
    assert_same(measured, train(configs, data), alone(train, configs, data))


@pytest.mark.parametrize("batch_size", [128, 700])
def test_without_momentum_a_trial_is_as_alone_beside_a_weight_decay(splits, train, measured, batch_size):
    data = splits(train=1000, side=16)
    shared = {"train_size": 1000, "width": 101, "epochs": 2, "batch_size": batch_size, "csr_examples": 0}
    configs = [TrialConfig(**shared), TrialConfig(**shared, regularizers={"weight_decay": 0.01})]
    assert_same(measured, train(configs, data), alone(train, configs, data))


def test_without_momentum_a_trial_is_close_to_alone_beside_adversarial_training(splits, train):
    # Two gradients of one step cannot be added to the weights one after the other, so the whole stack takes another
    # way through the optimizer, whose products round apart. Packing never stacks the two kinds.
    data = splits(train=1000, side=16)
    shared = {"train_size": 1000, "width": 101, "epochs": 2, "csr_examples": 0}
    configs = [TrialConfig(**shared), TrialConfig(**shared, regularizers={"adversarial": 0.5})]
    for record, reference in zip(train(configs, data), alone(train, configs, data), strict=True):
        for name, curve in reference.curves.items():
            assert [v for _, v in record.curves[name]] == pytest.approx([v for _, v in curve], rel=1e-5), name


def test_reordering_a_cohort_reorders_its_results_only(splits, train, measured):
    data, configs = splits(train=42), cohort(width=9, epochs=3)
    shuffled = random.Random(0).sample(range(len(configs)), len(configs))
    in_order, records = train(configs, data), train([configs[place] for place in shuffled], data)
    assert [record.trial_id for record in in_order] == [config.id for config in configs]
    assert_same(measured, records, [in_order[place] for place in shuffled])


def test_training_again_gives_the_same_records(splits, train, measured):
    data, configs = splits(train=42), cohort(width=9, epochs=3)
    assert_same(measured, train(configs, data), train(configs, data))


@pytest.mark.parametrize("model", MODELS)
def test_a_diverging_replica_leaves_the_others_unchanged(splits, train, measured, model):
    data = splits(train=42, others=10, **SHAPES[model])
    shared = {"model": model, "width": 8, "train_size": 42, "batch_size": 16, "epochs": 6, "csr_examples": 0}
    wild = {"learning_rate": 1e6, "regularizers": {"weight_decay": 1.0, "dropout": 0.5}}
    calm = [TrialConfig(**shared, seed=seed) for seed in range(3)]
    configs = [calm[0], TrialConfig(**shared, **wild), *calm[1:], TrialConfig(**shared, **wild, seed=9)]
    records = train(configs, data)
    assert_same(measured, [records[0], *records[2:4]], train(calm, data))
    for record in (records[1], records[4]):
        assert record.scalars["diverged"] == 1
        assert "test_accuracy" not in record.scalars
        assert record.scalars["epochs_trained"] < 6
    assert all(record.scalars["diverged"] == 0 for record in records[2:4])


def test_converged_replicas_leave_without_the_others_noticing(splits, train, measured):
    data = splits(train=42)
    base = TrialConfig(train_size=42, batch_size=8, width=32, momentum=0.9, epochs=25, stop_at_convergence=True,
                       **SEARCH)  # fmt: skip
    rates = (0.1, 0.03, 0.01, 0.001)
    configs = [replace(base, learning_rate=rate, seed=seed) for seed in (0, 1) for rate in rates]
    configs += [
        replace(c, regularizers={"dropout": 0.3}, corruption="randX", corruption_level=0.5) for c in configs
    ]
    records = train(configs, data)
    epochs = {record.scalars["epochs_trained"] for record in records}
    assert len(epochs) > 4
    assert 25 in epochs
    assert_same(measured, records, alone(train, configs, data))
    for record in records:
        assert record.scalars["converged"] == float(record.curves["train_accuracy"][-1][1] == 1)
        assert record.scalars["convergence_epoch"] == record.scalars["epochs_trained"]
