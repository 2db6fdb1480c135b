"""Dropout after each hidden dense ReLU, scaled by 1 / (1 - p) in training. Source: Srivastava et al. 2014."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Draws, Regularizer

if TYPE_CHECKING:
    from torch import Tensor


def inverted_mask(uniforms: Tensor, probabilities: Tensor) -> Tensor:
    """0 where a uniform [replica, ...] is at most its replica's drop probability p > 0, else 1 / (1 - p).

    One uniform serves every probability, so the units kept at a high p are among those kept at a lower one.
    """
    p = probabilities.reshape(-1, *[1] * (uniforms.dim() - 1))
    # Rounding u - p in (-1, 1) up gives the mask in vectorized passes; a comparison's bools cost ten times more.
    return (uniforms - p).ceil_().mul_(1 / (1 - p))


class Dropout(Regularizer):
    """Silences each hidden dense unit of each example independently with probability p."""

    grid = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    limit, open_limit = 1.0, True
    meaning = "probability that a hidden unit is dropped"

    def hidden_factor(
        self, strengths: Tensor, shape: tuple[int, ...], draws: Draws, site: str
    ) -> Tensor | None:
        """See :func:`inverted_mask`."""
        return inverted_mask(draws.uniform(f"dropout {site}", shape), strengths)


REGULARIZER = Dropout()
