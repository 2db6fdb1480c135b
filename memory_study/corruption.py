"""Randomized labels (randY) and inputs (randX) of Zhang et al. 2017.

The number of corrupted examples is exact, the corrupted sets are nested in the level, and one seed gives one noise
data set. Only training data is ever passed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memory_study.rng import stream


def corrupted_examples(examples: int, level: float, seed: int) -> Tensor:
    """Which examples are corrupted: bool [example], exactly ``round(level * examples)`` of them.

    Those of a lower level are among those of a higher one. The choice is the same for randX and randY.
    """
    order = torch.randperm(examples, generator=stream(seed, "corrupted examples"))
    mask = torch.zeros(examples, dtype=torch.bool)
    mask[order[: round(level * examples)]] = True
    return mask


def random_labels(examples: int, classes: int, seed: int) -> Tensor:
    """A label for every example, uniform over all classes, the true one included: int64 [example]."""
    return torch.randint(classes, (examples,), generator=stream(seed, "random labels"))


def random_inputs(shape: Sequence[int], mean: Sequence[float], std: Sequence[float], seed: int) -> Tensor:
    """Gaussian noise with the data's mean and standard deviation per channel: float32 [example, channel, ...]."""
    noise = torch.randn(tuple(shape), generator=stream(seed, "random inputs"))
    per_channel = (1, -1, *[1] * (len(shape) - 2))
    return noise * torch.tensor(std).view(per_channel) + torch.tensor(mean).view(per_channel)
