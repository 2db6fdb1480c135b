from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from memory_study._training_data import Scaling, TrainingData
from memory_study.config import TrialConfig
from memory_study.corruption import corrupted_examples, random_inputs, random_labels

levels = st.floats(0, 1)
seeds = st.integers(0, 2**31)
CPU = torch.device("cpu")


def training_data(configs, splits):
    return TrainingData(configs, splits, Scaling(configs[0], splits), CPU, torch.float32)


@given(st.integers(0, 300), levels, seeds)
def test_the_number_of_corrupted_examples_is_exact(examples, level, seed):
    assert corrupted_examples(examples, level, seed).sum() == round(level * examples)


@given(st.integers(0, 300), levels, levels, seeds)
def test_what_is_corrupted_at_a_level_is_corrupted_at_every_higher_one(examples, one, other, seed):
    lower, higher = (corrupted_examples(examples, level, seed) for level in sorted((one, other)))
    assert not (lower & ~higher).any()


def test_another_seed_corrupts_other_examples():
    assert not corrupted_examples(1000, 0.5, 0).equal(corrupted_examples(1000, 0.5, 1))


def test_random_labels_are_uniform_over_all_classes():
    assert stats.chisquare(random_labels(50_000, 10, 0).bincount(minlength=10)).pvalue > 1e-3


def test_a_random_label_may_be_the_true_one(splits):
    data = splits(train=4000)
    config = TrialConfig(corruption="randY", corruption_level=1.0)
    unchanged = (training_data([config], data).labels[0] == data.train_labels).float().mean()
    assert unchanged == pytest.approx(0.25, abs=0.03)


def test_random_inputs_have_the_mean_and_deviation_of_their_channel():
    noise = random_inputs((4000, 2, 5, 5), (0.1, 0.7), (0.3, 0.05), 0)
    assert noise.mean((0, 2, 3)).tolist() == pytest.approx([0.1, 0.7], abs=3e-3)
    assert noise.std((0, 2, 3)).tolist() == pytest.approx([0.3, 0.05], rel=0.01)
    assert stats.kstest(noise[:, 1].flatten()[:20_000], "norm", (0.7, 0.05)).pvalue > 1e-3


def test_a_seed_names_one_noise_data_set():
    def draws(seed):
        return random_labels(50, 10, seed), random_inputs((5, 1, 3, 3), (0.5,), (0.2,), seed)

    for one, same, other in zip(draws(3), draws(3), draws(4), strict=True):
        assert one.equal(same)
        assert not one.equal(other)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["randX", "randY"]), levels, st.integers(0, 5))
def test_only_the_corrupted_examples_change_and_only_in_what_is_random(splits, kind, level, seed):
    plain = splits()
    data = training_data([TrialConfig(corruption=kind, corruption_level=level, seed=seed)], plain)
    clean = training_data([TrialConfig(seed=seed)], plain)
    whole = slice(0, len(data))
    (inputs, labels), (clean_inputs, clean_labels) = data.parts(whole, [0]), clean.parts(whole, [0])
    changed = (inputs[0] != clean_inputs[0]).flatten(1).any(1)
    corrupted = data.corrupted[0]
    assert corrupted.sum() == round(level * len(data))
    if kind == "randX":
        assert changed.equal(corrupted)
        assert labels.equal(clean_labels)
    else:
        assert not changed.any()
        assert not ((labels != clean_labels)[0] & ~corrupted).any()
        drawn = random_labels(len(data), len(plain.classes), seed)
        assert labels[0, corrupted].equal(drawn[corrupted])


MIXED = [
    TrialConfig(),
    TrialConfig(corruption="randX", corruption_level=0.5),
    TrialConfig(corruption="randX", corruption_level=1.0, seed=1),
    TrialConfig(corruption="randY", corruption_level=0.5, seed=1),
]


@pytest.mark.parametrize("configs", [MIXED, MIXED[:1], MIXED[3:], MIXED[::-1]])
def test_batches_hold_what_whole_parts_hold(splits, configs):
    data = training_data(configs, splits())
    order = data.order(1)
    inputs, labels = data.batch(order)
    expected_inputs, expected_labels = data.parts(slice(0, len(data)), range(len(data.labels)))
    for row in range(len(configs)):
        whole = expected_inputs[row if len(expected_inputs) > 1 else 0]
        assert inputs[row].equal(whole[order[row]])
        assert labels[row].equal(expected_labels[row, order[row]])


def test_a_batch_is_a_copy_that_training_may_overwrite(splits):
    data = training_data(MIXED, splits())
    order = data.order(1)
    first, _ = data.batch(order)
    kept = first.clone()
    first.zero_()
    assert data.batch(order)[0].equal(kept)


def test_every_epoch_visits_each_example_once_in_a_new_order(splits):
    data = training_data(MIXED, splits())
    one, two = data.order(1), data.order(2)
    assert one.sort(1).values.equal(torch.arange(len(data)).expand(4, -1))
    assert not one.equal(two)
    assert one[0].equal(one[1])  # the same seed, so the same batches
    assert not one[0].equal(one[2])


def test_replicas_that_stay_keep_their_own_data(splits):
    data, fewer = training_data(MIXED, splits()), training_data([MIXED[2], MIXED[0]], splits())
    data.keep([2, 0])
    for kept, expected in zip(data.batch(data.order(1)), fewer.batch(fewer.order(1)), strict=True):
        assert kept.equal(expected)


def test_training_leaves_all_splits_untouched(splits, train):
    data, before = splits(), splits()
    corrupted = [TrialConfig(epochs=2, width=8, train_size=40, batch_size=16, csr_examples=10, seed=seed,
                             corruption=kind, corruption_level=1.0, regularizers={"input_noise": 1.0, "adversarial": 0.5})
                 for seed, kind in enumerate(("randX", "randY"))]  # fmt: skip
    train(corrupted, data)
    for name in ("train", "validation", "test"):
        assert getattr(data, f"{name}_inputs").equal(getattr(before, f"{name}_inputs"))
        assert getattr(data, f"{name}_labels").equal(getattr(before, f"{name}_labels"))


def test_the_validation_and_test_accuracy_of_a_corrupted_trial_are_those_on_clean_data(splits, train):
    # A net that learned true labels from the half that kept them is right on clean data only.
    config = TrialConfig(epochs=4, width=32, train_size=400, batch_size=20, momentum=0.9, csr_examples=0,
                         corruption="randY", corruption_level=0.5)  # fmt: skip
    record = train([config], splits(train=400, others=200, noise=0.1))[0]
    assert record.curves["validation_accuracy"][-1][1] > 0.95
    assert record.scalars["test_accuracy"] > 0.95
    assert record.curves["train_accuracy"][-1][1] < 0.8


@pytest.mark.parametrize("scaling", ["unit", "standardized"])
def test_standardized_inputs_have_mean_zero_and_deviation_one_per_channel(splits, scaling):
    data = splits(channels=3)
    scaled = Scaling(TrialConfig(input_scaling=scaling), data)(data.train_inputs)
    if scaling == "unit":
        assert scaled.equal(data.train_inputs)
    else:
        assert scaled.mean((0, 2, 3)).abs().max() < 1e-5
        assert scaled.std((0, 2, 3), correction=0).sub(1).abs().max() < 1e-4
