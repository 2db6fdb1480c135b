"""Training that was interrupted and resumed gives the records of an undisturbed one, bit for bit."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch

from memory_study import _checkpoint, datasets
from memory_study.cohort import Cohort
from memory_study.config import MODELS, TrialConfig
from memory_study.run import run_cohort

SHAPES = {"mlp": {"side": 6}, "cnn-keras": {"side": 25}, "cnn-zhang": {"side": 7}}
SEARCH = {"csr_examples": 20, "csr_radius": 40.0, "csr_gradient_step": 15.0, "csr_noise_step": 5.0}


class MachineLostError(Exception):
    """The machine is gone."""


class Kept:
    """Keeps the state after one epoch; ``deadly`` ends the training there, as losing its machine would."""

    def __init__(self, epoch=0, deadly=True, data=None):
        self.epoch, self.deadly, self.data, self.offered = epoch, deadly, data, []

    def states(self):
        return iter(() if self.data is None else (b"not a state", self.data))

    def offer(self, epoch, state):
        self.offered.append(epoch)
        if epoch == self.epoch:
            self.data = state()
            if self.deadly:
                raise MachineLostError


@pytest.fixture
def measured(measured):
    """All of a record but its seconds, and but whether it was interrupted."""

    def strip(record):
        scalars = {name: value for name, value in record.scalars.items() if name != "resumed_epoch"}
        return measured(replace(record, scalars=scalars))

    return strip


@pytest.fixture
def run(monkeypatch, tmp_path):
    def trained(configs, data, kept=None, keep_models=False):
        monkeypatch.setattr(datasets, "load", lambda config, location: data)
        cohort = Cohort(tuple(configs))
        return run_cohort(cohort, location=tmp_path, keep_models=keep_models, checkpoints=kept)

    return trained


def interrupted(run, configs, data, epoch, **more):
    """What is kept of a training that ends after ``epoch``."""
    kept = Kept(epoch)
    with pytest.raises(MachineLostError):
        run(configs, data, kept, **more)
    return kept.data


def stack(**shared):
    base = TrialConfig(**{"train_size": 42, "batch_size": 16, "csr_epochs": (0, 2)} | SEARCH | shared)
    kinds = ({"dropout": 0.3}, {"weight_decay": 0.01}, {"input_noise": 0.4}, {"hidden_noise": 0.2})
    return [
        base,
        replace(base, seed=1, corruption="randX", corruption_level=0.5, learning_rate=0.05),
        replace(base, corruption="randY", corruption_level=1.0),
        *(replace(base, regularizers=kind, seed=index % 2) for index, kind in enumerate(kinds)),
    ]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_resumed_training_gives_the_same_records_bit_for_bit(splits, run, measured, epoch, momentum):
    data = splits(train=42)
    configs = stack(width=37, epochs=6, momentum=momentum, halving_epochs=2, validation_schedule="curve")
    state = interrupted(run, configs, data, epoch)
    resumed = Kept(data=state)
    records = run(configs, data, resumed)
    assert resumed.offered == list(range(epoch + 1, 6))
    assert {record.scalars["resumed_epoch"] for record in records} == {epoch}
    assert list(map(measured, records)) == list(map(measured, run(configs, data)))


@pytest.mark.parametrize("model", MODELS)
def test_so_does_that_of_any_model(splits, run, measured, model):
    data = splits(train=42, others=10, **SHAPES[model])
    configs = stack(model=model, width=3, epochs=3, momentum=0.9)[1:5]
    state = interrupted(run, configs, data, 2)
    assert list(map(measured, run(configs, data, Kept(data=state)))) == list(
        map(measured, run(configs, data))
    )


def test_so_does_one_on_the_examples_that_a_score_leaves(splits, run, measured):
    data = splits(train=42)
    configs = [
        replace(config, pruning_score=name, pruned_share=0.4, scoring_epochs=2)
        for config, name in zip(
            stack(width=9, epochs=4)[:3], ("loss", "forgetting", "loss_sensitivity"), strict=True
        )
    ]
    state = interrupted(run, configs, data, 2)
    assert list(map(measured, run(configs, data, Kept(data=state)))) == list(
        map(measured, run(configs, data))
    )


def test_what_is_kept_is_not_asked_again_by_a_resumed_training(splits, run, measured, monkeypatch):
    data = splits(train=42)
    configs = [
        replace(config, pruning_score="loss", pruned_share=0.4, scoring_epochs=2, stop_at_convergence=True)
        for config in stack(width=9, epochs=4)[:3]
    ]
    expected = run(configs, data)
    state = interrupted(run, configs, data, 2)
    monkeypatch.setattr(
        "memory_study.run.prune", lambda *_: pytest.fail("scored again, as a GPU may not twice")
    )
    records = run(configs[1:], data, Kept(data=state))
    assert list(map(measured, records)) == list(map(measured, expected[1:]))
    assert all(record.scalars["scoring_seconds"] > 0 for record in records)


def test_so_does_adversarial_training_and_a_net_of_wide_layers(splits, run, measured):
    data = splits(train=42)
    configs = [
        replace(config, regularizers={"adversarial": 0.5, "dropout": 0.2})
        for config in stack(width=1024, epochs=3)[:2]
    ]
    state = interrupted(run, configs, data, 1)
    assert list(map(measured, run(configs, data, Kept(data=state)))) == list(
        map(measured, run(configs, data))
    )


@pytest.mark.parametrize("model", ["mlp", "cnn-zhang"])
def test_so_does_training_with_regularizers_of_targets_and_gradients(splits, run, measured, model):
    data = splits(train=42, others=10, **SHAPES[model])
    kinds = {"dropout": 0.2, "label_smoothing": 0.3, "mixup": 1.0, "sam": 0.1}
    configs = [replace(c, regularizers=kinds) for c in stack(model=model, width=5, epochs=3)[:2]]
    state = interrupted(run, configs, data, 2)
    assert list(map(measured, run(configs, data, Kept(data=state)))) == list(
        map(measured, run(configs, data))
    )


def test_the_patience_of_early_stopping_outlasts_an_interruption(splits, run, measured):
    data = splits(train=42)
    configs = [
        replace(c, regularizers={"early_stopping": 1 / p}) for p, c in enumerate(stack(width=9, epochs=60), 2)
    ]
    expected = run(configs, data)
    ends = sorted(record.scalars["epochs_trained"] for record in expected)
    last_but_one = int(ends[-1]) - 1
    assert ends[0] < last_but_one < 59
    state = interrupted(run, configs, data, last_but_one)
    assert list(map(measured, run(configs, data, Kept(data=state)))) == list(map(measured, expected))


def test_trials_that_had_left_by_then_keep_what_was_measured_and_their_nets(splits, run, measured):
    data = splits(train=42)
    base = TrialConfig(
        train_size=42, batch_size=8, width=32, momentum=0.9, epochs=25, stop_at_convergence=True, **SEARCH,
        measures=("sharpness", "training_examples"),
    )  # fmt: skip
    configs = [replace(base, learning_rate=rate, seed=seed) for seed in (0, 1) for rate in (0.1, 0.03, 0.001)]
    expected = run(configs, data, keep_models=True)
    ends = sorted(record.scalars["epochs_trained"] for record in expected)
    middle = int(ends[2])
    assert ends[0] <= middle < ends[-1]
    state = interrupted(run, configs, data, middle, keep_models=True)
    records = run(configs, data, Kept(data=state), keep_models=True)
    assert list(map(measured, records)) == list(map(measured, expected))
    assert [record.model for record in records] == [record.model for record in expected]
    for record, reference in zip(records, expected, strict=True):
        stayed = reference.scalars["epochs_trained"] > middle
        assert record.scalars.get("resumed_epoch", 0) == stayed * middle


def test_a_state_that_lacks_nets_of_trials_that_had_left_is_left_aside_where_nets_are_kept(splits, run):
    data = splits(train=42)
    fast = TrialConfig(train_size=42, batch_size=8, width=32, momentum=0.9, epochs=9, learning_rate=0.01,
                       stop_at_convergence=True, csr_examples=0)  # fmt: skip
    both = [fast, replace(fast, learning_rate=1e-5)]
    (ends, _) = (int(record.scalars["epochs_trained"]) for record in run(both, data))
    assert 1 < ends < 8
    for epoch, first in ((1, 2), (8, 1)):  # then none has left, and one
        resumed = Kept(data=interrupted(run, both, data, epoch))
        records = run(both, data, resumed, keep_models=True)
        assert resumed.offered == list(range(first, 9))
        assert all(record.model for record in records)


def test_a_part_of_the_cohort_goes_on_from_the_state_of_the_whole(splits, run, measured):
    data, configs = splits(train=42), stack(width=9, epochs=5)
    state = interrupted(run, configs, data, 3)
    part = [configs[4], configs[1]]
    resumed = Kept(data=state)
    records = run(part, data, resumed)
    assert resumed.offered == [4]
    assert list(map(measured, records)) == list(map(measured, run(part, data)))


def test_trials_that_had_all_left_are_not_trained_again(splits, run, measured):
    data = splits(train=42)
    fast = TrialConfig(train_size=42, batch_size=8, width=32, momentum=0.9, epochs=25, learning_rate=0.1,
                       stop_at_convergence=True, csr_examples=0)  # fmt: skip
    slow = replace(fast, learning_rate=1e-5)
    state = interrupted(run, [fast, slow], data, 24)
    resumed = Kept(data=state)
    records = run([fast], data, resumed)
    assert resumed.offered == []
    assert list(map(measured, records)) == list(map(measured, run([fast], data)))


def test_seconds_of_both_parts_are_counted(splits, run):
    data, configs = splits(train=42), stack(width=9, epochs=5)[:1]
    state = interrupted(run, configs, data, 4)
    before = torch.load(io.BytesIO(state[_checkpoint.DIGEST_BYTES :]), weights_only=True)["histories"][
        configs[0].id
    ]
    (record,) = run(configs, data, Kept(data=state))
    assert record.scalars["seconds"] > before["scalars"]["seconds"] > 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_state_cut_short_is_left_aside(splits, run, measured, share):
    data, configs = splits(train=42), stack(width=9, epochs=4)
    state = interrupted(run, configs, data, 2)
    resumed = Kept(data=state[: int(share * len(state))])
    records = run(configs, data, resumed)
    assert resumed.offered == [1, 2, 3]
    assert list(map(measured, records)) == list(map(measured, run(configs, data)))


def test_a_state_of_another_version_of_the_code_is_left_aside(splits, run, monkeypatch):
    data, configs = splits(train=42), stack(width=9, epochs=3)
    state = interrupted(run, configs, data, 2)
    monkeypatch.setattr(_checkpoint, "fingerprint", lambda: "another")
    resumed = Kept(data=state)
    run(configs, data, resumed)
    assert resumed.offered == [1, 2]


def test_a_state_without_one_of_the_trials_is_left_aside(splits, run):
    data, configs = splits(train=42), stack(width=9, epochs=3)
    state = interrupted(run, configs[:2], data, 2)
    resumed = Kept(data=state)
    run(configs[:3], data, resumed)
    assert resumed.offered == [1, 2]


def test_nothing_is_offered_after_the_last_epoch(splits, run):
    kept = Kept(deadly=False)
    run(stack(width=9, epochs=3), splits(train=42), kept)
    assert kept.offered == [1, 2]
