"""Adversarial training on critical samples: (1 - w) CE(x, y) + w CE(x_hat, y), x_hat found by Langevin search.

Used with dropout. Source: Arpit et al. 2017, figure 10; the loss is that of Goodfellow et al. 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Regularizer

if TYPE_CHECKING:
    from torch import Tensor


class Adversarial(Regularizer):
    """Trains on inputs moved by the search that measures the critical sample ratio, with that search's settings."""

    grid = (0.2, 0.3, 0.5, 0.7)
    limit = 1.0
    meaning = "weight of the loss at adversarial inputs"
    cost = 9.0  # ten times a forward and an input-gradient pass, and training at both inputs (estimate)

    def adversarial_weight(self, strengths: Tensor) -> Tensor | None:
        """The strength itself."""
        return strengths


REGULARIZER = Adversarial()
