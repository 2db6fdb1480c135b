"""Loss and accuracy of every replica on a set of examples, in eval mode."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memory_study.models import Network, Stack

CPU_CHUNK = 128
"""Examples in one pass on a CPU: few enough that a stack's activations stay in cache, and a fixed number because
convolutions round differently by how many examples they get."""
GPU_FLOATS = 2**27
"""Floats of activations that one pass holds on a GPU (0.5 GiB in float32), where large passes are fast passes."""


class Predictions(NamedTuple):
    """Per example: cross-entropy in nats, the predicted class (-1 from logits that are not finite), and whether it is
    the label. Shapes [replica, example].
    """

    losses: Tensor
    predicted: Tensor
    right: Tensor

    def mean(self, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy [replica] over the examples of ``mask`` [replica, example]; NaN where it has none.

        Accuracy is the exact count divided in float64, so that 1.0 means every single example.
        """
        if mask is None:
            return self.losses.mean(1), self.right.sum(1).double() / self.right.shape[1]
        count = mask.sum(1).double()
        loss = torch.where(mask, self.losses, 0).sum(1) / count.to(self.losses.dtype)
        return loss, share(self.right, mask)


def share(chosen: Tensor, mask: Tensor) -> Tensor:
    """How many of the examples of ``mask`` [replica, example] are ``chosen``: float64 [replica], NaN where it has none."""
    return (chosen & mask).sum(1).double() / mask.sum(1).double()


def predict(
    network: Network, parameters: Stack, buffers: Stack, inputs: Tensor, labels: Tensor
) -> Predictions:
    """Evaluate on ``inputs`` [replica or 1, example, ...] with ``labels`` [replica or 1, example].

    A prediction from logits that are not finite counts as wrong.
    """
    replicas, examples = parameters[next(iter(network.shapes))].shape[0], inputs.shape[1]
    losses = parameters.flat.new_empty(replicas, examples)
    predicted = torch.empty(replicas, examples, dtype=torch.long, device=losses.device)
    step = gpu_step(network, replicas) if inputs.is_cuda else CPU_CHUNK
    for start in range(0, examples, step):
        part = slice(start, min(start + step, examples))
        logits = network.logits(parameters, buffers, inputs[:, part].expand(replicas, -1, *inputs.shape[2:]))
        target = labels[:, part].expand(replicas, -1)
        # Classes before examples: over a short last axis log-softmax is not vectorized.
        surprise = torch.log_softmax(logits.transpose(1, 2).contiguous(), 1).neg_()
        losses[:, part] = surprise.gather(1, target.unsqueeze(1)).squeeze(1)
        predicted[:, part] = logits.argmax(-1).where(losses[:, part].isfinite(), -1)
    return Predictions(losses, predicted, predicted == labels)


def gpu_step(network: Network, replicas: int) -> int:
    """Examples in one pass of a stack on a GPU: at least 1, at most what :data:`GPU_FLOATS` holds."""
    return max(1, GPU_FLOATS // network.activations(replicas))
