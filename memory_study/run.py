"""The one way from a cohort to its records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from memory_study import datasets
from memory_study._checkpoint import Checkpoints, State
from memory_study._precision import full_precision
from memory_study._pruning import prune
from memory_study.cohort import Cohort
from memory_study.export import serialize
from memory_study.record import Record
from memory_study.train import Training, train


def run_cohort(
    cohort: Cohort,
    *,
    location: Path,
    device: str = "cpu",
    keep_models: bool = False,
    heartbeat: Callable[[int], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> list[Record]:
    """Train ``cohort`` on ``device`` and measure every trial: one record each, in the cohort's order.

    ``location`` is where :func:`memory_study.datasets.location` says that the data lie. ``heartbeat(epoch)`` is called
    after every epoch; ``keep_models`` puts each trained net into its record, as :mod:`memory_study.export` writes it;
    ``checkpoints`` keeps the state of training, and gives it to whoever trains the cohort, or a part of it, again: not a
    state in which trials have ended without their nets, where ``keep_models`` asks for those.
    Raises :class:`memory_study.datasets.DataError`, and whatever training raises (out of memory among it).
    """
    full_precision(torch.device(device))
    splits = datasets.load(cohort.configs[0], location)

    def leave(training: Training, rows: list[int]) -> None:
        for row, accuracy in zip(rows, training.test_accuracies(rows), strict=True):
            history = training.histories[training.configs[row].id]
            history.test_accuracy = accuracy
            history.model = serialize(training, row, splits) if keep_models else None

    peak = PeakMemory(torch.device(device))
    with torch.no_grad():
        beat = heartbeat or (lambda epoch: None)
        dropping = partial(prune, cohort, splits, torch.device(device))
        usable = partial(_has_models, cohort) if keep_models else lambda state: True
        histories = train(cohort, splits, torch.device(device), leave, beat, checkpoints, dropping, usable)
    for history in histories.values():
        history.scalars.update(peak.scalars())
    return [histories[c.id].record() for c in cohort.configs]


def _has_models(cohort: Cohort, state: State) -> bool:
    """Whether the trials that had left by then have their nets in ``state``: it may be of a run that kept none."""
    left = (config.id for config in cohort.configs if config.id not in state.rows)
    return all(state.histories[trial]["model"] is not None for trial in left)


class PeakMemory:
    """The most bytes that torch reserves on a GPU from here on: what the next cohort like this one has to be given."""

    def __init__(self, device: torch.device) -> None:
        """On a CPU nothing is measured."""
        self._device = device
        if device.type == "cuda":
            torch.cuda.empty_cache()  # earlier cohorts of this process leave what they reserved
            torch.cuda.reset_peak_memory_stats(device)

    def scalars(self) -> dict[str, float]:
        """What a record says of it."""
        if self._device.type != "cuda":
            return {}
        return {"peak_memory_bytes": float(torch.cuda.max_memory_reserved(self._device))}
