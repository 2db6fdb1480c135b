"""The small AlexNet of Zhang et al. 2017 as Arpit et al. 2017 used it, with batch normalization.

Central crop, then twice [convolution 5x5, batch norm, ReLU, max pool 3x3], dense 384, batch norm, ReLU, dense 192,
batch norm, ReLU, dense. Padding and pooling stride are unstated: ``cnn-keras`` has valid padding and stride 3 (the
paper's footnote uses Keras' syntax), ``cnn-zhang`` same padding and stride 2.

Replicas are trained one at a time: stacked as grouped convolutions they are slower on a CPU, and one of them already
fills a GPU.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from memory_study.config import TrialConfig
from memory_study.cost import CNN_DENSE, KERNEL, POOL, convolution_sizes
from memory_study.models._network import Layer, Shapes, Stack, glorot_uniform
from memory_study.regularizers._perturbation import Perturbation

Replica = dict[str, Tensor]
"""One replica's tensors by name."""


class SmallAlexNet:
    """``config.width`` channels in each convolution. Raises ValueError for images that valid padding uses up."""

    def __init__(self, image: tuple[int, int, int], classes: int, config: TrialConfig) -> None:
        same = config.model == "cnn-zhang"
        self._momentum, self._epsilon = config.batch_norm_momentum, config.batch_norm_epsilon
        self._padding = KERNEL // 2 if same else 0
        self._pool_stride, self._pool_padding = (2, 1) if same else (3, 0)
        sizes = convolution_sizes(config.model, image)
        height, width = sizes[-1][2:]
        self._pixels = math.prod(image)
        self._widest = config.width * max(size[0] * size[1] for size in sizes)
        channels = [image[0], config.width, config.width]
        units = [config.width * height * width, *CNN_DENSE, classes]
        self._convolutions = list(pairwise(channels))
        self._dense = list(pairwise(units))
        shapes: dict[str, tuple[int, ...]] = {}
        for index, (inputs, outputs) in enumerate(self._convolutions):
            shapes |= _block(f"conv{index}", (outputs, inputs, KERNEL, KERNEL))
        for index, (inputs, outputs) in enumerate(self._dense):
            shapes |= _block(f"dense{index}", (outputs, inputs), norm=index < len(self._dense) - 1)
        self.shapes: Shapes = shapes
        self.kernels = tuple(name for name in shapes if name.endswith("kernel"))
        scales = [(name, shape) for name, shape in shapes.items() if name.endswith("scale")]
        self.buffer_shapes: Shapes = {
            name.replace("scale", kind): shape for name, shape in scales for kind in ("mean", "variance")
        }

    def initialize(self, generator: torch.Generator) -> dict[str, Tensor]:
        """See :class:`memory_study.models.Network`."""
        values = {}
        for name, shape in self.shapes.items():
            if name in self.kernels:
                area = KERNEL * KERNEL if len(shape) == 4 else 1
                values[name] = glorot_uniform(shape, shape[1] * area, shape[0] * area, generator)
            else:
                values[name] = torch.ones(shape) if name.endswith("scale") else torch.zeros(shape)
        return values

    def initial_buffers(self) -> dict[str, Tensor]:
        """Running means of 0 and variances of 1."""
        return {
            name: torch.ones(shape) if name.endswith("variance") else torch.zeros(shape)
            for name, shape in self.buffer_shapes.items()
        }

    def activations(self, replicas: int) -> int:
        """The inputs of all replicas, and of one at a time a convolution's output, normalized, and after its ReLU."""
        return replicas * self._pixels + 3 * self._widest

    def logits(self, parameters: Stack, buffers: Stack, inputs: Tensor) -> Tensor:
        """See :class:`memory_study.models.Network`."""
        return torch.stack([self._forward(*replica) for replica in _replicas(parameters, buffers, inputs)])

    def input_gradient(
        self, parameters: Stack, buffers: Stack, inputs: Tensor, targets: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See :class:`memory_study.models.Network`."""
        gradients, logits = [], []
        for row, (weights, running, images) in enumerate(_replicas(parameters, buffers, inputs)):
            with torch.enable_grad():
                images = images.detach().requires_grad_()
                output = self._forward(weights, running, images)
                labels = output.argmax(-1) if targets is None else targets[row]
                loss = F.cross_entropy(output, labels, reduction="sum")
            gradients.append(torch.autograd.grad(loss, images)[0].contiguous())
            logits.append(output.detach())
        return torch.stack(gradients), torch.stack(logits)

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
        perturbation.inputs_(inputs)
        for row, (weights, running, images) in enumerate(_replicas(parameters, buffers, inputs)):
            with torch.enable_grad():
                weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
                output = self._forward(weights, running, images, perturbation.within(slice(row, row + 1)))
                loss = F.cross_entropy(output, targets[row], reduction="sum") * scale[row]
            gradients = torch.autograd.grad(loss, list(weights.values()))
            for name, gradient in zip(weights, gradients, strict=True):
                into[name][row].mul_(keep).add_(gradient)

    def layers(self, parameters: Stack, buffers: Stack) -> tuple[list[Layer], dict[str, Tensor]]:
        """See :class:`memory_study.models.Network`."""
        layers: list[Layer] = []
        state: dict[str, Tensor] = {}

        def add(kind: str, arguments: dict[str, Any], **tensors: Tensor) -> None:
            state.update({f"{len(layers)}.{name}": tensor for name, tensor in tensors.items()})
            layers.append((kind, arguments))

        def add_norm(kind: str, block: str, features: int) -> None:
            tensors = {"weight": parameters[f"{block}.scale"][0], "bias": parameters[f"{block}.shift"][0]}
            running = {
                "running_mean": buffers[f"{block}.mean"][0],
                "running_var": buffers[f"{block}.variance"][0],
                "num_batches_tracked": torch.tensor(
                    0
                ),  # unused under a constant momentum, but part of the layer
            }
            add(
                kind,
                {"num_features": features, "momentum": self._momentum, "eps": self._epsilon},
                **tensors,
                **running,
            )
            add("ReLU", {})

        for index, (inputs, outputs) in enumerate(self._convolutions):
            block = f"conv{index}"
            padding = self._padding
            sizes = {
                "in_channels": inputs,
                "out_channels": outputs,
                "kernel_size": KERNEL,
                "padding": padding,
            }
            add("Conv2d", sizes, weight=parameters[f"{block}.kernel"][0], bias=parameters[f"{block}.bias"][0])
            add_norm("BatchNorm2d", block, outputs)
            add(
                "MaxPool2d", {"kernel_size": POOL, "stride": self._pool_stride, "padding": self._pool_padding}
            )
        add("Flatten", {})
        for index, (inputs, outputs) in enumerate(self._dense):
            block = f"dense{index}"
            weight, bias = parameters[f"{block}.kernel"][0], parameters[f"{block}.bias"][0]
            add("Linear", {"in_features": inputs, "out_features": outputs}, weight=weight, bias=bias)
            if index < len(self._dense) - 1:
                add_norm("BatchNorm1d", block, outputs)
        return layers, state

    def _forward(
        self, weights: Replica, running: Replica, images: Tensor, perturbation: Perturbation | None = None
    ) -> Tensor:
        """Logits [example, class]; in train mode exactly where a perturbation is given."""
        # Channels last is the layout in which the convolutions of both CPUs and GPUs are fastest.
        output = images.contiguous(memory_format=torch.channels_last)
        for index in range(len(self._convolutions)):
            block = f"conv{index}"
            kernel = weights[f"{block}.kernel"].contiguous(memory_format=torch.channels_last)
            output = F.conv2d(output, kernel, weights[f"{block}.bias"], padding=self._padding)
            output = self._activate(output, block, weights, running, perturbation)
            output = F.max_pool2d(output, POOL, self._pool_stride, self._pool_padding)
        output = output.flatten(1)
        for index in range(len(self._dense)):
            block = f"dense{index}"
            output = F.linear(output, weights[f"{block}.kernel"], weights[f"{block}.bias"])
            if index < len(self._dense) - 1:
                output = self._activate(output, block, weights, running, perturbation)
        return output

    def _activate(
        self,
        output: Tensor,
        block: str,
        weights: Replica,
        running: Replica,
        perturbation: Perturbation | None,
    ) -> Tensor:
        """Batch normalization, ReLU, and in train mode the perturbation."""
        statistics = running[f"{block}.mean"], running[f"{block}.variance"]
        scale, shift = weights[f"{block}.scale"], weights[f"{block}.shift"]
        training = perturbation is not None
        output = F.batch_norm(
            output, *statistics, scale, shift, training, self._momentum, self._epsilon
        ).relu()
        if perturbation is not None:
            noises, factors = perturbation.hidden_terms(tuple(output.shape), block, block.startswith("dense"))
            for noise in noises:
                output = output + noise[0]
            for factor in factors:
                output = output * factor[0]
        return output


def _block(name: str, kernel: tuple[int, ...], norm: bool = True) -> dict[str, tuple[int, ...]]:
    """Shapes of a layer's parameters: kernel and bias, then scale and shift of its normalization."""
    outputs = (kernel[0],)
    shapes = {f"{name}.kernel": kernel, f"{name}.bias": outputs}
    return shapes | ({f"{name}.scale": outputs, f"{name}.shift": outputs} if norm else {})


def _replicas(parameters: Stack, buffers: Stack, inputs: Tensor) -> list[tuple[Replica, Replica, Tensor]]:
    """Parameters and inputs of each replica, copied, and its buffers, as views."""
    # Copied to memory of their own: kernels round differently by how their operands are aligned, and a replica's
    # alignment within the stack depends on its neighbours.
    return [
        (
            {name: parameters[name][row].clone() for name in parameters.names()},
            {name: buffers[name][row] for name in buffers.names()},
            inputs[row].clone(),
        )
        for row in range(inputs.shape[0])
    ]
