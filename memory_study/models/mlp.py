"""Multilayer perceptron with ReLUs, as a stack with closed-form gradients. Source: Arpit et al. 2017, section 3.

Written out by hand because stacking pays only with few passes over memory: every product is one batched matrix
product over all replicas, the update is fused into the product that computes the gradient, and a layer's ReLU and
mask cost one pass each way.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from memory_study.models._network import Layer, Shapes, Stack, glorot_uniform
from memory_study.regularizers._perturbation import Perturbation, Site


class MLP:
    """``depth`` hidden layers of ``width`` units; kernels are [input, output], Glorot uniform; biases start at 0."""

    def __init__(self, image: tuple[int, int, int], classes: int, width: int, depth: int) -> None:
        self._units = [image[0] * image[1] * image[2], *[width] * depth, classes]
        self.shapes: Shapes = {
            name: shape
            for index, ends in enumerate(pairwise(self._units))
            for name, shape in ((f"kernel{index}", ends), (f"bias{index}", (1, ends[1])))
        }
        self.buffer_shapes: Shapes = {}
        self.kernels = tuple(name for name in self.shapes if name.startswith("kernel"))

    def initialize(self, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`memory_study.models.Network`."""
        return {
            name: glorot_uniform(shape, shape[0], shape[1], generator)
            if name in self.kernels
            else torch.zeros(shape)
            for name, shape in self.shapes.items()
        }

    def initial_buffers(self) -> dict[str, Tensor]:
        """None."""
        return {}

    def activations(self, replicas: int) -> int:
        """See :class:`memory_study.models.Network`."""
        return replicas * sum(self._units)

    def logits(self, parameters: Stack, buffers: Stack, inputs: Tensor) -> Tensor:
        """See :class:`memory_study.models.Network`."""
        return self._forward(parameters, inputs.flatten(2))[-1]

    def input_gradient(
        self, parameters: Stack, buffers: Stack, inputs: Tensor, targets: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See :class:`memory_study.models.Network`."""
        *hidden, logits = self._forward(parameters, inputs.flatten(2))
        delta = _cross_entropy_gradient(logits, logits.argmax(-1) if targets is None else targets)
        for index in reversed(range(len(self.kernels))):
            delta = torch.bmm(delta, parameters[f"kernel{index}"].transpose(1, 2))
            if index > 0:
                delta = _through_relu(delta, hidden[index - 1])
        return delta.view(inputs.shape), logits

    def accumulate(
        self,
        parameters: Stack,
        buffers: Stack,
        inputs: Tensor,
        targets: Tensor,
        scale: Tensor,
        perturbation: Perturbation,
        into: Stack,
        keep: float,
    ) -> None:
        """See :class:`memory_study.models.Network`."""
        activations = inputs.flatten(2)
        perturbation.inputs_(activations)
        sites = [Site(activations, activations, ())]
        last = len(self.kernels) - 1
        for index in range(last):
            relu = _affine(parameters, index, sites[-1].output).relu_()
            sites.append(perturbation.hidden(relu, f"dense{index}", dense=True))
        logits = _affine(parameters, last, sites[-1].output)
        delta = _cross_entropy_gradient(logits, targets).mul_(scale[:, None, None])
        for index in range(last, -1, -1):
            site = sites[index]
            # Before the update, which may be to this very kernel.
            below = torch.bmm(delta, parameters[f"kernel{index}"].transpose(1, 2)) if index > 0 else delta
            into[f"kernel{index}"].baddbmm_(site.output.transpose(1, 2), delta, beta=keep)
            bias = into[f"bias{index}"]
            torch.add(delta.sum(1, keepdim=True), bias, alpha=keep, out=bias) if keep else torch.sum(
                delta, 1, keepdim=True, out=bias
            )
            if index > 0:
                delta = _through_relu(below, site.gate)
                for rows, factor in site.factors:
                    delta[rows].mul_(factor)

    def layers(self, parameters: Stack, buffers: Stack) -> tuple[list[Layer], dict[str, Tensor]]:
        """See :class:`memory_study.models.Network`."""
        layers: list[Layer] = [("Flatten", {})]
        state = {}
        for index, ends in enumerate(pairwise(self._units)):
            layers += [("ReLU", {})] if index > 0 else []
            state[f"{len(layers)}.weight"] = parameters[f"kernel{index}"][0].T
            state[f"{len(layers)}.bias"] = parameters[f"bias{index}"][0, 0]
            layers.append(("Linear", {"in_features": ends[0], "out_features": ends[1]}))
        return layers, state

    def _forward(self, parameters: Stack, inputs: Tensor) -> list[Tensor]:
        """Eval-mode ReLU outputs of the hidden layers and, last, the logits: [replica, example, units] each."""
        outputs = [inputs]
        for index in range(len(self.kernels)):
            output = _affine(parameters, index, outputs[-1])
            outputs.append(output.relu_() if index < len(self.kernels) - 1 else output)
        return outputs[1:]


def _affine(parameters: Stack, index: int, inputs: Tensor) -> Tensor:
    # A product and then a sum: baddbmm would first copy the bias out to the result's shape, three times slower.
    return torch.bmm(inputs, parameters[f"kernel{index}"]).add_(parameters[f"bias{index}"])


def _cross_entropy_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    """Of the summed cross-entropy with respect to ``logits`` [replica, example, class]: softmax minus targets.

    These are labels [replica, example], or probabilities shaped like the logits.
    """
    # Over a short last axis softmax is not vectorized: classes first is 15 times faster for ten of them.
    gradient = torch.softmax(logits.transpose(1, 2).contiguous(), 1)
    if targets.is_floating_point():
        gradient.sub_(targets.transpose(1, 2))
    else:
        minus_one = gradient.new_full((1, 1, 1), -1.0).expand(targets.shape[0], 1, targets.shape[1])
        gradient.scatter_add_(1, targets.unsqueeze(1), minus_one)
    return gradient.transpose(1, 2).contiguous()


def _through_relu(delta: Tensor, gate: Tensor) -> Tensor:
    """``delta`` where ``gate`` is positive, else 0: one pass, into ``delta`` itself."""
    torch.ops.aten.threshold_backward.grad_input(delta, gate, 0, grad_input=delta)
    return delta
