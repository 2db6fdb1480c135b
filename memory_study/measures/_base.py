"""What a further measure is, and how one is found. Listing them needs no torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memory_study import _found

if TYPE_CHECKING:
    from memory_study.train import Training

_ALWAYS = ("accuracy", "critical_samples")
"""Measured on every trial, without being asked for."""


class Measure:
    """Watches one cohort in training and adds to the histories of its trials; made anew for each training.

    What it finds goes to ``training.histories[config.id]``: curves (``measure``), ``scalars`` and ``arrays``, each
    under a name that :mod:`memory_study.record` explains. Rows are those of the stack as it is at the time of the call.
    Every method here does nothing. They are called without gradients: see :func:`torch.enable_grad`.
    """

    resumable = True
    """Whether all that it must remember is in the histories. Else its cohort keeps no checkpoints."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def before_training(self) -> None:
        """The nets are as they were drawn."""

    def after_step(self, epoch: int) -> None:
        """One step of ``epoch`` is made."""

    def after_epoch(self, epoch: int, leaving: Sequence[int]) -> None:
        """``epoch`` is over and evaluated; for the rows ``leaving``, which have not diverged, training is over too."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with only these replicas, in this order."""


def names() -> tuple[str, ...]:
    """The measures that a config may ask for, in alphabetical order: those that have a file here."""
    return _found.names(__package__, *_ALWAYS)


@functools.cache
def find(name: str) -> type[Measure]:
    """The measure of file ``<name>.py``. Raises ValueError, with the list, for a name that has no file."""
    found: type[Measure] = _found.find(__package__, "measure", name, names())
    return found
