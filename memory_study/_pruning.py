"""Which training examples a trial is trained on, where it drops some of them by a score.

The score comes from a first training, of ``scoring_epochs`` on all examples and otherwise like the trial's: the same
initial weights, batches and corruption. It is the same for trials that differ only in what they drop, and made once for
each seed and corruption of a cohort. It keeps no checkpoints of its own; those of the trial hold what came of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memory_study import cost, scores
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
    of_first: dict[str, list[TrialConfig]] = {}
    for config in cohort.configs:
        of_first.setdefault(config.first_training.id, []).append(config)
    groups, image = list(of_first.values()), splits.train_inputs.shape[1:]
    shape, classes = (image[0], image[1], image[2]), len(splits.classes)
    together = cost.first_trainings_at_once(cohort.configs, shape, classes)
    found: dict[str, Pruned] = {}
    for place in range(0, len(groups), together):
        found |= _prune(groups[place : place + together], splits, device)
    seconds = (time.perf_counter() - start) / len(cohort.configs)
    for pruned in found.values():
        pruned.scalars["scoring_seconds"] = seconds
    return found


def _prune(
    groups: Sequence[Sequence[TrialConfig]], splits: Splits, device: torch.device
) -> dict[str, Pruned]:
    """By trial id, what trials keep, in groups that share a first training."""
    training = Training(Cohort(tuple(group[0].first_training for group in groups)), splits, device)
    values = score(training, sorted({config.pruning_score for group in groups for config in group}))
    row_of = {config.id: row for row, config in enumerate(training.configs)}
    flipped = (training.data.labels != training.data.true_labels).cpu()
    found = {}
    for group in groups:
        row = row_of[group[0].first_training.id]
        for config in group:
            of_trial = values[config.pruning_score][row]
            scalars = {"scores_finite": float(of_trial.isfinite().all())}
            found[config.id] = Pruned(
                kept(of_trial, config), scalars | _found_flipped(of_trial, flipped[row])
            )
    return found


def score(training: Training, names: Sequence[str]) -> dict[str, Tensor]:
    """Train to the end; by name, scores of all examples: float64 [replica, example] on the CPU.

    NaN for all examples of a replica whose weights are no longer finite, where the score needs its training.
    """
    watching = {name: scores.find(name)(training) for name in names}
    training.measures = list(watching.values())
    for each in training.measures:
        each.before_training()
    if any(each.trained for each in watching.values()):
        for epoch in range(1, training.shared.epochs + 1):
            training.train_epoch(epoch)
            for each in training.measures:
                each.after_epoch(epoch, ())
    lost = ~_finite(training)[:, None]
    found = {}
    for name, each in watching.items():
        values = each.values().double().cpu()
        found[name] = values.masked_fill(lost, torch.nan) if each.trained else values
    training.measures = []  # they know the training too: what they hold is free at once only without that circle
    return found


def _finite(training: Training) -> Tensor:
    """Whether all weights of a replica are finite: bool [replica] on the CPU."""
    stack = training.parameters
    finite = [stack[name].flatten(1).isfinite().all(1) for name in stack.names()]
    return torch.stack(finite).all(0).cpu()


def kept(values: Tensor, config: TrialConfig) -> Tensor:
    """The examples that ``config`` keeps of those with these scores [example]: int64, ascending.

    Equal scores are dropped by lot, drawn by the seed. What is not a number counts as highest: ``scores_finite`` of a
    record tells where there is any.
    """
    lots = torch.randperm(len(values), generator=stream(config.seed, "equal scores"))
    ascending = lots[values.nan_to_num(torch.inf, torch.inf)[lots].argsort(stable=True)]
    dropped = len(values) - config.kept_examples
    left = ascending[dropped:] if config.pruned_end == "low" else ascending[: config.kept_examples]
    return left.sort().values


def _found_flipped(values: Tensor, flipped: Tensor) -> dict[str, float]:
    """How well the score finds false labels, where there are any, and true ones, and every example has a score."""
    if not 0 < int(flipped.sum()) < len(flipped) or not values.isfinite().all():
        return {}
    return {"flipped_auroc": auroc(values[flipped], values[~flipped])}


def auroc(positive: Tensor, negative: Tensor) -> float:
    """Chance that one of ``positive`` is above one of ``negative``; equal ones count half. Neither is empty."""
    others = negative.sort().values
    below, not_above = (torch.searchsorted(others, positive, right=right) for right in (False, True))
    return float((below + not_above).double().mean() / (2 * len(others)))
