"""EL2N, the norm of the error of an example, after the first training. Source: Paul et al. 2021.

They average it over ten nets; here it is that of one, the one whose training goes on with the examples that are left.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from memory_study.scores._base import Score


class EL2N(Score):
    """Euclidean norm of the softmax of the logits minus the one-hot label, in eval mode."""

    def values(self) -> Tensor:
        """Of the nets as they are."""
        found = []
        for inputs, labels in self.passes():
            logits = self.training.network.logits(*self.training.nets, inputs)
            error = logits.softmax(-1) - one_hot(labels, logits.shape[-1])
            found.append(error.norm(dim=-1))
        return torch.cat(found, 1)


SCORE = EL2N
