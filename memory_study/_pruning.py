"""Which training examples a trial is trained on, where it drops some of them by a score.

The score comes from a first training, of ``scoring_epochs`` on all examples and otherwise like the trial's: the same
initial weights, batches and corruption. It is the same for trials that differ only in what they drop, and made once for
each seed and corruption of a cohort. It keeps no checkpoints: whoever resumes the trial trains it again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memory_study import scores
from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.datasets import Splits
from memory_study.rng import stream
from memory_study.train import Training


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a trial is trained on: ``kept``, int64 [example], ascending places in the training set.

    ``scalars`` are for its record: see :mod:`memory_study.record`.
    """

    kept: Tensor
    scalars: dict[str, float]


def prune(cohort: Cohort, splits: Splits, device: torch.device) -> dict[str, Pruned]:
    """By trial id, what trials of a cohort keep; empty for a cohort that drops nothing."""
    if not cohort.configs[0].pruned_share:
        return {}
    start = time.perf_counter()
    firsts = {config.id: first_training(config) for config in cohort.configs}
    distinct = Cohort(tuple({first.id: first for first in firsts.values()}.values()))
    training = Training(distinct, splits, device)
    values = score(training, sorted({config.pruning_score for config in cohort.configs}))
    row_of = {config.id: row for row, config in enumerate(training.configs)}
    flipped = (training.data.labels != splits.train_labels.to(device)).cpu()
    found = {}
    for config in cohort.configs:
        row = row_of[firsts[config.id].id]
        of_trial = values[config.pruning_score][row]
        found[config.id] = Pruned(kept(of_trial, config), _found_flipped(of_trial, flipped[row]))
    seconds = (time.perf_counter() - start) / len(cohort.configs)
    for pruned in found.values():
        pruned.scalars["scoring_seconds"] = seconds
    return found


def first_training(config: TrialConfig) -> TrialConfig:
    """The trial whose first epochs score the examples of ``config``."""
    return replace(
        config, pruning_score="none", epochs=config.scoring_epochs, csr_examples=0, csr_epochs=(), measures=(),
        stop_at_convergence=False,
    )  # fmt: skip


def score(training: Training, names: Sequence[str]) -> dict[str, Tensor]:
    """Train to the end; by name, scores of all examples: float64 [replica, example] on the CPU."""
    watching = {name: scores.find(name)(training) for name in names}
    training.measures = list(watching.values())
    for each in training.measures:
        each.before_training()
    if any(each.trained for each in watching.values()):
        for epoch in range(1, training.shared.epochs + 1):
            training.train_epoch(epoch)
            for each in training.measures:
                each.after_epoch(epoch, ())
    found = {name: each.values().double().cpu() for name, each in watching.items()}
    training.measures = []  # they know the training too: what they hold is free at once only without that circle
    return found


def kept(values: Tensor, config: TrialConfig) -> Tensor:
    """The examples that ``config`` keeps of those with these scores [example]: int64, ascending.

    Equal scores are dropped by lot, drawn by the seed. What is not a number counts as highest.
    """
    lots = torch.randperm(len(values), generator=stream(config.seed, "equal scores"))
    ascending = lots[values.nan_to_num(torch.inf, torch.inf)[lots].argsort(stable=True)]
    dropped = len(values) - config.kept_examples
    left = ascending[dropped:] if config.pruned_end == "low" else ascending[: config.kept_examples]
    return left.sort().values


def _found_flipped(values: Tensor, flipped: Tensor) -> dict[str, float]:
    """How well the score finds false labels, where there are any, and true ones, and the score is one for each example."""
    if not 0 < int(flipped.sum()) < len(flipped) or values.isnan().any():
        return {}
    return {"flipped_auroc": auroc(values[flipped], values[~flipped])}


def auroc(positive: Tensor, negative: Tensor) -> float:
    """Chance that one of ``positive`` is above one of ``negative``; equal ones count half. Neither is empty."""
    others = negative.sort().values
    below, not_above = (torch.searchsorted(others, positive, right=right) for right in (False, True))
    return float((below + not_above).double().mean() / (2 * len(others)))
