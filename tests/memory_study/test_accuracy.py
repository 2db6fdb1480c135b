from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from memory_study import models
from memory_study.config import TrialConfig
from memory_study.measures.accuracy import GPU_FLOATS, Predictions, gpu_step, predict
from memory_study.models import Stack


def untrained(replicas=3):
    network = models.create(TrialConfig(width=7), (1, 4, 4), 3)
    generator, like = torch.Generator().manual_seed(0), torch.empty(0)
    parameters = Stack.of(network.shapes, [network.initialize(generator) for _ in range(replicas)], like)
    return network, parameters, Stack.of({}, [{}] * replicas, like)


def test_losses_and_hits_are_those_of_plain_torch():
    network, parameters, buffers = untrained()
    inputs, labels = torch.randn(1, 300, 1, 4, 4), torch.randint(3, (1, 300))
    predictions = predict(network, parameters, buffers, inputs, labels)
    logits = network.logits(parameters, buffers, inputs.expand(3, -1, -1, -1, -1))
    for row in range(3):
        expected = cross_entropy(logits[row], labels[0], reduction="none")
        torch.testing.assert_close(predictions.losses[row], expected)
        assert predictions.predicted[row].equal(logits[row].argmax(1))
        assert predictions.right[row].equal(logits[row].argmax(1) == labels[0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_net_whose_logits_are_not_finite_is_never_right(value):
    network, parameters, buffers = untrained()
    parameters["bias2"][1].fill_(value)
    inputs, labels = torch.randn(1, 200, 1, 4, 4), torch.zeros(1, 200, dtype=torch.long)
    found = predict(network, parameters, buffers, inputs, labels)
    assert not found.right[1].any()
    assert found.right[0].any()
    assert (found.predicted[1] == -1).all()
    assert (found.predicted[0] >= 0).all()


def test_accuracy_is_one_only_if_every_example_is_right():
    right = torch.ones(2, 60_000, dtype=torch.bool)
    right[1, 5] = False
    accuracy = Predictions(torch.zeros(2, 60_000), right.long(), right).mean()[1]
    assert accuracy[0] == 1
    assert accuracy[1] == 59_999 / 60_000


def test_a_mask_chooses_what_is_averaged_and_an_empty_one_gives_nan():
    right = torch.tensor([[True, False, False]])
    predictions = Predictions(torch.tensor([[1.0, 2.0, 6.0]]), right.long(), right)
    loss, accuracy = predictions.mean(torch.tensor([[True, True, False]]))
    assert (loss.item(), accuracy.item()) == (1.5, 0.5)
    assert all(value.isnan() for value in predictions.mean(torch.zeros(1, 3, dtype=torch.bool)))


def test_a_loss_that_is_not_finite_outside_the_mask_does_not_count():
    right = torch.tensor([[True, False]])
    predictions = Predictions(torch.tensor([[1.0, math.inf]]), right.long(), right)
    assert predictions.mean(torch.tensor([[True, False]]))[0].item() == 1


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("model", ["mlp", "cnn-keras", "cnn-zhang"])
def test_a_pass_on_a_gpu_holds_the_activations_of_its_widest_layer(model, replicas):
    # Sized by the kernels alone, a pass of a CNN took the whole training set: 58 GiB for one replica at paper scale.
    network = models.create(TrialConfig(model=model, width=200), (3, 28, 28), 10)
    examples = gpu_step(network, replicas)
    first = {"mlp": 200, "cnn-keras": 200 * 24 * 24, "cnn-zhang": 200 * 28 * 28}[model]
    at_once = replicas if model == "mlp" else 1
    assert examples >= 128
    assert examples * (at_once * first + replicas * 3 * 28 * 28) <= GPU_FLOATS
