from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from memory_study import models
from memory_study.config import TrialConfig
from memory_study.cost import replica_cost
from memory_study.models import Stack

SIZES = [
    ("mlp", (1, 8, 8), 10, {"width": 16, "depth": 2}),
    ("mlp", (3, 5, 7), 4, {"width": 37, "depth": 3}),
    ("mlp", (1, 6, 6), 3, {"width": 8, "depth": 1}),
    ("mlp", (1, 6, 6), 3, {"depth": 0}),
    ("cnn-keras", (3, 28, 28), 10, {"width": 4}),
    ("cnn-keras", (1, 25, 30), 5, {"width": 3}),
    ("cnn-keras", (2, 41, 40), 5, {"width": 2}),
    ("cnn-zhang", (3, 28, 28), 10, {"width": 4}),
    ("cnn-zhang", (1, 9, 14), 5, {"width": 3}),
    ("cnn-zhang", (1, 3, 3), 2, {"width": 1}),
]
sizes = pytest.mark.parametrize(("model", "image", "classes", "fields"), SIZES)


def config(model: str, **fields: Any) -> TrialConfig:
    return TrialConfig(model=model, **fields)


def plain_net(trial: TrialConfig, image: tuple[int, int, int], classes: int) -> nn.Sequential:
    network = models.create(trial, image, classes)
    like = torch.empty(0)
    parameters = Stack.of(network.shapes, [network.initialize(torch.Generator())], like)
    buffers = Stack.of(network.buffer_shapes, [network.initial_buffers()], like)
    layers, _ = network.layers(parameters, buffers)
    return nn.Sequential(*[getattr(nn, kind)(**arguments) for kind, arguments in layers])


@sizes
def test_the_formula_counts_the_parameters_of_the_real_model(model, image, classes, fields):
    trial = config(model, **fields)
    net = plain_net(trial, image, classes)
    real = sum(parameter.numel() for parameter in net.parameters())
    assert replica_cost(trial, image, classes).parameters == real


@sizes
def test_the_formula_counts_the_arithmetic_of_a_forward_and_backward_pass(model, image, classes, fields):
    trial = config(model, **fields)
    net = plain_net(trial, image, classes)
    examples = 2
    with FlopCounterMode(display=False) as counter:
        net(torch.rand(examples, *image)).sum().backward()
    assert replica_cost(trial, image, classes).training_flops * examples == counter.get_total_flops()


@pytest.mark.parametrize(
    ("fields", "image", "parameters"),
    [
        ({"model": "mlp", "width": 4096}, (1, 28, 28), 20_037_642),
        ({"model": "cnn-keras", "width": 200, "crop": 28}, (3, 32, 32), 1_170_386),
        ({"model": "cnn-zhang", "width": 200, "crop": 28}, (3, 32, 32), 4_856_786),
    ],
)
def test_the_papers_networks_have_the_papers_sizes(fields, image, parameters):
    trial = TrialConfig(**fields)
    shapes = models.create(trial, (image[0], 28, 28), 10).shapes
    assert replica_cost(trial, image, 10).parameters == parameters
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == parameters


def test_the_papers_mlp_needs_114_megaflops_for_a_training_example():
    cost = replica_cost(TrialConfig(model="mlp", width=4096), (1, 28, 28), 10)
    assert cost.training_flops / 1e6 == pytest.approx(114, abs=0.5)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.sampled_from(["mlp", "cnn-zhang"]))
def test_images_of_any_size_fit_an_mlp_and_a_cnn_with_same_padding(channels, height, width, model):
    trial = config(model, width=2)
    image = (channels, height, width)
    assert models.create(trial, image, 3).shapes
    assert replica_cost(trial, image, 3).training_flops > 0


@given(st.integers(1, 60), st.integers(1, 60))
def test_valid_padding_takes_images_from_25_pixels_on_and_says_so_below(height, width):
    trial, image = config("cnn-keras", width=2), (1, height, width)
    if min(height, width) >= 25:
        assert models.create(trial, image, 3).shapes
        return
    for build in (models.create, replica_cost):
        with pytest.raises(
            ValueError, match=rf"{height}x{width} .*use --model cnn-zhang, or --image-size 32"
        ):
            build(trial, image, 3)


def test_a_crop_is_what_enters_the_net():
    trial = config("cnn-zhang", width=2)
    cropped = TrialConfig(model="cnn-zhang", width=2, crop=9)
    assert replica_cost(cropped, (1, 20, 12), 3) == replica_cost(trial, (1, 9, 9), 3)
