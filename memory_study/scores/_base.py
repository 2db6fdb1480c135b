"""What a score of training examples is, and how one is found. Listing them needs no torch."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from memory_study import _found
from memory_study.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor


class Score(Measure):
    """Gives each training example a number, by a first training that it watches; made anew for each training.

    It is called as any :class:`Measure`, for a training that no replica leaves: ``leaving`` is empty in every epoch.
    """

    trained = True
    """Whether the training matters. Where no score needs it, there is none."""

    def values(self) -> Tensor:
        """After the last epoch: [replica, example] of a floating point type, higher for what there is more of."""
        raise NotImplementedError

    def passes(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The training set in order: inputs [replica, example, ...] and labels [replica, example] of a few at a time."""
        from memory_study.measures.accuracy import CPU_CHUNK, gpu_step

        training = self.training
        rows, total = range(len(training.configs)), len(training.data)
        step = gpu_step(training.network, len(rows)) if training.device.type == "cuda" else CPU_CHUNK
        for start in range(0, total, step):
            inputs, labels = training.data.parts(slice(start, min(start + step, total)), rows)
            yield inputs.expand(len(rows), *inputs.shape[1:]), labels


def names() -> tuple[str, ...]:
    """The scores that a config may drop examples by, in alphabetical order: those that have a file here."""
    return _found.names(__package__)


@functools.cache
def find(name: str) -> type[Score]:
    """The score of file ``<name>.py``. Raises ValueError, with the list, for a name that has no file."""
    found: type[Score] = _found.find(__package__, "score", name, names())
    return found
