"""By lot: what any other score has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from memory_study.rng import stream
from memory_study.scores._base import Score


class Random(Score):
    """Uniform on [0, 1), the same for trials of one seed."""

    trained = False

    def values(self) -> Tensor:
        """Drawn by each trial's seed."""
        count = len(self.training.data)
        seeds = [config.seed for config in self.training.configs]
        return torch.stack([torch.rand(count, generator=stream(seed, "random score")) for seed in seeds])


SCORE = Random
