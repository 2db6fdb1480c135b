"""Scores of training examples, and trials that are trained on those that a score leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from memory_study import _pruning, cost, scores
from memory_study._pruning import auroc, kept, prune
from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.measures import loss_sensitivity
from memory_study.measures.accuracy import predict
from memory_study.train import Training

CPU = torch.device("cpu")
BASE = TrialConfig(
    train_size=40, width=8, batch_size=16, epochs=5, learning_rate=0.1, momentum=0.5, csr_examples=10,
    pruning_score="loss", pruned_share=0.3, scoring_epochs=4,
)  # fmt: skip
NOISES = (
    {},
    {"corruption": "randX", "corruption_level": 0.5},
    {"corruption": "randY", "corruption_level": 0.5},
)
every_score = pytest.mark.parametrize("name", scores.names())


def cohort(**shared):
    """Every score, both ends, two seeds, every kind of noise by turns."""
    base = replace(BASE, **shared)
    chosen = [n for n in scores.names() if n != "loss_sensitivity" or base.model == "mlp"]
    ends = [(name, end) for name in chosen for end in ("low", "high") if (name, end) != ("random", "high")]
    return [
        replace(base, pruning_score=name, pruned_end=end, seed=place % 2, **NOISES[place % 3])
        for place, (name, end) in enumerate(ends)
    ]


def first(splits, *configs):
    with torch.no_grad():
        training = Training(Cohort(tuple(config.first_training for config in configs)), splits, CPU)
        found = _pruning.score(training, scores.names())
    return training, found


@every_score
def test_a_score_is_a_number_for_each_example_and_tells_some_apart(name, splits):
    _, found = first(splits(), *(replace(BASE, **noise) for noise in NOISES))
    values = found[name]
    assert values.shape == (3, 40)
    assert not values.isnan().any()
    assert all(len(row.unique()) > 1 for row in values)


def test_scores_are_what_they_say(splits):
    training, found = first(splits(), replace(BASE, **NOISES[2]))
    net = training.network
    inputs, labels = training.data.parts(slice(0, 40), [0])
    losses = predict(net, *training.nets, inputs, labels).losses
    torch.testing.assert_close(found["loss"], losses.double())
    error = torch.softmax(net.logits(*training.nets, inputs), -1) - torch.nn.functional.one_hot(labels, 4)
    torch.testing.assert_close(found["el2n"], error.square().sum(-1).sqrt().double())
    pixels = inputs.clone().requires_grad_()
    with torch.enable_grad():
        logits = net.logits(*training.nets, pixels)
        torch.nn.functional.cross_entropy(logits[0], labels[0], reduction="sum").backward()
    torch.testing.assert_close(found["input_gradient"].float(), pixels.grad.flatten(2).abs().sum(-1))


def test_an_example_is_forgotten_as_often_as_it_turns_from_right_to_wrong(splits, monkeypatch):
    training = Training(Cohort((BASE.first_training,)), splits(), CPU)
    forgetting = scores.find("forgetting")(training)
    after = [[0, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 1, 1, 1, 0], [0, 1, 0, 0, 1]]
    module = __import__("memory_study.scores.forgetting", fromlist=["predict"])
    forgetting._right, forgetting._ever = (torch.zeros(1, 5, dtype=torch.bool) for _ in range(2))
    forgetting._events = torch.zeros(1, 5)
    for epoch, right in enumerate(after, 1):
        found = type("Found", (), {"right": torch.tensor([right]).bool()})
        monkeypatch.setattr(module, "predict", lambda *_, found=found: found)
        monkeypatch.setattr(type(forgetting), "passes", lambda self: [()])
        forgetting.after_epoch(epoch, ())
    assert forgetting.values().tolist() == [
        [4, 0, 2, 1, 1]
    ]  # of 4 epochs at most every other can end with forgetting


def test_the_loss_sensitivity_is_that_of_the_measure(splits, train):
    config = TrialConfig(
        train_size=40, width=8, batch_size=16, epochs=4, learning_rate=0.1, csr_examples=0, dtype="float64",
        measures=("loss_sensitivity",),
    )  # fmt: skip
    (record,) = train([config], splits())
    pruned = replace(
        config, measures=(), pruning_score="loss_sensitivity", pruned_share=0.5, scoring_epochs=4
    )
    _, found = first(splits(), pruned)
    np.testing.assert_allclose(found["loss_sensitivity"][0], record.arrays["sensitivity"], rtol=1e-6)


def test_a_score_that_needs_no_training_trains_nothing(splits, monkeypatch):
    monkeypatch.setattr(Training, "train_epoch", lambda *_: pytest.fail("trained"))
    prune(Cohort((replace(BASE, pruning_score="random"),)), splits(), CPU)


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=30),
    st.floats(0.01, 0.9),
    st.sampled_from(["low", "high"]),
)
def test_what_is_dropped_is_at_its_end_and_of_the_number_asked_for(values, share, end):
    size = len(values)
    if not 0 < round(share * size) < size:
        return
    config = replace(BASE, train_size=size, pruned_share=share, pruned_end=end)
    found = kept(torch.tensor(values).double(), config)
    assert found.tolist() == sorted(set(found.tolist()))
    assert len(found) == size - round(share * size)
    left = [values[place] for place in found]
    gone = [value for place, value in enumerate(values) if place not in set(found.tolist())]
    assert max(gone) <= min(left) if end == "low" else min(gone) >= max(left)


def test_equal_scores_are_dropped_by_lot_and_what_is_no_number_is_highest():
    same = torch.ones(100).double()
    one, other = (kept(same, replace(BASE, train_size=100, seed=seed)).tolist() for seed in (0, 1))
    assert one != other
    assert one != list(range(70))
    broken = torch.arange(10).double()
    broken[3] = torch.nan
    assert 3 not in kept(broken, replace(BASE, train_size=10, pruned_end="high", pruned_share=0.1))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_the_area_under_the_curve_is_that_of_scikit_learn(pairs):
    labels, values = np.array([a for a, _ in pairs]), torch.tensor([float(b) for _, b in pairs])
    if not 0 < labels.sum() < len(labels):
        return
    found = auroc(values[labels], values[~labels])
    assert found == pytest.approx(roc_auc_score(labels, values))


def test_a_trial_is_trained_and_evaluated_on_the_examples_that_it_keeps(splits, train):
    data, config = splits(), replace(BASE, **NOISES[2], csr_examples=0)
    left = prune(Cohort((config,)), data, CPU)[config.id].kept
    assert len(left) == 28
    labels = Training(Cohort((config.first_training,)), data, CPU).data.labels[0]
    smaller = replace(data, train_inputs=data.train_inputs[left], train_labels=labels[left])
    plain = TrialConfig(
        train_size=28, width=8, batch_size=16, epochs=5, learning_rate=0.1, momentum=0.5, csr_examples=0,
    )  # fmt: skip
    (pruned,), (same,) = train([config], data), train([plain], smaller)
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        assert pruned.curves[name] == same.curves[name]
    assert pruned.scalars["test_accuracy"] == same.scalars["test_accuracy"]


def test_random_inputs_stay_with_their_examples(splits):
    config = replace(BASE, **NOISES[1])
    whole = Training(Cohort((replace(config, pruning_score="none"),)), splits(), CPU).data
    left = torch.tensor([1, 5, 6, 30])
    some = Training(Cohort((config,)), splits(), CPU, {config.id: left}).data
    assert len(some) == 4
    for found in (some.parts(slice(1, 4), [0])[0], some.batch(torch.tensor([[1, 2, 3]]))[0]):
        torch.testing.assert_close(found, whole.parts(slice(0, 40), [0])[0][:, left[1:]])


def test_a_pruned_trial_finds_false_labels_where_there_are_some(splits, train):
    records = train([replace(BASE, **noise) for noise in NOISES], splits())
    assert ["flipped_auroc" in record.scalars for record in records] == [False, False, True]
    assert 0.5 < records[2].scalars["flipped_auroc"] <= 1
    assert all(record.scalars["scoring_seconds"] > 0 for record in records)


@pytest.mark.parametrize(("model", "side"), [("mlp", 6), ("cnn-zhang", 7)])
def test_a_stack_of_pruned_trials_gives_each_what_it_gets_alone(splits, train, measured, model, side):
    data, configs = splits(side=side), cohort(model=model, width=3)
    together = train(configs, data)
    alone = [train([config], data)[0] for config in configs]
    assert list(map(measured, together)) == list(map(measured, alone))


def test_trials_leave_a_pruned_stack_without_the_others_noticing(splits, train, measured):
    data = splits()
    configs = [
        replace(config, learning_rate=rate)
        for config, rate in zip(
            cohort(epochs=15, stop_at_convergence=True), [0.3, 0.1, 0.02] * 4, strict=False
        )
    ]
    records = train(configs, data)
    assert len({record.scalars["epochs_trained"] for record in records}) > 1
    assert list(map(measured, records)) == [measured(train([config], data)[0]) for config in configs]


@pytest.mark.parametrize("name", [name for name in scores.names() if name != "random"])
def test_what_was_dropped_by_lot_because_the_first_training_diverged_says_so(name, splits, train):
    sound = replace(BASE, pruning_score=name, csr_examples=0)
    lost, lot = replace(sound, learning_rate=1e30), replace(sound, pruning_score="random", learning_rate=1e30)
    records = train([sound, lost, lot], splits())
    assert [record.scalars["scores_finite"] for record in records] == [1, 0, 1]


def test_a_score_that_overflows_is_told_where_only_some_examples_have_none(splits, train, monkeypatch):
    monkeypatch.setattr(
        scores.find("loss"),
        "values",
        lambda self: torch.arange(40.0).masked_fill(torch.arange(40) < 3, torch.inf)[None],
    )
    (record,) = train([replace(BASE, **NOISES[2])], splits())
    assert record.scalars["scores_finite"] == 0
    assert "flipped_auroc" not in record.scalars


def test_first_trainings_whose_weights_are_kept_run_few_at_a_time_and_find_the_same(splits, monkeypatch):
    configs = tuple(replace(BASE, pruning_score="loss_sensitivity", seed=seed) for seed in range(5))
    stacks = []
    scored = _pruning.score

    def counted(training, names):
        stacks.append(len(training.configs))
        return scored(training, names)

    monkeypatch.setattr(_pruning, "score", counted)
    with torch.no_grad():
        together = prune(Cohort(configs), splits(), CPU)
        held = 4 * cost.trajectory_floats(BASE.first_training, (1, 6, 6), 4)
        monkeypatch.setattr(cost, "HELD_BYTES", int(2.5 * held))
        apart = prune(Cohort(configs), splits(), CPU)
    assert stacks == [5, 2, 2, 1]
    assert all(torch.equal(apart[trial].kept, together[trial].kept) for trial in together)


def test_the_weights_of_a_first_training_are_not_converted_all_at_once(splits, monkeypatch):
    unrolled, seen = loss_sensitivity.loss_sensitivity, []

    def types(trajectory, inputs, *more):
        seen.append({tensor.dtype for layers in trajectory.weights for layer in layers for tensor in layer})
        return unrolled(trajectory, inputs, *more)

    monkeypatch.setattr(loss_sensitivity, "loss_sensitivity", types)
    _, found = first(splits(), BASE)
    assert seen == [{torch.float32}]
    assert not torch.equal(found["loss_sensitivity"], found["loss_sensitivity"].float().double())
