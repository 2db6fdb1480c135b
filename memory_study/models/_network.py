"""What every model offers to training, and the tensors of a stack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from memory_study.regularizers._perturbation import Perturbation

Shapes = Mapping[str, tuple[int, ...]]


class Stack:
    """Named tensors of a stack of replicas, each contiguous unless wide, all views of one flat tensor.

    Contiguous, because only then a batched product writes into them in one call; flat, because an update is then one
    operation however many layers there are. Rows of wide matrices are kept apart: see :func:`_padding`.
    """

    def __init__(self, tensors: Mapping[str, Tensor], flat: Tensor) -> None:
        self._tensors, self.flat = tensors, flat

    @classmethod
    def empty(cls, shapes: Shapes, replicas: int, like: Tensor) -> Stack:
        """A stack with the dtype and device of ``like``, its values not yet set."""
        rows = {name: (*shape[:-1], shape[-1] + _padding(shape)) for name, shape in shapes.items()}
        flat = like.new_zeros(replicas * sum(math.prod(row) for row in rows.values()))
        tensors, offset = {}, 0
        for name, shape in shapes.items():
            size = replicas * math.prod(rows[name])
            tensors[name] = flat[offset : offset + size].view(replicas, *rows[name])[..., : shape[-1]]
            offset += size
        return cls(tensors, flat)

    @classmethod
    def of(cls, shapes: Shapes, rows: Sequence[Mapping[str, Tensor]], like: Tensor) -> Stack:
        """The stack whose replica r has the tensors ``rows[r]``, copied to the dtype and device of ``like``."""
        stack = cls.empty(shapes, len(rows), like)
        for name in shapes:
            for row, tensors in enumerate(rows):
                stack[name][row].copy_(tensors[name])
        return stack

    def __getitem__(self, name: str) -> Tensor:
        """Shape [replica, *shape of the name]; writing to it writes to the stack."""
        return self._tensors[name]

    def names(self) -> tuple[str, ...]:
        """Names of the tensors."""
        return tuple(self._tensors)

    def zeros(self) -> Stack:
        """A stack of zeros shaped like this one."""
        shapes = {name: tuple(tensor.shape[1:]) for name, tensor in self._tensors.items()}
        stack = Stack.empty(shapes, self.replicas, self.flat)
        stack.flat.zero_()
        return stack

    def rows(self, rows: slice) -> Stack:
        """The stack of some neighbouring replicas: a view, without a flat tensor of its own."""
        return Stack({name: tensor[rows] for name, tensor in self._tensors.items()}, self.flat[:0])

    def keep(self, rows: Sequence[int]) -> Stack:
        """The stack of the given replicas, in the given order: a copy."""
        shapes = {name: tuple(tensor.shape[1:]) for name, tensor in self._tensors.items()}
        stack = Stack.empty(shapes, len(rows), self.flat)
        index = torch.tensor(rows, device=self.flat.device, dtype=torch.long)
        for name, tensor in self._tensors.items():
            torch.index_select(tensor, 0, index, out=stack[name])
        return stack

    @property
    def replicas(self) -> int:
        """How many; 0 for a stack without tensors."""
        return next(iter(self._tensors.values())).shape[0] if self._tensors else 0


def _padding(shape: tuple[int, ...]) -> int:
    """Zeros kept after each row of a matrix: a cache line's worth where rows would lie a multiple of 2 KiB apart.

    Such rows fall into the same few sets of the cache: forward products with them are 1.2 to 1.6 times slower (measured
    on a Xeon, widths 1024 to 4096).
    """
    return 16 if len(shape) == 2 and shape[1] >= 1024 and shape[1] % 512 == 0 else 0


Layer = tuple[str, dict[str, int | float | bool]]
"""Name of a class of ``torch.nn`` and its keyword arguments."""


class Network(Protocol):
    """One architecture. It holds no parameters: they come in a :class:`Stack`, [replica, ...].

    ``inputs`` are scaled images [replica, example, channel, height, width]; ``buffers`` is what training updates
    besides the parameters (running statistics), empty for most.
    """

    shapes: Shapes
    buffer_shapes: Shapes
    kernels: tuple[str, ...]
    """Parameters that weight decay acts on."""

    def initialize(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh parameters of one replica, float32 on the CPU, from ``generator`` alone."""
        ...

    def initial_buffers(self) -> dict[str, Tensor]:
        """Fresh buffers of one replica."""
        ...

    def activations(self, replicas: int) -> int:
        """Floats per example that evaluating a stack of so many replicas holds at once."""
        ...

    def logits(self, parameters: Stack, buffers: Stack, inputs: Tensor) -> Tensor:
        """Eval-mode logits [replica, example, class], which autograd can differentiate by ``parameters``."""
        ...

    def input_gradient(
        self, parameters: Stack, buffers: Stack, inputs: Tensor, targets: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Gradient of the summed cross-entropy with respect to ``inputs``, and the logits, both in eval mode.

        ``targets`` are labels [replica, example]; None takes what the net predicts.
        """
        ...

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
        """``into = keep * into + scale * d(sum of cross-entropies)/d(parameters)``, in train mode.

        ``inputs`` may be overwritten; ``targets`` are labels [replica, example], or probabilities [replica, example,
        class]; ``scale`` is [replica]. ``into`` may be ``parameters`` itself.
        """
        ...

    def layers(self, parameters: Stack, buffers: Stack) -> tuple[list[Layer], dict[str, Tensor]]:
        """The first replica as layers of a ``torch.nn.Sequential`` on scaled images, with its state dict."""
        ...


def glorot_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, generator: torch.Generator) -> Tensor:
    """Uniform on +- sqrt(6 / (fan_in + fan_out)). Source: Glorot and Bengio 2010; the default of Keras."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    return torch.rand(shape, generator=generator).mul_(2 * limit).sub_(limit)
