"""The loss of an example, after the first training: high for what is not learned yet."""

from __future__ import annotations

import torch
from torch import Tensor

from memory_study.measures.accuracy import predict
from memory_study.scores._base import Score


class Loss(Score):
    """Cross-entropy with the label as trained on, in eval mode, in nats."""

    def values(self) -> Tensor:
        """Of the nets as they are."""
        network, nets = self.training.network, self.training.nets
        return torch.cat([predict(network, *nets, *part).losses for part in self.passes()], 1)


SCORE = Loss
