from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from torch import nn

from memory_study import models
from memory_study.config import MODELS, TrialConfig
from memory_study.measures.critical_samples import Search, search, wilson_interval
from memory_study.models import Stack
from memory_study.rng import stream

SIDES = {"mlp": 8, "cnn-keras": 25, "cnn-zhang": 8}
MEAN, STD = (torch.tensor(values).double().view(-1, 1, 1) for values in ((0.4, 0.6), (0.2, 0.3)))
REPLICAS, EXAMPLES, CLASSES = 3, 40, 4
every_model = pytest.mark.parametrize("model", MODELS)


def draws(side):
    return lambda iteration: torch.randn(
        REPLICAS, EXAMPLES, 2, side, side, generator=stream(iteration, "test noise"), dtype=torch.double
    )


def images(side):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(REPLICAS, EXAMPLES, 2, side, side, generator=generator, dtype=torch.double)


def stack(config):
    """Untrained replicas whose normalization has seen something."""
    network = models.create(config, (2, SIDES[config.model], SIDES[config.model]), CLASSES)
    like, generator = torch.empty(0, dtype=torch.double), torch.Generator().manual_seed(1)
    parameters = Stack.of(network.shapes, [network.initialize(generator) for _ in range(REPLICAS)], like)
    buffers = Stack.of(network.buffer_shapes, [network.initial_buffers()] * REPLICAS, like)
    for name in network.buffer_shapes:
        buffers[name].add_(torch.rand(buffers[name].shape, generator=generator, dtype=torch.double))
    return network, parameters, buffers


def found(config):
    """Which samples the project's search calls critical, its pixels being scaled: [replica, example]."""
    side = SIDES[config.model]
    with torch.no_grad():
        inputs = (images(side) - MEAN) / STD
        return search(*stack(config), inputs, Search.of(config, 1 / STD), draws(side))


def found_in_pixels(config):
    """Where it ends, and what is critical, by the authors' search: one net at a time, pixels, autograd."""
    side, (network, parameters, buffers) = SIDES[config.model], stack(config)
    alpha, beta, radius = (
        v / 255 for v in (config.csr_gradient_step, config.csr_noise_step, config.csr_radius)
    )
    ends, rows = [], []
    for row in range(REPLICAS):
        one = slice(row, row + 1)
        layers, state = network.layers(parameters.rows(one), buffers.rows(one))
        net = nn.Sequential(*[getattr(nn, kind)(**arguments) for kind, arguments in layers]).double()
        net.load_state_dict(state)
        net.eval()
        pixels = images(side)[row]
        first = net((pixels - MEAN) / STD).argmax(1)
        moved, critical = pixels.clone(), torch.zeros(EXAMPLES, dtype=torch.bool)
        for iteration in range(config.csr_iterations):
            moved.requires_grad_()
            loss = nn.functional.cross_entropy(net((moved - MEAN) / STD), first, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, moved)
            moved = moved.detach() + alpha * gradient.sign() + beta * draws(side)(iteration)[row]
            moved = torch.minimum(torch.maximum(moved, pixels - radius), pixels + radius)
            critical |= net((moved - MEAN) / STD).argmax(1) != first
        ends.append(moved)
        rows.append(critical)
    return torch.stack(ends), torch.stack(rows)


@every_model
@pytest.mark.parametrize("radius", [2.0, 8.0, 20.0])
def test_the_search_finds_the_critical_samples_of_the_authors_search_on_pixels(model, radius):
    step = radius / 3
    config = TrialConfig(model=model, width=6, csr_iterations=6, csr_radius=radius, csr_gradient_step=step,
                         csr_noise_step=step)  # fmt: skip
    (ended, critical), (expected_end, expected) = found(config), found_in_pixels(config)
    assert critical.equal(expected)
    # Adversarial training goes on from where the search ends.
    torch.testing.assert_close(ended * STD + MEAN, expected_end, rtol=0, atol=1e-10)
    if radius == 20:
        assert expected.any()
        assert model != "mlp" or not expected.all()


@every_model
def test_nothing_is_critical_within_a_radius_of_zero(model):
    ended, critical = found(TrialConfig(model=model, width=6, csr_radius=0.0, csr_gradient_step=50.0))
    assert not critical.any()
    assert ended.equal((images(SIDES[model]) - MEAN) / STD)


@every_model
def test_nearly_everything_is_critical_within_the_whole_range_of_pixels(splits, train, model):
    # For a trained net: an untrained CNN may know one class only.
    config = TrialConfig(model=model, width=8, train_size=48, batch_size=12, momentum=0.9, epochs=15, csr_examples=48,
                         csr_radius=255.0, csr_gradient_step=25.0, csr_iterations=20)  # fmt: skip
    (record,) = train([config], splits(train=48, side=SIDES[model], noise=0.1))
    assert record.curves["train_accuracy"][-1][1] > 0.9
    assert record.curves["csr_validation"][-1][1] > 0.9


def test_the_search_stays_within_its_radius_and_may_leave_the_range_of_pixels():
    config = TrialConfig(csr_radius=100.0, csr_gradient_step=60.0)
    pixels = found(config)[0] * STD + MEAN
    assert (pixels - images(8)).abs().max() == pytest.approx(100 / 255)
    assert pixels.min() < -0.2
    assert pixels.max() > 1.2


class ScriptedNetwork:
    """Predicts class ``script[i]`` at its i-th evaluation."""

    def __init__(self, script):
        self.script = iter(script)

    def logits(self, parameters, buffers, inputs):
        scores = torch.zeros(*inputs.shape[:2], 3)
        scores[..., next(self.script)] = 1
        return scores

    def input_gradient(self, parameters, buffers, inputs, targets):
        return torch.ones_like(inputs), self.logits(parameters, buffers, inputs)


@pytest.mark.parametrize(
    ("script", "critical"),
    [
        ([0, 0, 0, 0], False),
        ([0, 1, 0, 0], True),
        ([0, 0, 2, 0], True),
        ([0, 0, 0, 1], True),
        ([2, 2, 2, 2], False),
    ],
)
def test_a_sample_once_critical_stays_critical(script, critical):
    settings = Search(3, *(torch.full((1, 1, 1), value) for value in (0.1, 0.1, 1.0)))
    inputs = torch.zeros(2, 5, 1, 2, 2)
    verdict = search(
        ScriptedNetwork(script), None, None, inputs, settings, lambda iteration: torch.zeros_like(inputs)
    )[1]
    assert verdict.shape == (2, 5)
    assert verdict.all() == verdict.any() == critical


counts = st.integers(1, 5000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(counts)
def test_the_interval_is_that_of_scipy_and_holds_its_share(counted):
    successes, trials = counted
    low, high = wilson_interval(successes, trials)
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= successes / trials <= high <= 1


def test_nothing_measured_says_nothing():
    assert wilson_interval(0, 0) == (0, 1)


def test_both_ratios_are_recorded_with_their_intervals_at_the_asked_epochs_and_the_last(splits, train):
    config = TrialConfig(train_size=40, width=8, epochs=5, csr_examples=35, csr_epochs=(0, 2), csr_radius=60.0,
                         csr_gradient_step=20.0)  # fmt: skip
    (record,) = train([config], splits(train=40, others=30))
    # There are 30 validation examples only.
    for name, total in (("csr_validation", 30), ("csr_train", 35)):
        curve, low, high = (record.curves[name + suffix] for suffix in ("", "_low", "_high"))
        assert [epoch for epoch, _ in curve] == [0, 2, 5]
        for place, (_, share) in enumerate(curve):
            assert share * total == pytest.approx(round(share * total))
            assert (low[place][1], high[place][1]) == wilson_interval(round(share * total), total)
        assert len({share for _, share in curve}) > 1


def test_no_examples_measure_no_ratio(splits, train):
    (record,) = train([TrialConfig(train_size=40, width=8, epochs=1, csr_examples=0)], splits())
    assert not [name for name in record.curves if name.startswith("csr")]
