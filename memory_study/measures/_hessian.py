"""Hessians of the training loss of a stack, known by their products with vectors, and their largest eigenvalues."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from memory_study._measuring import Nets
from memory_study.measures.accuracy import gpu_step
from memory_study.models import Network, Stack

CPU_PART, CPU_FLOATS = 1000, 2**21
"""Examples in one graph on a CPU at most, and their activations in an evaluation. An MLP of width 128 is as fast with any
number of examples from 500 to 5000; a product of a CNN of width 16 takes .36 s with 50 to 250 of 1,000 examples in a graph,
1.06 s with all (measured)."""

GRAPH = 8
"""Times the activations of an evaluation that the graph of a gradient holds, about."""

HELD_FLOATS = 2**28
"""Floats of graphs that are kept from one product to the next (1 GiB in float32). More are made anew each time, for about
twice the arithmetic."""


class Hessian:
    """Of the mean cross-entropy of every replica over its examples, in eval mode, with respect to all parameters.

    ``examples(part)`` gives inputs [replica or 1, example, ...] and labels [replica, example] of a part of ``total``.
    """

    def __init__(
        self, network: Network, nets: Nets, examples: Callable[[slice], tuple[Tensor, Tensor]], total: int
    ) -> None:
        self._network, self._buffers, self._examples, self._total = network, nets.buffers, examples, total
        stack, replicas = nets.parameters, nets.parameters.replicas
        self._parameters = Stack({n: stack[n].detach().requires_grad_() for n in stack.names()}, stack.flat)
        cpu_step = min(CPU_PART, CPU_FLOATS // network.activations(replicas))
        step = max(1, gpu_step(network, replicas) // GRAPH if stack.flat.is_cuda else cpu_step)
        self._parts = [slice(start, min(start + step, total)) for start in range(0, total, step)]
        few = total * GRAPH * network.activations(replicas) <= HELD_FLOATS
        self._kept = [self._gradient(part) for part in self._parts] if few else None

    def times(self, vectors: Tensor) -> Tensor:
        """Each replica's Hessian times its vector: [replica, parameter]."""
        leaves, product = self._leaves, torch.zeros_like(vectors)
        sizes = [leaf[0].numel() for leaf in leaves]
        along = [
            part.reshape(leaf.shape)
            for part, leaf in zip(torch.split(vectors, sizes, 1), leaves, strict=True)
        ]
        for gradient in self._kept or map(self._gradient, self._parts):
            found = torch.autograd.grad(gradient, leaves, along, retain_graph=self._kept is not None)
            product += torch.cat([each.flatten(1) for each in found], 1)
        return product

    @property
    def _leaves(self) -> list[Tensor]:
        return [self._parameters[name] for name in self._parameters.names()]

    def _gradient(self, part: slice) -> tuple[Tensor, ...]:
        """What a part of the examples adds to the gradient, as a function of the parameters."""
        inputs, labels = self._examples(part)
        with torch.enable_grad():
            inputs = inputs.expand(len(labels), *inputs.shape[1:])
            logits = self._network.logits(self._parameters, self._buffers, inputs)
            loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / self._total
            return torch.autograd.grad(loss, self._leaves, create_graph=True)


def largest_eigenvalue(
    times: Callable[[Tensor], Tensor], start: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Largest eigenvalue of each replica's symmetric matrix, and its relative residual: float64 [replica] on the CPU.

    ``times`` maps vectors [replica, parameter], shaped as ``start``, to their products. A replica is done when its
    residual, which bounds the relative error, is at most ``tolerance``, and with ``iterations`` products in any case;
    the eigenvalue is then too small rather than too large. NaN where a product is not finite.

    Lanczos' recurrence without reorthogonalization: what rounding does to it repeats eigenvalues, and spoils none.
    Source: Paige 1980; Parlett 1998, chapter 13.
    """
    current, previous = start / start.norm(dim=1, keepdim=True), torch.zeros_like(start)
    beta = start.new_zeros(len(start), 1)
    matrix = torch.zeros(len(start), iterations, iterations, dtype=torch.float64)
    values = torch.full((len(start),), torch.nan, dtype=torch.float64)
    residuals = torch.full_like(values, torch.inf)
    for k in range(iterations):
        product = times(current).sub_(beta * previous)
        alpha = (product * current).sum(1, keepdim=True)
        product -= alpha * current
        beta = product.norm(dim=1, keepdim=True)
        diagonal, below = (each[:, 0].double().cpu() for each in (alpha, beta))
        sound = (diagonal + below).isfinite()
        matrix[:, k, k] = diagonal
        ritz, vectors = torch.linalg.eigh(torch.where(sound[:, None, None], matrix[:, : k + 1, : k + 1], 0))
        unfinished = residuals > tolerance
        largest = torch.where(sound, ritz[:, -1], torch.nan)
        values = torch.where(unfinished, largest, values)
        residual = below * vectors[:, -1, -1].abs() / largest.abs().clamp(min=torch.finfo(torch.float64).tiny)
        residuals = torch.where(unfinished, residual, residuals)
        if not (residuals > tolerance).any():
            break
        if k + 1 < iterations:
            matrix[:, k, k + 1] = matrix[:, k + 1, k] = below
        previous, current = current, product / beta.clamp(min=torch.finfo(beta.dtype).tiny)
    return values, residuals
