"""Gradients of the loss with respect to the training inputs, through every update that an MLP made with them.

Training is ``w_{s+1} = w_s + v_{s+1}``, ``v_{s+1} = m v_s - eta_s g_s``, with ``g_s`` the gradient of the mean loss over the
batch of step s. The loss after t updates depends on an input through every batch that held it. In reverse, with p and q
the derivatives with respect to weights and velocity: ``u = p + q``; the inputs of batch s gain ``-eta_s d<g_s, u>/dX``;
``p -= eta_s H_s u``, ``q = m u``. So one pass back over the stored weights gives the gradients for all inputs and, stacked
as *objectives*, for several t and parts of the loss. ``H u`` and ``d<g, u>/dX`` are derivatives along u of the gradients
with respect to weights and inputs, and written out: 1.1 to 3 times as fast as double backward (measured, 1 to 80
objectives).
Sources: Pearlmutter 1994 (derivatives along u); Maclaurin et al. 2015 (reverse mode through training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from memory_study.models import Stack


class Layer(NamedTuple):
    """Weights: kernel [replica, in, out], bias [replica, 1, out]. Directions, one for each objective, have an axis
    more: kernel [replica, in, objective, out], bias [replica, objective, out].
    """

    kernel: Tensor
    bias: Tensor


@dataclass(slots=True)
class Trajectory:
    """What a stack of MLPs went through: step s used the ``examples[s]`` [replica, batch] at the ``rates[s]`` [replica].

    ``weights`` has an entry more: those before each step, and those after the last.
    """

    momentum: float
    weights: list[list[Layer]] = field(default_factory=list)
    examples: list[Tensor] = field(default_factory=list)
    rates: list[Tensor] = field(default_factory=list)

    def add(self, parameters: Stack) -> None:
        """Add a copy of the weights as they are now."""
        layers = len(parameters.names()) // 2
        named = ((parameters[f"kernel{i}"], parameters[f"bias{i}"]) for i in range(layers))
        self.weights.append([Layer(kernel.clone(), bias.clone()) for kernel, bias in named])

    def rows(self, rows: slice) -> Trajectory:
        """Of some neighbouring replicas: views, because all weights that training passed may not fit a device twice."""
        return Trajectory(
            self.momentum,
            [[Layer(layer.kernel[rows], layer.bias[rows]) for layer in layers] for layers in self.weights],
            [examples[rows] for examples in self.examples],
            [rates[rows] for rates in self.rates],
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with only these replicas, in this order. Of one step at a time the weights are there twice."""
        index = torch.tensor(rows, dtype=torch.long, device=self.weights[0][0].kernel.device)
        for layers in self.weights:
            layers[:] = [Layer(layer.kernel[index], layer.bias[index]) for layer in layers]
        self.examples = [examples[index] for examples in self.examples]
        self.rates = [rates[index] for rates in self.rates]


def input_gradients(
    trajectory: Trajectory, inputs: Tensor, labels: Tensor, steps: Sequence[int], parts: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of each objective with respect to each input, direct and indirect: [replica, example, objective, pixel].

    Objective k is the sum of ``parts[:, :, k]`` [replica, example, objective] times the cross-entropies after ``steps[k]``
    updates, divided by the number of examples. Direct: of these losses at fixed weights. Indirect: through the
    weights; 0 for an example that no batch held so far. ``inputs`` [replica, example, pixel], in whose type all is
    computed; ``labels`` [replica, example]; ``steps`` ascend, from 1.
    """
    replica = torch.arange(len(inputs), device=inputs.device)[:, None]
    direct = inputs.new_zeros(*inputs.shape[:2], len(steps), inputs.shape[2])
    indirect = torch.zeros_like(direct)
    first = len(steps)
    pulls: list[Layer] = []
    momenta: list[Layer] = []
    for step in range(max(steps), 0, -1):
        new = [k for k in range(first) if steps[k] == step]
        if new:
            first = new[0]
            chosen = slice(first, first + len(new))
            gradient, direct[:, :, chosen] = _gradient(
                _typed(trajectory.weights[step], inputs), inputs, labels, parts[:, :, chosen]
            )
            pulls = _before(gradient, pulls)
            momenta = _before([Layer(*map(torch.zeros_like, layer)) for layer in gradient], momenta)
        examples, rate = trajectory.examples[step - 1], trajectory.rates[step - 1].to(inputs.dtype)
        if trajectory.momentum:
            momenta = [
                Layer(p.kernel + q.kernel, p.bias + q.bias) for p, q in zip(pulls, momenta, strict=True)
            ]
        along = momenta if trajectory.momentum else pulls
        batch, answers = inputs[replica, examples], labels.gather(1, examples)
        curved, mixed = _derivatives_along(
            _typed(trajectory.weights[step - 1], inputs), batch, answers, along
        )
        indirect[replica, examples, first:] -= mixed.mul_(rate.view(-1, 1, 1, 1))
        for pull, curve in zip(pulls, curved, strict=True):
            pull.kernel.sub_(curve.kernel.mul_(rate.view(-1, 1, 1, 1)))
            pull.bias.sub_(curve.bias.mul_(rate.view(-1, 1, 1)))
        for layer in momenta:
            layer.kernel.mul_(trajectory.momentum)
            layer.bias.mul_(trajectory.momentum)
    return direct, indirect


def _typed(layers: Sequence[Layer], like: Tensor) -> list[Layer]:
    """The weights of one step in the type of ``like``. All steps at once would need twice the memory and more."""
    return [Layer(layer.kernel.to(like.dtype), layer.bias.to(like.dtype)) for layer in layers]


def _before(new: list[Layer], old: list[Layer]) -> list[Layer]:
    """The objectives of both, the new ones first."""
    if not old:
        return new
    return [
        Layer(torch.cat([n.kernel, o.kernel], 2), torch.cat([n.bias, o.bias], 1))
        for n, o in zip(new, old, strict=True)
    ]


def _forward(layers: Sequence[Layer], inputs: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """What enters each layer, the softmax of the logits, and that minus the one-hot labels: [replica, example, units]."""
    entering = [inputs]
    for layer in layers[:-1]:
        entering.append(torch.baddbmm(layer.bias, entering[-1], layer.kernel).relu_())
    softmax = torch.baddbmm(layers[-1].bias, entering[-1], layers[-1].kernel).softmax(-1)
    minus_one = softmax.new_full((1, 1, 1), -1.0).expand(*labels.shape, 1)
    return entering, softmax, softmax.scatter_add(2, labels[..., None], minus_one)


def _gradient(
    layers: Sequence[Layer], inputs: Tensor, labels: Tensor, parts: Tensor
) -> tuple[list[Layer], Tensor]:
    """Gradients of the objectives ``parts`` with respect to weights and to inputs [replica, example, objective, pixel]."""
    entering, _, error = _forward(layers, inputs, labels)
    backward = error[:, :, None] * (parts / inputs.shape[1])[..., None]
    gradients = []
    for layer, below in reversed(list(zip(layers, entering, strict=True))):
        gradients.append(Layer(_times(below.mT, backward), backward.sum(1)))
        backward = _through(backward, layer.kernel)
        if below is not inputs:
            backward *= (below > 0)[:, :, None]
    return gradients[::-1], backward


def _derivatives_along(
    layers: Sequence[Layer], inputs: Tensor, labels: Tensor, along: Sequence[Layer]
) -> tuple[list[Layer], Tensor]:
    """Derivatives along the directions ``along`` of the mean loss's gradients with respect to weights and inputs.

    The first are Hessian-vector products, shaped as ``along``; the second is [replica, example, objective, pixel].
    """
    entering, softmax, error = _forward(layers, inputs, labels)
    moved: list[
        Tensor
    ] = []  # what enters each hidden layer and the last, along: [replica, example, objective, units]
    for layer, below, direction in zip(layers, entering, along, strict=True):
        change = _times(below, direction.kernel).add_(direction.bias[:, None])
        if moved:
            moved[-1] *= (below > 0)[:, :, None]
            change += _into(moved[-1], layer.kernel)
        moved.append(change)
    change = moved.pop()
    change -= torch.matmul(change, softmax[..., None])
    change *= softmax[:, :, None]
    change /= inputs.shape[1]
    error /= inputs.shape[1]
    products = []
    for place in reversed(range(len(layers))):
        below, kernel = entering[place], layers[place].kernel
        curve = _times(below.mT, change)
        if place > 0:
            curve += torch.matmul(moved[place - 1].permute(0, 2, 3, 1), error[:, None]).transpose(1, 2)
        products.append(Layer(curve, change.sum(1)))
        change = _through(change, kernel).add_(_times(error, along[place].kernel.permute(0, 3, 2, 1)))
        if place > 0:
            error = torch.bmm(error, kernel.mT) * (below > 0)
            change *= (below > 0)[:, :, None]
    return products[::-1], change


def _times(left: Tensor, right: Tensor) -> Tensor:
    """[replica, a, b] times [replica, b, objective, c]: [replica, a, objective, c], one product for all objectives."""
    return torch.bmm(left, right.flatten(2)).view(*left.shape[:2], *right.shape[2:])


def _into(values: Tensor, kernel: Tensor) -> Tensor:
    """[replica, example, objective, in] times a kernel [replica, in, out]."""
    return torch.bmm(values.flatten(1, 2), kernel).view(*values.shape[:3], kernel.shape[2])


def _through(values: Tensor, kernel: Tensor) -> Tensor:
    """[replica, example, objective, out] times the transpose of a kernel [replica, in, out]."""
    return _into(values, kernel.mT)
