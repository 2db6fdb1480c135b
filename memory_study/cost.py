"""What a trial costs, from its config alone: parameters, arithmetic, memory. Standard library only.

Tests hold these formulas against the real models; packing and ``--dry-run`` build on them without importing torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from memory_study.config import TrialConfig

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
    """Cost of one trial's model on inputs of :func:`input_shape`. Raises ValueError for a model that cannot be built."""
    image = input_shape(config, image)
    inputs = image[0] * image[1] * image[2]
    if config.model == "mlp":
        units = [inputs, *[config.width] * config.depth, classes]
        products = sum(a * b for a, b in pairwise(units))
        return Cost(products + sum(units[1:]), 6.0 * products - 2.0 * units[0] * units[1], sum(units))
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
