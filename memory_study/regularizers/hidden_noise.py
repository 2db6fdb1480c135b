"""Gaussian noise after every hidden ReLU, in training. Source: Arpit et al. 2017, figure 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Draws, Regularizer

if TYPE_CHECKING:
    from torch import Tensor


class HiddenNoise(Regularizer):
    """Adds i.i.d. Gaussian noise, fresh in every step, to each hidden activation."""

    grid = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
    meaning = "standard deviation, in units of the activation"

    def hidden_noise(
        self, strengths: Tensor, shape: tuple[int, ...], draws: Draws, site: str
    ) -> Tensor | None:
        """Standard normal draws times the replica's standard deviation."""
        return draws.normal(f"hidden noise {site}", shape) * strengths.reshape(-1, *[1] * len(shape))


REGULARIZER = HiddenNoise()
