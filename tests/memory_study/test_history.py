from __future__ import annotations

import math

import pytest

from memory_study._history import History
from memory_study.config import TrialConfig


def finished(accuracies, validation=None, losses=None, epochs=None, **fields):
    """The record of a trial with these training accuracies, epoch by epoch."""
    history = History(TrialConfig(epochs=epochs or len(accuracies), **fields))
    for index, accuracy in enumerate(accuracies):
        values = {
            "train_accuracy": accuracy,
            "train_loss": losses[index] if losses else 1.0,
            "validation_accuracy": validation[index] if validation else 0.5,
        }
        history.add(index + 1, values)
        history.spend(index + 1, {"seconds": 0.5})
    history.test_accuracy = 0.25
    return history.record()


def convergence(record, suffix=""):
    return record.scalars[f"converged{suffix}"], record.scalars[f"convergence_epoch{suffix}"]


def test_a_trial_converges_at_the_first_epoch_that_gets_every_example_right():
    record = finished([0.9, 1.0, 0.999, 1.0])
    assert convergence(record) == (1, 2)


def test_one_wrong_example_in_fifty_thousand_is_no_convergence():
    record = finished([0.9, 49_999 / 50_000])
    assert convergence(record) == (0, 2)
    assert convergence(record, "_999") == (1, 2)


def test_convergence_at_999_permille_has_a_column_of_its_own():
    record = finished([0.99, 0.9985, 0.999, 0.9999, 1.0])
    assert convergence(record, "_999") == (1, 3)
    assert convergence(record) == (1, 5)


def test_a_trial_that_never_converges_is_censored_at_its_last_epoch():
    record = finished([0.5, 0.6, 0.7])
    assert convergence(record) == convergence(record, "_999") == (0, 3)


def test_the_best_validation_epoch_is_the_first_that_reached_the_best_accuracy():
    record = finished([0.5] * 4, validation=[0.6, 0.8, 0.7, 0.8])
    assert record.scalars["best_validation_accuracy"] == 0.8
    assert record.scalars["best_validation_epoch"] == 2


@pytest.mark.parametrize(("strength", "stops"), [(1.0, 3), (0.5, 6), (1 / 3, 7), (0.25, None), (0.0, None)])
def test_early_stopping_counts_validations_without_a_new_best(strength, stops):
    history = History(TrialConfig(epochs=20, regularizers={"early_stopping": strength, "dropout": 0.5}))
    ends = None
    for epoch, accuracy in enumerate([0.5, 0.6, 0.6, 0.7, 0.1, 0.7, 0.7], 1):
        history.add(epoch, {"train_accuracy": 0.5, "train_loss": 1.0})
        history.add(epoch, {"validation_accuracy": accuracy})
        ends = ends or (epoch if history.stopped else None)
    assert ends == stops


def test_early_stopping_waits_for_ever_where_there_is_nothing_to_validate_on():
    history = History(TrialConfig(epochs=20, regularizers={"early_stopping": 1.0}))
    for epoch in range(1, 5):
        history.add(epoch, {"train_accuracy": 0.5, "validation_accuracy": math.nan})
        assert not history.stopped


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_trial_whose_loss_is_no_longer_finite_has_diverged_and_has_no_test_accuracy(loss):
    record = finished([0.5, 0.6, 0.1], losses=[1.0, 0.9, loss], epochs=9)
    assert record.scalars["diverged"] == 1
    assert record.scalars["epochs_trained"] == 3
    assert "test_accuracy" not in record.scalars
    assert record.curves["train_loss"] == ((1, 1.0), (2, 0.9))
    assert convergence(record) == (0, 3)


def test_a_trial_that_trained_to_its_end_has_its_test_accuracy_and_time():
    scalars = finished([0.5, 0.6]).scalars
    assert scalars["diverged"] == 0
    assert scalars["test_accuracy"] == 0.25
    assert scalars["seconds"] == 1.0


def test_the_best_epoch_and_convergence_count_between_the_points_of_the_curves():
    accuracies, validation = [0.5] * 900, [0.5] * 900
    accuracies[776], validation[777] = 1.0, 0.9
    record = finished(accuracies, validation)
    assert 777 not in dict(record.curves["train_accuracy"])
    assert convergence(record) == (1, 777)
    assert record.scalars["best_validation_epoch"] == 778
    assert len(record.curves["train_accuracy"]) <= 64


def test_a_trial_that_stops_early_has_its_last_epoch_on_its_curves():
    record = finished([0.5] * 777 + [1.0], epochs=900)
    assert record.curves["train_accuracy"][-1] == (778, 1.0)
