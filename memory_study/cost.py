"""What a trial costs, from its config alone: parameters, arithmetic, memory. Standard library only.

Tests hold these formulas against the real models; packing and ``--dry-run`` build on them without importing torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from memory_study.config import TrialConfig
from memory_study.record import epoch_grid

ImageShape = tuple[int, int, int]
"""Channels, height, width."""

CNN_DENSE = (384, 192)
"""Units of the small AlexNet's dense layers (Zhang et al. 2017)."""
KERNEL, POOL = 5, 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one replica. ``activations`` is floats per example kept for the backward pass (all layers)."""

    parameters: int
    training_flops: float  # per example: forward, backward to activations, backward to weights
    activations: int


def input_shape(config: TrialConfig, image: ImageShape) -> ImageShape:
    """Shape of what enters the net: ``image`` (as the data set has it, resized by ``image_size``) after ``crop``."""
    channels, height, width = image
    return (channels, min(height, config.crop or height), min(width, config.crop or width))


def convolution_sizes(model: str, image: ImageShape) -> list[tuple[int, int, int, int]]:
    """Height and width after each convolution and after its pooling, for the two stages of a CNN.

    Raises ValueError, with the next step, for an image that valid padding uses up before the dense layers.
    """
    height, width = image[1:]
    sizes = []
    for _ in range(2):
        if model == "cnn-keras":
            height, width = height - KERNEL + 1, width - KERNEL + 1
            after = ((height - POOL) // 3 + 1, (width - POOL) // 3 + 1)
        else:
            after = ((height - 1) // 2 + 1, (width - 1) // 2 + 1)
        if min(height, width) < POOL and model == "cnn-keras":
            raise ValueError(
                f"images of {image[1]}x{image[2]} pixels are too small for cnn-keras, whose valid padding needs "
                "25 or more a side; use --model cnn-zhang, or --image-size 32"
            )
        sizes.append((height, width, *after))
        height, width = after
    return sizes


def replica_cost(config: TrialConfig, image: ImageShape, classes: int) -> Cost:
    """Cost of one trial's model on inputs of :func:`input_shape`; ``classes`` are the data set's.

    Raises ValueError for a model that cannot be built.
    """
    if config.model == "mlp":
        units = _units(config, image, classes)
        products = sum(a * b for a, b in pairwise(units))
        return Cost(products + sum(units[1:]), 6.0 * products - 2.0 * units[0] * units[1], sum(units))
    classes = config.train_size if config.labels == "example" else classes
    image = input_shape(config, image)
    inputs = image[0] * image[1] * image[2]
    parameters, products, activations, channels = 0, 0, inputs, image[0]
    sizes = convolution_sizes(config.model, image)
    for height, width, pooled_height, pooled_width in sizes:
        kernel = KERNEL * KERNEL * channels * config.width
        parameters += kernel + config.width + 2 * config.width
        products += kernel * height * width
        activations += 2 * config.width * height * width + config.width * pooled_height * pooled_width
        channels, flat = config.width, config.width * pooled_height * pooled_width
    first = KERNEL * KERNEL * image[0] * config.width * math.prod(sizes[0][:2])
    for units_out in CNN_DENSE:
        parameters += flat * units_out + units_out + 2 * units_out
        products += flat * units_out
        activations += 3 * units_out
        flat = units_out
    return Cost(
        parameters + flat * classes + classes, 6.0 * (products + flat * classes) - 2.0 * first, activations
    )


OBJECTIVE_FLOATS = 2**19
"""Values of a layer for a batch and all objectives that are unrolled together. Twice as many are no faster on a core,
a quarter takes a half more time (measured, 10 classes)."""

SENSITIVITY = "loss_sensitivity"
"""The measure and the score that hold all of a training's weights, and take many times as long."""

SHARPNESS = "sharpness"
"""The measure that multiplies Hessians with vectors as long as the weights."""

LANCZOS_COPIES = 9
"""Of a replica's weights that its sharpness holds besides those of any step: eleven vectors, of which two take the room that
a step has for the gradient and a reordered copy (counted)."""

GRAPH_COPIES, GRAPH_FLOATS = 4, 2**27
"""Of the activations of all layers that the graph of a gradient holds, and floats of such graphs at most (counted)."""

HELD_BYTES = 2**30
"""Of weights that first trainings which run together pass, if that is more than one."""

GRADIENT_COPIES, DIRECTION_COPIES = 4, 6
"""Of what is held for each objective that is unrolled: gradients with respect to all inputs (direct and indirect, and those
of the objectives before), and directions, as many numbers as weights (derived and counted)."""


def sensitivity_steps(config: TrialConfig, points: int) -> tuple[int, ...]:
    """At most ``points`` SGD steps after which the loss sensitivity is measured: log-spaced, from the first epoch's end on.

    Before that, it is 0 for examples not seen yet, which says nothing about them.
    """
    an_epoch = _steps_of_an_epoch(config)
    return tuple(step for step in epoch_grid(config.epochs * an_epoch, points) if step >= an_epoch)


def objectives_at_once(batch: int, widest: int) -> int:
    """How many gradients through training one pass back over it computes; ``widest`` is the most units of a layer."""
    return max(1, OBJECTIVE_FLOATS // (batch * widest))


def trajectory_floats(config: TrialConfig, image: ImageShape, classes: int) -> int:
    """Of one replica: all weights that its training passes."""
    steps = config.epochs * _steps_of_an_epoch(config)
    return (steps + 1) * replica_cost(config, image, classes).parameters


def float_bytes(config: TrialConfig) -> int:
    """Of a number in training."""
    return 8 if config.dtype == "float64" else 4


def unrolled_first(configs: Sequence[TrialConfig]) -> TrialConfig | None:
    """A first training that is unrolled to score examples; None where no trial of a cohort asks for that score."""
    asking = (config for config in configs if config.pruning_score == SENSITIVITY)
    found = next(asking, None)
    return found and found.first_training


def first_trainings_at_once(configs: Sequence[TrialConfig], image: ImageShape, classes: int) -> int:
    """How many first trainings of a cohort run as one stack: where one is unrolled, few, because all weights are kept."""
    first = unrolled_first(configs)
    if first is None:
        return len(configs)
    held = float_bytes(first) * trajectory_floats(first, image, classes)
    return min(len(configs), max(1, HELD_BYTES // held))


def scoring_bytes(configs: Sequence[TrialConfig], image: ImageShape, classes: int) -> int:
    """What a cohort holds to score the examples that it drops by their loss sensitivity: of all first trainings that
    run together their trajectories, of one at a time gradients in float64.
    """
    first = unrolled_first(configs)
    if first is None:
        return 0
    weights = trajectory_floats(first, image, classes)
    gradients = sensitivity_floats(first, image, classes) - weights
    together = first_trainings_at_once(configs, image, classes)
    return together * float_bytes(first) * weights + 8 * gradients


def graph_bytes(configs: Sequence[TrialConfig], image: ImageShape, classes: int) -> int:
    """What the sharpness of a cohort holds besides vectors as long as the weights: graphs of the gradients of its replicas,
    of a CNN's one at a time.
    """
    first = configs[0]
    if SHARPNESS not in first.measures:
        return 0
    together = len(configs) if first.model == "mlp" else 1
    activations = together * first.kept_examples * replica_cost(first, image, classes).activations
    return float_bytes(first) * min(GRAPH_COPIES * activations, GRAPH_FLOATS)


def sensitivity_floats(config: TrialConfig, image: ImageShape, classes: int) -> int:
    """What the loss sensitivity holds of one replica: its trajectory, gradients with respect to each input, their norms."""
    units, parameters = _units(config, image, classes), replica_cost(config, image, classes).parameters
    examples, batch = config.kept_examples, min(config.batch_size, config.kept_examples)
    # A score, whose first training has no measures, asks for no classes.
    parts = classes if config.labels == "data" and SENSITIVITY in config.measures else 0
    losses = len(sensitivity_steps(config, config.sensitivity_points))
    of_classes = parts * len(sensitivity_steps(config, config.sensitivity_class_points))
    at_once = min(objectives_at_once(batch, max(units)), max(losses, of_classes))
    gradients = at_once * (GRADIENT_COPIES * examples * units[0] + DIRECTION_COPIES * parameters)
    # Where a way back begins, the errors of all examples are there at once, and what they are made of; then, a batch's.
    begun = examples * (min(at_once, max(parts, 1)) * (units[0] + max(units)) + 3 * max(units))
    going = at_once * batch * (4 * units[0] + 3 * sum(units[1:]))
    # Three of each kind; of classes only those of the total are kept, and which examples have which class.
    norms = examples * (9 * losses + 4 * of_classes)
    return trajectory_floats(config, image, classes) + gradients + max(begun, going) + norms


def sensitivity_flops(config: TrialConfig, image: ImageShape, classes: int) -> float:
    """Arithmetic of one trial's loss sensitivities: back from each measured step, for the loss and that of each class."""
    back = sum(sensitivity_steps(config, config.sensitivity_points))
    if config.labels == "data":
        back += classes * sum(sensitivity_steps(config, config.sensitivity_class_points))
    return back * _step_back_flops(config, image, classes)


def scoring_flops(config: TrialConfig, image: ImageShape, classes: int) -> float:
    """Arithmetic of the way back through a first training; 0 for a trial without that score."""
    first = unrolled_first([config])
    if first is None:
        return 0.0
    back = sum(sensitivity_steps(first, first.sensitivity_points))
    return back * _step_back_flops(first, image, classes)


def _step_back_flops(config: TrialConfig, image: ImageShape, classes: int) -> float:
    """Of one step, for one objective."""
    units = _units(config, image, classes)
    # Of each product two derivatives, both forward and to the weights and back; the inputs have none of their own.
    first, products = units[0] * units[1], sum(a * b for a, b in pairwise(units))
    return min(config.batch_size, config.kept_examples) * (12.0 * products - 4.0 * first)


def _steps_of_an_epoch(config: TrialConfig) -> int:
    """Batches of the examples that are kept."""
    return math.ceil(config.kept_examples / config.batch_size)


def _units(config: TrialConfig, image: ImageShape, classes: int) -> list[int]:
    """Of an MLP, from its inputs to its classes."""
    own = config.train_size if config.labels == "example" else classes
    return [math.prod(input_shape(config, image)), *[config.width] * config.depth, own]
