"""Mixup: each example and its label averaged with another one's of the batch. Source: Zhang et al. 2018.

lambda ~ Beta(alpha, alpha) is drawn once a batch, and pairs by a permutation of the batch, as in the authors' code.
Labels are mixed as they are trained on, false ones too. Beyond the papers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memory_study.regularizers._base import Draws, Regularizer

if TYPE_CHECKING:
    from torch import Tensor


def lesser_share(uniforms: Tensor, alphas: Tensor) -> Tensor:
    """min(lambda, 1 - lambda) of lambda ~ Beta(alpha, alpha): [replica], from two uniforms of each [replica, 2].

    Exact for every alpha > 0: T = sqrt(2 alpha (U^(-1 / alpha) - 1)) cos(2 pi V) has Student's t distribution with
    2 alpha degrees of freedom (Bailey 1994), and (1 + T / sqrt(2 alpha + T^2)) / 2 is then Beta(alpha, alpha). Written
    so that nothing overflows or cancels at a small alpha. One pair serves every alpha.
    """
    power = uniforms[:, 0] ** (1 / alphas)
    squared = (2 * math.pi * uniforms[:, 1]).cos().square() * (1 - power)
    total = power + squared
    return power / (2 * (total + (squared * total).sqrt()))


class Mixup(Regularizer):
    """Mixes before all else, so that noise, dropout and adversarial steps act on the mixed inputs."""

    grid = (0.1, 0.2, 0.5, 1.0, 2.0, 8.0, 32.0)
    meaning = "alpha of the Beta(alpha, alpha) that weights two examples"

    def mixing(self, strengths: Tensor, examples: int, draws: Draws) -> tuple[Tensor, Tensor] | None:
        """A random permutation of the batch, and the smaller of the two weights for the partner.

        Exchanging the weights and inverting the permutation gives the same pairs, so this is the batch of lambda itself in
        distribution; but an example keeps its own masks as alpha goes to 0, where mixup must end in doing nothing.
        """
        partners = draws.uniform("mixup partners", (examples,)).argsort(1)
        return partners, lesser_share(draws.uniform("mixup weights", (2,)), strengths)


REGULARIZER = Mixup()
