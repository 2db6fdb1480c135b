"""How often an example was forgotten in the first training: right after an epoch, and wrong after the next.

Source: Toneva et al. 2019, who look at an example when it is in a batch; here all are looked at after every epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memory_study.measures.accuracy import predict
from memory_study.scores._base import Score
from memory_study.train import Training


class Forgetting(Score):
    """Forgetting events, in eval mode. An example that was never right counts as forgotten more often than any other."""

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        shape = training.data.labels.shape
        self._events = torch.zeros(shape, device=training.device)
        self._right, self._ever = (
            torch.zeros(shape, dtype=torch.bool, device=training.device) for _ in range(2)
        )

    def after_epoch(self, epoch: int, leaving: Sequence[int]) -> None:
        """Compare with the epoch before."""
        network, nets = self.training.network, self.training.nets
        right = torch.cat([predict(network, *nets, *part).right for part in self.passes()], 1)
        self._events += self._right & ~right
        self._ever |= right
        self._right = right

    def values(self) -> Tensor:
        """Counts, which many examples share; the number of epochs for those that were never right."""
        return torch.where(self._ever, self._events, float(self.training.shared.epochs))


SCORE = Forgetting
