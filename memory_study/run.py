"""The one way from a cohort to its records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from memory_study import datasets
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
) -> list[Record]:
    """Train ``cohort`` on ``device`` and measure every trial: one record each, in the cohort's order.

    ``location`` is where :func:`memory_study.datasets.location` says that the data lie. ``heartbeat(epoch)`` is called
    after every epoch; ``keep_models`` puts each trained net into its record, as :mod:`memory_study.export` writes it.
    Raises :class:`memory_study.datasets.DataError`, and whatever training raises (out of memory among it).
    """
    splits = datasets.load(cohort.configs[0], location)
    tests: dict[str, float] = {}
    models: dict[str, bytes] = {}

    def leave(training: Training, rows: list[int]) -> None:
        ids = [training.configs[row].id for row in rows]
        tests.update(zip(ids, training.test_accuracies(rows), strict=True))
        if keep_models:
            models.update(
                {trial: serialize(training, row, splits) for trial, row in zip(ids, rows, strict=True)}
            )

    with torch.no_grad():
        histories = train(cohort, splits, torch.device(device), leave, heartbeat or (lambda epoch: None))
    return [histories[c.id].record(tests[c.id], models.get(c.id)) for c in cohort.configs]
