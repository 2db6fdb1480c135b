"""How steep the loss of an example is in its pixels, after the first training: its direct loss sensitivity then."""

from __future__ import annotations

import torch
from torch import Tensor

from memory_study.scores._base import Score


class InputGradient(Score):
    """1-norm of the gradient of the example's cross-entropy with respect to its inputs, in eval mode."""

    def values(self) -> Tensor:
        """Of the nets as they are."""
        network, nets = self.training.network, self.training.nets
        gradients = (network.input_gradient(*nets, *part)[0] for part in self.passes())
        return torch.cat([gradient.flatten(2).abs().sum(-1) for gradient in gradients], 1)


SCORE = InputGradient
