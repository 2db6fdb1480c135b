"""Sharpness-aware minimization: the gradient is taken a step of length rho up the batch's loss. Source: Foret et al. 2021.

w = w - lr grad L(w + rho grad L(w) / |grad L(w)|): two gradients a step, of the same batch under the same masks and
noise, the norm over all parameters of a net. Weight decay is no part of the loss that is climbed and acts on the weights
themselves, as in the paper's equation 1. Adversarial inputs are searched once, before the climb, and the running
statistics of batch normalization are those at the weights themselves. Beyond the papers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Regularizer

if TYPE_CHECKING:
    from torch import Tensor


class SharpnessAware(Regularizer):
    """Descends by the gradient at the worst weights nearby, to first order."""

    grid = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    meaning = "rho, the length of the step up the loss, in units of the weights"
    cost = 2.0
    copies = 2

    def ascent_radius(self, strengths: Tensor) -> Tensor | None:
        """The strength itself."""
        return strengths


REGULARIZER = SharpnessAware()
