"""Dropout of the standardized inputs, scaled by 1 / (1 - p) in training. Source: Srivastava et al. 2014."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Draws, Regularizer
from memory_study.regularizers.dropout import inverted_mask

if TYPE_CHECKING:
    from torch import Tensor


class InputDropout(Regularizer):
    """Sets each scaled input of each example to 0 (the mean, where inputs are standardized) with probability p."""

    grid = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    limit, open_limit = 1.0, True
    meaning = "probability that an input is dropped"

    def input_factor(self, strengths: Tensor, shape: tuple[int, ...], draws: Draws) -> Tensor | None:
        """See :func:`memory_study.regularizers.dropout.inverted_mask`."""
        return inverted_mask(draws.uniform("input dropout", shape), strengths)


REGULARIZER = InputDropout()
