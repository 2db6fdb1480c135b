"""The loss sensitivity, held against autograd through the whole training, written out here without the project's trainer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from memory_study import models
from memory_study._pruning import prune
from memory_study.cohort import Cohort
from memory_study.config import ConfigError, TrialConfig
from memory_study.corruption import random_inputs, random_labels
from memory_study.cost import sensitivity_floats, trajectory_floats
from memory_study.datasets._splits import _own_classes
from memory_study.measures._unrolled import Layer, Trajectory, input_gradients
from memory_study.measures.loss_sensitivity import KINDS, gini, loss_sensitivity
from memory_study.rng import stream
from memory_study.train import Training

CPU = torch.device("cpu")

BASE = TrialConfig(
    train_size=22, width=7, depth=2, batch_size=8, epochs=4, learning_rate=0.3, halving_epochs=3, csr_examples=0,
    dtype="float64", measures=("loss_sensitivity",), sensitivity_points=40,
    sensitivity_class_points=40,
)  # fmt: skip
RANDOM = [
    {},
    {"corruption": "randX", "corruption_level": 1.0},
    {"corruption": "randY", "corruption_level": 1.0},
]
COHORT = [
    replace(BASE, seed=seed, learning_rate=0.3 - 0.1 * seed, **noise) for seed in (0, 1) for noise in RANDOM
]


@pytest.fixture
def run(train, splits):
    return lambda configs: train(list(configs), splits(train=22, side=4, classes=3))


def logits(weights: list[Tensor], inputs: Tensor) -> Tensor:
    for index in range(0, len(weights), 2):
        inputs = (inputs.relu() if index else inputs) @ weights[index] + weights[index + 1]
    return inputs


def losses(weights: list[Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits(weights, inputs), labels, reduction="none")


def unrolled(
    config: TrialConfig, inputs: Tensor, labels: Tensor, classes: int
) -> Iterator[tuple[int, list[Tensor]]]:
    """SGD step and weights after it, all still depending on ``inputs``."""
    network = models.create(config, (1, 1, inputs.shape[1]), classes)
    drawn = network.initialize(stream(config.seed, "initial weights"))
    weights = [tensor.double().requires_grad_() for tensor in drawn.values()]
    velocity = [torch.zeros_like(tensor) for tensor in weights]
    step = 0
    for epoch in range(1, config.epochs + 1):
        rate = config.learning_rate * 0.5 ** ((epoch - 1) // config.halving_epochs)
        order = torch.randperm(len(labels), generator=stream(config.seed, "batches", epoch))
        for batch in order.split(config.batch_size):
            loss = losses(weights, inputs[batch], labels[batch]).mean()
            gradient = torch.autograd.grad(loss, weights, create_graph=True)
            velocity = [config.momentum * v - rate * g for v, g in zip(velocity, gradient, strict=True)]
            weights = [w + v for w, v in zip(weights, velocity, strict=True)]
            step += 1
            yield step, weights


def expected(config: TrialConfig, data) -> dict[str, dict[int, Tensor]]:
    """Gradients [example, pixel] by kind and SGD step, and by class: [class, example, pixel]."""
    images, labels = data.train_inputs, data.train_labels
    if config.corruption == "randX":
        images = random_inputs(images.shape, data.mean, data.std, config.seed)
    if config.corruption == "randY":
        labels = random_labels(len(labels), len(data.classes), config.seed)
    inputs = ((images - data.mean[0]) / data.std[0]).flatten(1).double().requires_grad_()
    found: dict[str, dict[int, Tensor]] = {kind: {} for kind in (*KINDS, "class")}
    for step, weights in unrolled(config, inputs, labels, len(data.classes)):
        each = losses(weights, inputs, labels) / len(labels)
        fixed = [tensor.detach() for tensor in weights]
        found["total"][step] = torch.autograd.grad(each.sum(), inputs, retain_graph=True)[0]
        found["direct"][step] = torch.autograd.grad(losses(fixed, inputs, labels).mean(), inputs)[0]
        found["indirect"][step] = found["total"][step] - found["direct"][step]
        by_class = (
            torch.autograd.grad(each[labels == k].sum(), inputs, retain_graph=True)[0] for k in range(3)
        )
        found["class"][step] = torch.stack(list(by_class))
    found["labels"] = {0: labels}
    return found


def norms(gradients: dict[int, Tensor], order: float = 1) -> Tensor:
    """After the first epoch: [step, ..., example]."""
    return torch.stack([torch.linalg.vector_norm(g, order, -1) for step, g in gradients.items() if step >= 3])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("config", COHORT)
def test_what_is_recorded_is_autograd_through_all_of_the_training(config, momentum, run, splits):
    config = replace(config, momentum=momentum)
    (record,) = run([config])
    real = expected(config, splits(train=22, side=4, classes=3))
    labels = real["labels"][0]
    for kind, suffix in (("total", ""), ("indirect", "_indirect"), ("direct", "_direct")):
        array = record.arrays[f"sensitivity{suffix}"]
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, norms(real[kind]).mean(0), rtol=1e-6)
        curve = dict(record.curves[f"sensitivity_gini{suffix}"])
        assert list(curve) == list(range(3, 13))
        np.testing.assert_allclose(list(curve.values()), gini(norms(real[kind])), rtol=1e-9)
    for suffix, order in (("_l2", 2.0), ("_max", float("inf"))):
        curve = [value for _, value in record.curves[f"sensitivity_gini{suffix}"]]
        np.testing.assert_allclose(curve, gini(norms(real["total"], order)), rtol=1e-9)
    by_class = norms(real["class"]).mean(0)
    between = np.stack([by_class[:, labels == j].mean(1) for j in range(3)], 1)
    np.testing.assert_allclose(record.arrays["class_sensitivity"], between, rtol=1e-6)
    share = 1 - np.trace(between) / between.sum()
    assert record.scalars["sensitivity_off_diagonal"] == pytest.approx(share, rel=1e-9)
    assert record.scalars["sensitivity_finite"] == 1


def invented(momentum: float) -> tuple[Trajectory, Tensor, Tensor]:
    """Two replicas of a net in training on examples of which some are seen rarely and the last one never."""
    generator = torch.Generator().manual_seed(4)
    double = {"generator": generator, "dtype": torch.float64}
    inputs, labels = torch.rand(2, 11, 5, **double), torch.randint(3, (2, 11), generator=generator)
    weights = [
        torch.randn(2, *shape, **double) / 2 for shape in ((5, 6), (1, 6), (6, 4), (1, 4), (4, 3), (1, 3))
    ]
    velocity = [torch.zeros_like(tensor) for tensor in weights]
    trajectory = Trajectory(momentum)
    for step in range(10):
        trajectory.weights.append([Layer(*pair) for pair in zip(weights[::2], weights[1::2], strict=True)])
        size = 4 if step % 3 < 2 else 2
        examples = torch.stack([torch.randperm(10, generator=generator)[:size] for _ in range(2)])
        trajectory.examples.append(examples)
        trajectory.rates.append(torch.tensor([0.5, 0.2], dtype=torch.float64) / (1 + step // 5))
        for row in range(2):
            own = [tensor[row].requires_grad_() for tensor in weights]
            batch = examples[row]
            gradient = torch.autograd.grad(losses(own, inputs[row, batch], labels[row, batch]).mean(), own)
            for place, each in enumerate(gradient):
                velocity[place][row] = momentum * velocity[place][row] - trajectory.rates[-1][row] * each
        weights = [(w + v).detach() for w, v in zip(weights, velocity, strict=True)]
    return trajectory, inputs, labels


def replayed(trajectory: Trajectory, inputs: Tensor, labels: Tensor, row: int) -> list[list[Tensor]]:
    """The weights of a replica before each step, as a graph from ``inputs`` [example, pixel]."""
    weights = [tensor[row] for layer in trajectory.weights[0] for tensor in layer]
    velocity = [torch.zeros_like(tensor) for tensor in weights]
    passed = []
    for examples, rates in zip(trajectory.examples, trajectory.rates, strict=True):
        passed.append(weights)
        batch = examples[row]
        own = [tensor if tensor.requires_grad else tensor.detach().requires_grad_() for tensor in weights]
        loss = losses(own, inputs[batch], labels[batch]).mean()
        gradient = torch.autograd.grad(loss, own, create_graph=True)
        velocity = [trajectory.momentum * v - rates[row] * g for v, g in zip(velocity, gradient, strict=True)]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
    return passed


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_gradients_equal_autograd_through_the_unrolled_updates(momentum):
    trajectory, inputs, labels = invented(momentum)
    steps = [3, 5, 5, 9]
    parts = torch.rand(2, 11, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    direct, indirect = input_gradients(trajectory, inputs, labels, steps, parts)
    for row in range(2):
        images = inputs[row].clone().requires_grad_()
        passed = replayed(trajectory, images, labels[row], row)
        for place, step in enumerate(steps):
            objective = (losses(passed[step], images, labels[row]) * parts[row, :, place]).sum() / 11
            total = torch.autograd.grad(objective, images, retain_graph=True)[0]
            fixed = losses([tensor.detach() for tensor in passed[step]], images, labels[row])
            at_once = torch.autograd.grad((fixed * parts[row, :, place]).sum() / 11, images)[0]
            assert float((direct[row, :, place] - at_once).abs().max()) < 1e-12
            assert float((direct + indirect)[row, :, place].sub(total).abs().max()) < 1e-12
            assert float(indirect[row, :, place].abs().max()) > 1e-4


def test_an_example_that_no_batch_held_has_no_indirect_sensitivity():
    trajectory, inputs, labels = invented(0.0)
    found = loss_sensitivity(trajectory, inputs, labels, [1, 9])
    seen = torch.zeros(2, 11, dtype=torch.bool)
    for step, place in ((1, 0), (9, 1)):
        for examples in trajectory.examples[:step]:
            seen.scatter_(1, examples, True)
        assert not found["indirect"][:, ~seen, place].any()
        assert found["indirect"][0, 0, seen[0], place].all()  # of the other, some examples pass no ReLU
    assert not seen[:, 10].any()
    assert torch.equal(found["total"][:, :, 10], found["direct"][:, :, 10])


def test_gradients_do_not_depend_on_how_many_are_computed_at_once(monkeypatch):
    trajectory, inputs, labels = invented(0.5)
    together = loss_sensitivity(trajectory, inputs, labels, [2, 4, 7, 9])
    monkeypatch.setattr("memory_study.cost.OBJECTIVE_FLOATS", 1)
    alone = loss_sensitivity(trajectory, inputs, labels, [2, 4, 7, 9])
    for kind in KINDS:
        torch.testing.assert_close(alone[kind], together[kind], rtol=1e-12, atol=1e-15)


def test_reordering_a_cohort_reorders_its_results_only(run, measured):
    forwards, backwards = run(COHORT), run(COHORT[::-1])[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert measured(one) == measured(other)
        for name, array in one.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[name])


def test_a_trial_that_stops_early_is_unrolled_from_its_own_last_step(run):
    stopping = [
        replace(config, stop_at_convergence=True, epochs=60, halving_epochs=0) for config in COHORT[:2]
    ]
    records = run(stopping)
    ends = [record.curves["sensitivity_gini"][-1][0] for record in records]
    assert ends == [3 * record.scalars["epochs_trained"] for record in records]
    assert len(set(ends)) == 2
    for config, record, epochs in zip(stopping, records, ends, strict=True):
        (alone,) = run([replace(config, stop_at_convergence=False, epochs=int(epochs) // 3)])
        last = [found.curves["sensitivity_gini"][-1][1] for found in (alone, record)]
        assert last[0] == pytest.approx(last[1], rel=1e-9)


def test_of_the_examples_that_are_kept_it_is_measured_from_their_own_first_epochs_end_on(run):
    (record,) = run([replace(BASE, pruning_score="loss", pruned_share=0.5, scoring_epochs=1)])
    assert record.arrays["sensitivity"].shape == (11,)
    assert [step for step, _ in record.curves["sensitivity_gini"]] == list(range(2, 9))


def test_sensitivities_that_overflow_are_said_to_and_not_recorded(run, monkeypatch):
    def overflowing(*arguments):
        found = loss_sensitivity(*arguments)
        found["indirect"][0, 0, 3, -1] = float("inf")
        return found

    monkeypatch.setattr("memory_study.measures.loss_sensitivity.loss_sensitivity", overflowing)
    (record,) = run([BASE])
    assert record.scalars["sensitivity_finite"] == 0
    assert not record.arrays
    assert not [name for name in (*record.curves, *record.scalars) if name.startswith("sensitivity_")][1:]


def test_a_class_for_each_example_has_nothing_to_validate_and_no_classes_to_compare(train, splits):
    config = replace(BASE, labels="example")
    (record,) = train([config], _own_classes(splits(train=22, side=4)))
    assert not [name for name in (*record.curves, *record.scalars) if "validation" in name or "test" in name]
    assert "class_sensitivity" not in record.arrays
    assert record.arrays["sensitivity"].shape == (22,)
    assert record.scalars["sensitivity_finite"] == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"dtype": "float32"}, "use --dtype float64"),
        ({"model": "cnn-zhang"}, "use --model mlp"),
        ({"regularizers": {"dropout": 0.5, "weight_decay": 0.1}}, "not dropout, weight_decay"),
    ],
)
def test_training_that_cannot_be_unrolled_is_refused(fields, says):
    with pytest.raises(ConfigError, match=says):
        replace(BASE, **fields)


values = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda found: sum(found) > 1e-6)


@given(values)
def test_gini_is_half_the_mean_difference_over_the_mean(found):
    array = np.array(found)
    differences = np.abs(array[:, None] - array).mean()
    coefficient = float(gini(torch.tensor(array)))
    assert coefficient == pytest.approx(differences / (2 * array.mean()), abs=1e-9)
    assert -1e-12 <= coefficient <= 1 - 1 / len(found) + 1e-12


@given(values, st.floats(1e-3, 1e3), st.randoms())
def test_gini_knows_neither_unit_nor_order(found, unit, random):
    other = [unit * value for value in random.sample(found, len(found))]
    assert float(gini(torch.tensor(other, dtype=torch.float64))) == pytest.approx(
        float(gini(torch.tensor(found, dtype=torch.float64))), abs=1e-9
    )


def test_gini_is_0_for_equal_values_and_largest_for_a_single_one():
    assert float(gini(torch.full((7,), 3.0))) == pytest.approx(0)
    assert float(gini(torch.tensor([0.0, 0.0, 5.0, 0.0]))) == pytest.approx(0.75)


def unrolling(configs, data):
    """A measure that is about to look at a cohort after its last epoch."""
    kept = {trial: pruned.kept for trial, pruned in prune(Cohort(tuple(configs)), data, CPU).items()}
    training = Training(Cohort(tuple(configs)), data, CPU, kept)
    (measure,) = training.measures
    measure.before_training()
    for epoch in range(1, configs[0].epochs + 1):
        training.train_epoch(epoch)
        if epoch < configs[0].epochs:
            measure.after_epoch(epoch, [])
    return measure


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"depth": 0},
        {"depth": 1, "width": 30},
        {"momentum": 0.9},
        {"labels": "example"},
        {"batch_size": 22},
        {"pruning_score": "random", "pruned_share": 0.5},
        {"sensitivity_points": 3, "sensitivity_class_points": 1},
    ],
)
@torch.no_grad()
def test_the_memory_of_what_is_measured_is_known_beforehand(fields, splits, live_bytes, monkeypatch):
    monkeypatch.setattr("memory_study.cost.OBJECTIVE_FLOATS", 8 * 16 * 5)
    config = replace(BASE, **fields)
    data = splits(train=22, side=4, classes=3)
    measure = unrolling([config], data if config.labels == "data" else _own_classes(data))
    with live_bytes:
        measure.after_epoch(config.epochs, [0])
    shape = (1, 4, 4), 3
    weights = sum(t.numel() for layers in measure.trajectory.weights for layer in layers for t in layer)
    assert weights == trajectory_floats(config, *shape)
    counted = sensitivity_floats(config, *shape) - weights
    assert counted / 2 < live_bytes.most / 8 <= counted


LONG = [
    replace(config, epochs=40, width=12, sensitivity_points=3, sensitivity_class_points=1)
    for config in COHORT[:3]
]


@pytest.mark.parametrize("leaving", [[0, 1, 2], [0, 2], [1, 2]])
@torch.no_grad()
def test_replicas_that_leave_a_gpu_together_do_not_copy_what_they_went_through(
    leaving, splits, live_bytes, monkeypatch
):
    monkeypatch.setattr("memory_study.cost.OBJECTIVE_FLOATS", 8 * 16)
    measure = unrolling(LONG, splits(train=22, side=4, classes=3))
    measure.training.device = torch.device("cuda")  # all that the measure asks it for
    with live_bytes:
        measure.after_epoch(40, leaving)
    weights = trajectory_floats(LONG[0], (1, 4, 4), 3)
    counted = sensitivity_floats(LONG[0], (1, 4, 4), 3) - weights
    assert live_bytes.most / 8 <= len(leaving) * counted < weights


@torch.no_grad()
def test_what_replicas_that_stay_went_through_is_there_twice_for_a_step_at_a_time(splits, live_bytes):
    with live_bytes:
        measure = unrolling(LONG, splits(train=22, side=4, classes=3))
        kernels = [measure.trajectory.weights[step][1].kernel[[2, 0]] for step in (0, 7)]
        held = live_bytes.most
        measure.keep([2, 0])
    assert live_bytes.most < 1.1 * held
    for step, kernel in zip((0, 7), kernels, strict=True):
        assert torch.equal(measure.trajectory.weights[step][1].kernel, kernel)
