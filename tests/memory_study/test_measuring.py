"""Passes over the training set are left out only where they could not have shown anything."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from memory_study._history import History
from memory_study._measuring import Measuring
from memory_study.cohort import Cohort
from memory_study.config import ConfigError, TrialConfig
from memory_study.corruption import corrupted_examples, random_labels
from memory_study.record import epoch_grid
from memory_study.train import Training

BASE = TrialConfig(train_size=300, width=24, batch_size=25, momentum=0.9, epochs=90, csr_examples=0)
NOISY = [
    replace(BASE, corruption=kind, corruption_level=level, seed=seed, learning_rate=rate)
    for seed in (0, 1)
    for kind, level in (("none", 0.0), ("randX", 0.5), ("randY", 0.4))
    for rate in (0.002, 0.02)
]
GRID = epoch_grid(BASE.epochs)


@pytest.fixture
def passes(monkeypatch):
    """Counts passes of a replica over its training set."""
    made = []
    whole = Measuring.training

    def counted(self, nets, rows):
        made.extend(rows)
        return whole(self, nets, rows)

    monkeypatch.setattr(Measuring, "training", counted)
    return made


def everyone(self, nets, histories):
    return list(range(len(histories)))


@pytest.fixture
def data(splits):
    return splits(train=300, noise=0.6)


def test_asking_the_hardest_examples_first_changes_no_measurement(monkeypatch, train, data, measured, passes):
    records = train(NOISY, data)
    asked = len(passes)
    monkeypatch.setattr(Measuring, "candidates", everyone)
    expected = train(NOISY, data)
    assert [measured(record) for record in records] == [measured(record) for record in expected]
    epochs = {int(record.scalars["convergence_epoch"]) for record in records if record.scalars["converged"]}
    assert epochs - set(GRID), "no trial converged at an epoch between those of the curves"
    assert asked < 0.7 * (len(passes) - asked)


def test_a_trial_that_stops_at_convergence_stops_at_the_first_epoch_without_a_mistake(train, data, measured):
    going_on = train(NOISY, data)
    stopping = train([replace(c, stop_at_convergence=True, validation_schedule="curve") for c in NOISY], data)
    assert any(record.scalars["converged"] for record in stopping)
    for record, longer in zip(stopping, going_on, strict=True):
        for name in ("converged", "convergence_epoch", "convergence_epoch_999"):
            assert record.scalars[name] == longer.scalars[name]
        last = int(record.scalars["epochs_trained"])
        assert last == record.scalars["convergence_epoch"]
        if record.scalars["converged"]:
            assert dict(record.curves["train_accuracy"])[last] == 1.0
        assert record.curves["validation_accuracy"][-1][0] == last


def test_validation_at_the_epochs_of_the_curves_takes_the_best_of_those(train, data):
    (often,) = train([NOISY[0]], data)
    (seldom,) = train([replace(NOISY[0], validation_schedule="curve")], data)
    curve = dict(seldom.curves["validation_accuracy"])
    assert curve == dict(often.curves["validation_accuracy"])
    assert tuple(curve) == GRID
    assert seldom.scalars["best_validation_accuracy"] == max(curve.values())
    best = seldom.scalars["best_validation_epoch"]
    assert curve[best] == max(curve.values()) > max(v for e, v in curve.items() if e < best)
    assert seldom.scalars["best_validation_accuracy"] <= often.scalars["best_validation_accuracy"]


def test_a_net_that_diverges_between_the_epochs_of_the_curves_is_noticed_at_once(
    monkeypatch, train, data, measured
):
    # The weights change sign in every step and grow by a few per cent: a slow way out of the numbers there are.
    wild = [
        replace(BASE, depth=0, learning_rate=1 + grow, momentum=0.0, regularizers={"weight_decay": 1.0})
        for grow in (0.06, 0.07, 0.08, 0.09)
    ]
    records = train([*wild, replace(NOISY[0], momentum=0.0, depth=0)], data)
    monkeypatch.setattr(Measuring, "candidates", everyone)
    expected = train([*wild, replace(NOISY[0], momentum=0.0, depth=0)], data)
    assert [measured(record) for record in records] == [measured(record) for record in expected]
    assert [record.scalars["diverged"] for record in records] == [1, 1, 1, 1, 0]
    assert {record.scalars["epochs_trained"] for record in records[:4]} - set(GRID)


def test_a_part_of_the_validation_set_is_its_first_examples(train, data):
    (all_of_it,) = train([NOISY[0]], data)
    (part,) = train([replace(NOISY[0], validation_size=10)], data)
    assert len(data.validation_labels) == 30
    values = {value * 10 for _, value in part.curves["validation_accuracy"]}
    assert all(math.isclose(value, round(value)) for value in values)
    assert part.curves["train_accuracy"] == all_of_it.curves["train_accuracy"]
    with pytest.raises(ConfigError, match="--validation-size 10 would cut a test set short"):
        replace(NOISY[0], validation_size=10, validation="test")


def test_the_seconds_say_what_measuring_costs(train, data):
    (record,) = train([replace(NOISY[0], csr_examples=20)], data)
    spent = [record.scalars[name] for name in ("seconds", "evaluation_seconds", "critical_sample_seconds")]
    assert all(seconds > 0 for seconds in spent)
    (none,) = train([NOISY[0]], data)
    assert none.scalars["critical_sample_seconds"] < 0.1 * none.scalars["seconds"]


def test_corrupted_examples_are_split_by_whether_the_false_or_the_true_label_is_predicted(data):
    training = Training(Cohort(tuple(NOISY)), data, torch.device("cpu"))
    for epoch in range(1, 6):
        training.train_epoch(epoch)
    rows = range(len(NOISY))
    values = training.measuring.training(training.nets, rows)
    inputs, labels = training.data.parts(slice(0, 300), rows)
    predicted = training.network.logits(*training.nets, inputs.expand(len(NOISY), *inputs.shape[1:])).argmax(
        -1
    )
    found = []
    for row, config in enumerate(training.configs):
        names = ("corrupted_fitted_false", "corrupted_predicted_true")
        if config.corruption != "randY":
            assert all(math.isnan(values[row][name]) for name in names)
            continue
        false = corrupted_examples(300, 0.4, config.seed) & (
            random_labels(300, 4, config.seed) != data.train_labels
        )
        assert 0.2 < false.sum() / 300 < 0.4  # a random label is the true one in a quarter of the cases
        for name, label in zip(names, (labels[row], data.train_labels), strict=True):
            share = (predicted[row] == label)[false].double().mean().item()
            assert values[row][name] == pytest.approx(share)
            found.append(share)
    assert max(found) > 0.5 > min(found) > 0


def test_trials_without_random_labels_have_no_curves_of_false_ones(train, data):
    split = {"corrupted_fitted_false", "corrupted_predicted_true"}
    for config, record in zip(NOISY, train(NOISY, data), strict=True):
        assert (split & record.curves.keys()) == (split if config.corruption == "randY" else set())
        if config.corruption == "randY":
            assert all(tuple(e for e, _ in record.curves[name]) == GRID for name in split)


@pytest.mark.parametrize(
    ("examples", "wrong"), [(10, 0), (999, 0), (1000, 1), (1999, 1), (5000, 5), (50_000, 50), (45_001, 45)]
)
def test_the_wrong_examples_that_999_permille_allow_are_counted_exactly(splits, examples, wrong):
    measuring = Measuring.__new__(Measuring)
    measuring._examples = examples
    assert measuring._allowed_wrong(0.999) == wrong
    assert measuring._allowed_wrong(1.0) == 0
    history = History(BASE)
    assert measuring._limit(history) == wrong
    history.add(1, {"train_accuracy": 0.9995})
    assert measuring._limit(history) == 0
    history.add(2, {"train_accuracy": 1.0})
    assert measuring._limit(history) == -1
