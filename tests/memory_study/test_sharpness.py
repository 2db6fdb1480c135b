"""The largest eigenvalue of the Hessian, against dense Hessians, other libraries and other stacks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch.nn.functional import cross_entropy

from memory_study.cohort import Cohort
from memory_study.config import ConfigError, TrialConfig
from memory_study.cost import LANCZOS_COPIES, graph_bytes, replica_cost
from memory_study.measures import _hessian
from memory_study.measures._hessian import Hessian, largest_eigenvalue
from memory_study.train import Training

BASE = TrialConfig(
    train_size=40, width=8, batch_size=8, epochs=8, learning_rate=0.1, csr_examples=0, dtype="float64",
    measures=("sharpness",), sharpness_loss=0.8,
)  # fmt: skip
NOISES = (
    {},
    {"corruption": "randX", "corruption_level": 0.5},
    {"corruption": "randY", "corruption_level": 1.0},
)


def trained(configs, splits, epochs=3):
    """A cohort after some epochs, before any measure."""
    training = Training(Cohort(tuple(configs)), splits, torch.device("cpu"))
    with torch.no_grad():
        for epoch in range(1, epochs + 1):
            training.train_epoch(epoch)
    return training


def hessian_of(training):
    rows = range(len(training.configs))
    return Hessian(
        training.network, training.nets, lambda part: training.data.parts(part, rows), len(training.data)
    )


def plain_loss(training, row):
    """The training loss of a replica as torch's own layers compute it, and their parameters."""
    nets, (inputs, labels) = (
        training.nets.keep([row]),
        training.data.parts(slice(0, len(training.data)), [row]),
    )
    layers, state = training.network.layers(*nets)
    net = torch.nn.Sequential(*[getattr(torch.nn, kind)(**arguments) for kind, arguments in layers]).double()
    net.load_state_dict(state)
    return cross_entropy(net.eval()(inputs[0]), labels[0]), list(net.parameters())


def products(loss, parameters, vectors):
    """The Hessian times each of the vectors [vector, parameter], by double backward."""
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    parts = vectors.split([p.numel() for p in parameters], 1)
    along = [part.reshape(-1, *p.shape) for part, p in zip(parts, parameters, strict=True)]
    found = torch.autograd.grad(gradient, parameters, along, retain_graph=True, is_grads_batched=True)
    return torch.cat([each.flatten(1) for each in found], 1)


def start_of(training):
    parameters = sum(training.parameters[name][0].numel() for name in training.parameters.names())
    generator = torch.Generator().manual_seed(5)
    return torch.randn(len(training.configs), parameters, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_largest_eigenvalue_is_that_of_the_dense_hessian(splits, depth):
    training = trained(
        [replace(BASE, depth=depth, seed=seed, **noise) for seed, noise in enumerate(NOISES)], splits()
    )
    values, residuals = largest_eigenvalue(hessian_of(training).times, start_of(training), 100, 1e-6)
    for row, (value, residual) in enumerate(zip(values, residuals, strict=True)):
        dense = products(
            *plain_loss(training, row), torch.eye(start_of(training).shape[1], dtype=torch.float64)
        )
        exact = torch.linalg.eigvalsh(dense)[-1].item()
        assert value.item() == pytest.approx(exact, rel=1e-6)
        assert residual <= 1e-6


@pytest.mark.parametrize(("model", "side"), [("cnn-keras", 25), ("cnn-zhang", 7)])
def test_that_of_a_cnn_is_what_arpack_finds_for_its_layers_in_eval_mode(splits, model, side):
    base = replace(BASE, model=model, width=2)
    training = trained(
        [base, replace(base, corruption="randY", corruption_level=1.0)], splits(side=side), epochs=2
    )
    values, _ = largest_eigenvalue(hessian_of(training).times, start_of(training), 100, 1e-4)
    for row, value in enumerate(values):
        loss, parameters = plain_loss(training, row)
        size = sum(p.numel() for p in parameters)

        def times(vector, loss=loss, parameters=parameters):
            return products(loss, parameters, torch.from_numpy(vector.reshape(1, -1))).numpy()

        operator = LinearOperator((size, size), matvec=times, dtype=np.float64)
        exact = eigsh(operator, 1, which="LA", tol=1e-6, v0=np.ones(size), return_eigenvectors=False)
        assert value.item() == pytest.approx(exact.item(), rel=1e-4)


def test_parts_of_the_examples_and_graphs_made_anew_add_up_to_the_same_product(splits, monkeypatch):
    training = trained([replace(BASE, **noise) for noise in NOISES], splits())
    vectors = start_of(training)
    whole = hessian_of(training).times(vectors)
    monkeypatch.setattr(_hessian, "CPU_PART", 7)
    torch.testing.assert_close(hessian_of(training).times(vectors), whole)
    monkeypatch.setattr(_hessian, "HELD_FLOATS", 0)
    torch.testing.assert_close(hessian_of(training).times(vectors), whole)


def symmetric(*eigenvalues, seed=0):
    """A matrix with these eigenvalues."""
    values = torch.tensor(eigenvalues, dtype=torch.float64)
    square = torch.randn(
        len(values), len(values), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    basis = torch.linalg.qr(square).Q
    return basis @ torch.diag(values) @ basis.T


def test_the_largest_eigenvalue_is_not_the_largest_in_size():
    matrices = torch.stack(
        [symmetric(-9.0, -1.0, 0.5, 2.0), symmetric(-3.0, -2.0, -1.5, -1.0), symmetric(0.0, 0, 0, 0)]
    )
    values, residuals = largest_eigenvalue(
        lambda v: torch.bmm(matrices, v[..., None])[..., 0], torch.ones(3, 4).double(), 9, 1e-9
    )
    torch.testing.assert_close(values, torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64))
    assert (residuals <= 1e-9).all()


def test_too_few_products_show_in_the_residual_and_find_too_small_a_value():
    matrix = symmetric(*range(60))
    values, residuals = largest_eigenvalue(lambda v: v @ matrix, torch.ones(1, 60).double(), 5, 1e-3)
    assert 0 < values.item() < 59
    assert residuals.item() > 1e-3
    assert (59 - values).item() <= (residuals * values).item() * 60


def test_single_precision_finds_the_eigenvalue_to_the_tolerance_among_many_small_ones():
    generator = torch.Generator().manual_seed(1)
    eigenvalues = torch.cat([torch.rand(2000, generator=generator) * 0.1, torch.tensor([7.0, 6.9, 3.0])])
    start = torch.randn(1, len(eigenvalues), generator=generator)
    values, residuals = largest_eigenvalue(lambda v: v * eigenvalues, start, 100, 1e-3)
    assert values.item() == pytest.approx(7.0, rel=1e-3)
    assert residuals.item() <= 1e-3


def test_a_product_that_overflows_leaves_the_other_replicas_alone():
    matrix, start = symmetric(1.0, 2.0, 3.0), torch.ones(2, 3).double()
    factor = torch.tensor([[1.0], [torch.inf]], dtype=torch.float64)
    values, _ = largest_eigenvalue(lambda v: (v @ matrix) * factor, start, 9, 1e-6)
    assert values[0].item() == pytest.approx(3.0)
    assert values[1].isnan()


@pytest.fixture
def run(train, splits):
    return lambda *configs: train(list(configs), splits(train=40, side=6))


def test_it_is_measured_at_the_end_and_where_the_loss_is_first_so_small(run):
    (record,) = run(BASE)
    losses = dict(record.curves["train_loss"])
    epoch = min(epoch for epoch, loss in losses.items() if loss <= 0.8)
    assert 1 < epoch < 8
    assert record.scalars["sharpness_matched_epoch"] == epoch
    assert record.scalars["sharpness_matched_loss"] == losses[epoch]
    (until_then,) = run(replace(BASE, epochs=epoch))
    assert (
        until_then.scalars["sharpness"]
        == until_then.scalars["sharpness_matched"]
        == record.scalars["sharpness_matched"]
    )
    assert record.scalars["sharpness"] != record.scalars["sharpness_matched"]


def test_a_trial_that_never_gets_to_the_loss_is_measured_at_the_end_only(run):
    (record,) = run(replace(BASE, sharpness_loss=1e-6))
    assert "sharpness" in record.scalars
    assert not any(name.startswith("sharpness_matched") for name in record.scalars)


def test_a_diverged_trial_has_no_sharpness_at_the_end(run):
    (record,) = run(replace(BASE, learning_rate=1e30, dtype="float32"))
    assert record.scalars["diverged"] == 1
    assert "sharpness" not in record.scalars


def test_values_out_of_range_are_refused():
    for name, value in (("sharpness_loss", 0.0), ("sharpness_tolerance", -1.0), ("sharpness_iterations", 0),
                        ("sharpness_iterations", 1001)):  # fmt: skip
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')}"):
            TrialConfig(**{name: value})


def test_a_search_has_no_more_iterations_than_the_net_has_parameters(run, monkeypatch):
    asked = []

    def largest(times, start, iterations, tolerance):
        asked.append((iterations, start.shape[1]))
        return largest_eigenvalue(times, start, iterations, tolerance)

    monkeypatch.setattr("memory_study.measures.sharpness.largest_eigenvalue", largest)
    for iterations in (1000, 5):
        run(replace(BASE, depth=0, epochs=1, sharpness_loss=1e-6, sharpness_iterations=iterations))
    assert asked == [(148, 148), (5, 148)]


CNN = {"model": "cnn-keras", "train_size": 16}


@pytest.mark.parametrize(
    ("fields", "side", "rows", "part"),
    [
        ({"width": 48}, 6, [0, 1, 2], 40),
        ({"width": 48}, 6, [0, 2], 20),
        ({"width": 5, "train_size": 2000}, 6, [0, 1, 2], 2000),
        ({"depth": 4, "train_size": 800}, 6, [0, 2], 800),
        ({**CNN, "width": 3}, 25, [1], 16),
        ({**CNN, "width": 12}, 31, [1], 8),
    ],
)
def test_the_memory_of_measuring_it_is_known_beforehand(
    fields, side, rows, part, splits, live_bytes, monkeypatch
):
    monkeypatch.setattr(_hessian, "CPU_PART", part)  # a GPU has one graph, or two
    monkeypatch.setattr(_hessian, "CPU_FLOATS", 2**40)
    config = replace(BASE, **fields)
    training = trained(
        [replace(config, **noise) for noise in NOISES],
        splits(train=config.train_size, side=side, classes=3),
        epochs=1,
    )
    (measure,) = training.measures
    with torch.no_grad(), live_bytes:
        measure._eigenvalues(rows)
    shape = (1, side, side), 3
    vectors = (LANCZOS_COPIES + 2) * replica_cost(config, *shape).parameters
    counted = 8 * len(rows) * vectors + graph_bytes([config] * len(rows), *shape)
    assert counted / 3 < live_bytes.most <= counted


@pytest.mark.parametrize(("model", "asked"), [("mlp", [[0, 2]]), ("cnn-zhang", [[0], [2]])])
def test_replicas_of_an_mlp_are_measured_together_on_a_gpu_and_those_of_a_cnn_in_turn(
    model, asked, splits, monkeypatch
):
    training = trained([replace(BASE, model=model, width=3, **noise) for noise in NOISES], splits())
    (measure,) = training.measures
    training.device, found = torch.device("cuda"), []  # all that the measure asks it for
    monkeypatch.setattr(measure, "_eigenvalues", lambda rows: found.append(rows) or [(1.0, 0.0)] * len(rows))
    measure.after_epoch(8, [0, 2])
    assert found == asked


@pytest.mark.parametrize(("model", "least", "most"), [("mlp", 1, 1), ("cnn-keras", 4, 20)])
def test_a_graph_on_a_cpu_is_of_a_thousand_examples_or_of_as_many_as_are_fast(model, least, most, splits):
    config = replace(BASE, model=model, width=16, train_size=1000)
    training = trained([config], splits(train=1000, side=28), epochs=0)
    assert least <= len(hessian_of(training)._parts) <= most
