"""Gaussian noise on the standardized inputs, in training. Source: Arpit et al. 2017, figure 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Draws, Regularizer

if TYPE_CHECKING:
    from torch import Tensor


class InputNoise(Regularizer):
    """Adds i.i.d. Gaussian noise, fresh in every step, to the inputs as they enter the net."""

    grid = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
    meaning = "standard deviation, in units of the scaled input"

    def input_noise(self, strengths: Tensor, shape: tuple[int, ...], draws: Draws) -> Tensor | None:
        """Standard normal draws times the replica's standard deviation."""
        return draws.normal("input noise", shape) * strengths.reshape(-1, *[1] * len(shape))


REGULARIZER = InputNoise()
