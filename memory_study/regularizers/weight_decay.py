"""Weight decay (l2) of the kernels: the loss plus lambda times their sum of squares. Source: Krogh and Hertz 1991."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memory_study.regularizers._base import Regularizer

if TYPE_CHECKING:
    from torch import Tensor


class WeightDecay(Regularizer):
    """Keras' ``l2(lambda)`` on kernels only, so the gradient gets 2 lambda w (torch's ``weight_decay`` is 2 lambda)."""

    grid = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    meaning = "lambda of lambda * sum w^2, the Keras convention"

    def kernel_decay(self, strengths: Tensor) -> Tensor | None:
        """Two lambda."""
        return 2 * strengths


REGULARIZER = WeightDecay()
