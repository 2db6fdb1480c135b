"""What a regularizer is, and how one is found."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from memory_study import _found

if TYPE_CHECKING:
    from torch import Tensor


class Draws(Protocol):
    """Random numbers of the current step, shared by all replicas of one seed and equal however they are stacked."""

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Uniform on [0, 1). ``shape`` is that of one replica; the result is [replica, *shape]."""

    def normal(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal. ``shape`` is that of one replica; the result is [replica, *shape]."""


class Regularizer:
    """One kind, acting on the replicas of a stack that use it. Every method here is the identity.

    ``strengths`` everywhere has shape [replica], positive. ``shape`` is that of one replica's tensor, batch first.
    """

    grid: tuple[float, ...] = ()
    """Strengths of the paper's sweep, 0 (the control) left out."""
    limit: float = math.inf
    """Largest strength that makes sense; excluded where ``open_limit``."""
    open_limit: bool = False
    meaning: str = ""
    """What the strength is, with its unit."""
    cost: float = 1.0
    """Arithmetic of a training step with it, in that of one without; trials of different costs are not stacked."""
    copies: int = 0
    """Copies of the weights that a step holds besides those of any step."""

    def mixing(self, strengths: Tensor, examples: int, draws: Draws) -> tuple[Tensor, Tensor] | None:
        """Each example's partner, a place in the batch [replica, examples], and what it weighs [replica], or None.

        Scaled inputs and targets become (1 - weight) times their own plus weight times the partner's, before all else.
        """

    def smoothing(self, strengths: Tensor) -> Tensor | None:
        """Share [replica] of each target that is spread evenly over all classes, after mixing; or None."""

    def input_factor(self, strengths: Tensor, shape: tuple[int, ...], draws: Draws) -> Tensor | None:
        """What the scaled inputs are multiplied by in training: [replica, batch, ...], or None for nothing."""

    def input_noise(self, strengths: Tensor, shape: tuple[int, ...], draws: Draws) -> Tensor | None:
        """What is added to the scaled inputs in training, before ``input_factor``: [replica, batch, ...], or None."""

    def hidden_factor(
        self, strengths: Tensor, shape: tuple[int, ...], draws: Draws, site: str
    ) -> Tensor | None:
        """What the ReLU output of dense layer ``site`` is multiplied by in training: [replica, batch, units], or None."""

    def hidden_noise(
        self, strengths: Tensor, shape: tuple[int, ...], draws: Draws, site: str
    ) -> Tensor | None:
        """What is added to any hidden ReLU's output, before ``hidden_factor``: [replica, batch, ...], or None."""

    def kernel_decay(self, strengths: Tensor) -> Tensor | None:
        """Coefficient c [replica] of the gradient c * w added for every kernel w (no biases, no normalization)."""

    def adversarial_weight(self, strengths: Tensor) -> Tensor | None:
        """Weight [replica] of the cross-entropy at adversarial inputs; the clean loss gets one minus it."""

    def ascent_radius(self, strengths: Tensor) -> Tensor | None:
        """How far [replica] up the batch's loss the gradient is taken, in units of the weights, or None for not at all."""

    def patience(self, strength: float) -> int | None:
        """Validations in a row without a new best accuracy that end the training, or None for any number."""


def kinds() -> tuple[str, ...]:
    """Every regularizer that has a file here, in alphabetical order."""
    return _found.names(__package__)


@functools.cache
def find(kind: str) -> Regularizer:
    """The regularizer of file ``<kind>.py``. Raises ValueError, with the list, for a kind that has no file."""
    found: Regularizer = _found.find(__package__, "regularizer", kind, kinds())
    return found


def problems(kind: str, strength: float) -> Iterator[str]:
    """Yield a line for every rule that this strength of this kind breaks."""
    try:
        regularizer = find(kind)
    except ValueError as error:
        yield str(error)
        return
    limit = regularizer.limit
    within = 0 <= strength < limit or (strength == limit and not regularizer.open_limit)
    if not (within and math.isfinite(strength)):
        upper = "" if math.isinf(limit) else f" {'<' if regularizer.open_limit else '<='} {limit:g}"
        rule = f"use 0 <= strength{upper}" if upper else "use a finite number of at least 0"
        yield f"{kind} strength {strength:g} is out of range; {rule} ({regularizer.meaning})"
