"""Stochastic gradient descent for a stack, with its learning rates, momentum and weight decay per replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from memory_study.models import Stack
from memory_study.regularizers._perturbation import Group

Accumulate = Callable[[Stack, float], None]
"""``accumulate(into, keep)``: ``into = keep * into - learning_rate * gradient``."""


class SGD:
    """Classical momentum, as in Keras: ``v = momentum * v - lr * g; w = w + v``. Without momentum, ``w = w - lr * g``.

    The gradient never exists as a tensor of its own: the product that computes it adds it to the velocity, or without
    momentum to the parameters themselves. Under a constant learning rate this is ``torch.optim.SGD``.
    """

    def __init__(self, parameters: Stack, momentum: float, kernels: tuple[str, ...]) -> None:
        self.parameters, self._momentum, self._kernels = parameters, momentum, kernels
        self.velocity: Stack | None = None

    def moving(self) -> Stack:
        """The velocities, which do not exist before the first step that needs them."""
        if self.velocity is None:
            self.velocity = self.parameters.zeros()
        return self.velocity

    def step(self, accumulates: list[Accumulate], decays: list[Group], learning_rates: Tensor) -> None:
        """One update. ``accumulates`` are the loss's terms in turn, ``decays`` the groups that have a weight decay."""
        shrinking = list(self._shrinking(decays, learning_rates))
        if self._momentum == 0 and len(accumulates) == 1:
            # Before the update, whose gradient and decay are both those of the weights as they are.
            shrinks = [(kernel, kernel * rate) for kernel, rate in shrinking]
            accumulates[0](self.parameters, 1.0)
            for kernel, shrink in shrinks:
                kernel.sub_(shrink)
            return
        moving = self.moving()
        keep = self._momentum
        for accumulate in accumulates:
            accumulate(moving, keep)
            keep = 1.0
        for (kernel, rate), (velocity, _) in zip(
            shrinking, self._shrinking(decays, learning_rates, moving), strict=True
        ):
            velocity.addcmul_(kernel, rate, value=-1)
        self.parameters.flat.add_(moving.flat)

    def _shrinking(
        self, decays: list[Group], learning_rates: Tensor, of: Stack | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The kernels that decay, or their like in ``of``, and the share of itself that each loses in a step."""
        for group in decays:
            coefficient = group.regularizer.kernel_decay(group.strengths)
            assert coefficient is not None
            rate = coefficient * learning_rates[group.rows]
            for name in self._kernels:
                kernel = (of or self.parameters)[name][group.rows]
                yield kernel, rate.view(-1, *[1] * (kernel.dim() - 1))

    def keep(self, rows: list[int]) -> None:
        """Go on with only these replicas, in this order."""
        self.parameters = self.parameters.keep(rows)
        self.velocity = self.velocity.keep(rows) if self.velocity is not None else None


def ascend_(parameters: Stack, descent: Stack, radii: Tensor) -> None:
    """Move each replica by ``radii`` [replica] against ``descent``, of any length but 0: up the loss whose descent it is.

    The length is that of all parameters of a replica together. One that has no slope stays.
    """
    squares = [descent[name].flatten(1).square().sum(1) for name in descent.names()]
    lengths = torch.stack(squares).sum(0).sqrt()
    steps = torch.where(lengths > 0, radii / lengths, 0)
    for name in parameters.names():
        tensor = parameters[name]
        tensor.addcmul_(descent[name], steps.view(-1, *[1] * (tensor.dim() - 1)), value=-1)


def learning_rates(initial: Tensor, epoch: int, halving_epochs: int) -> Tensor:
    """Learning rates [replica] in ``epoch``, counted from 1: halved after every ``halving_epochs``, 0 keeps them."""
    return initial if halving_epochs == 0 else initial * 0.5 ** ((epoch - 1) // halving_epochs)


def as_rates(values: list[float], like: Tensor) -> Tensor:
    """Learning rates [replica] with the dtype and device of ``like``."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)
