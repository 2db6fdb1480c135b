"""What is measured on one trial, and its names in the tracking store. Standard library only.

One trial = one MLflow run. Its params are the config's fields, its metrics are the names below, its tags the names in
:class:`Tag`. The analysis reads exactly these names, so that a measurement can neither be lost in a typo nor invented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = 1
"""Version of the names on this page. An experiment holds records of one schema."""


class Tag(StrEnum):
    """Flat tags of a run. ``SCHEMA`` is a tag of the experiment."""

    SCHEMA = "memory_study.schema"
    KIND = "kind"  # "trial" or "figures": what a run of the experiment is
    TRIAL = "trial"  # the trial's id
    SWEEP = "sweep"  # which sweep asked for it first
    COHORT = "cohort"  # the cohort it was trained in
    COHORT_SIZE = "cohort_size"
    CODE = "code"  # version of this project: its git commit, else its package version
    DIRTY = "dirty"  # "true" where the working tree differed from that commit
    DEVICE = "device"
    PYTHON = "python"
    TORCH = "torch"
    ARRAYS = "arrays"  # names of the arrays in the run's artifact "arrays.npz", with commas between; absent without any
    SUGGESTED = "suggested"  # by which searches: words SEARCH/SAMPLER/REPETITION/NUMBER
    ERROR = "error"  # of a failed trial: the exception's last line


CURVES: Mapping[str, str] = {
    "train_loss": "mean cross-entropy over the whole training set as trained on (false labels included), eval mode, nats",
    "train_accuracy": "share of the training set predicted as its training label, eval mode",
    "train_loss_clean": "the same over the uncorrupted examples",
    "train_accuracy_clean": "the same over the uncorrupted examples",
    "train_loss_corrupted": "the same over the corrupted examples",
    "train_accuracy_corrupted": "the same over the corrupted examples",
    "corrupted_fitted_false": "share of the randY-corrupted examples whose label is not the true one that are predicted "
    "as their false label, eval mode",
    "corrupted_predicted_true": "share of the same examples that are predicted as their true label instead",
    "validation_loss": "mean cross-entropy over the clean validation set, nats",
    "validation_accuracy": "accuracy over the clean validation set",
    "csr_validation": "critical sample ratio of clean validation examples",
    "csr_validation_low": "lower end of its 95 % Wilson interval",
    "csr_validation_high": "upper end of its 95 % Wilson interval",
    "csr_train": "critical sample ratio of training examples as trained on",
    "csr_train_low": "lower end of its 95 % Wilson interval",
    "csr_train_high": "upper end of its 95 % Wilson interval",
    "sensitivity_gini": "Gini coefficient of the training examples' loss sensitivities (1-norm, total); step: SGD step",
    "sensitivity_gini_l2": "the same of 2-norms; step: SGD step",
    "sensitivity_gini_max": "the same of maximum norms; step: SGD step",
    "sensitivity_gini_indirect": "the same of 1-norms, through the weights only; step: SGD step",
    "sensitivity_gini_direct": "the same of 1-norms, at fixed weights; step: SGD step",
}
"""Measured through training; the step is the epoch, counted from 1 (0 is the state before training), or where it says so
the SGD step, of which an epoch has one a batch."""

_FILTERS = ("filter_low_frequency", "filter_low_frequency_initial")
SCALARS: Mapping[str, str] = {
    "converged": "1 if every training example was right after some epoch, else 0: then convergence_epoch is censored",
    "convergence_epoch": "first epoch with 100.000 % training accuracy; the last epoch trained where censored",
    "converged_999": "1 if training accuracy reached 99.9 %, else 0",
    "convergence_epoch_999": "first epoch with 99.9 % training accuracy; the last epoch trained where censored",
    "best_validation_accuracy": "highest validation accuracy after any epoch that validation_schedule asks for",
    "best_validation_epoch": "first epoch that reached it",
    "test_accuracy": "accuracy over the test set after the last epoch",
    "diverged": "1 if the training loss stopped being finite, else 0. A diverged trial is a finished one",
    "epochs_trained": "epochs trained before the end, convergence (where the trial stops there), early stopping or "
    "divergence",
    "resumed_epoch": "last epoch after which interrupted training went on from a checkpoint; absent if it never was",
    "seconds": "the trial's share of the seconds its cohort trained, evaluation and critical samples not included",
    "evaluation_seconds": "its share of the seconds of all passes over training, validation and test set",
    "critical_sample_seconds": "its share of the seconds of the searches for critical samples",
    "sharpness": "largest eigenvalue of the Hessian of train_loss with respect to all parameters, after the last epoch",
    "sharpness_residual": "its relative residual, which bounds its relative error",
    "sharpness_matched": "the same after the first evaluated epoch with a train_loss of at most sharpness_loss",
    "sharpness_matched_residual": "its relative residual",
    "sharpness_matched_loss": "train_loss after that epoch",
    "sharpness_matched_epoch": "that epoch; absent, as the three before, from a trial that never gets there",
    "peak_memory_bytes": "most bytes that torch reserved on the GPU while its cohort trained, all trials; absent on a CPU",
    "flipped_auroc": "chance that the score by which examples were dropped is higher for a false label than for a true one",
    "scores_finite": "1 if every example had a score by which to drop some; 0 if the first training diverged, or its scores "
    "overflowed: what was dropped then was drawn by lot",
    "scoring_seconds": "the trial's share of the seconds of the first training and of scoring its examples",
    "measure_seconds": "its share of the seconds of the measures that its config asks for; absent without any",
    "filter_low_frequency": "mean share of a first-layer filter's spectral energy at up to one period a filter, in [0, 1]",
    "filter_low_frequency_initial": "the same before training; 0.36 is expected of independent weights in 5x5 filters",
    "sensitivity_finite": "1 if all loss sensitivities are finite; 0 if they overflowed, and nothing of them is recorded",
    "sensitivity_off_diagonal": "share of class_sensitivity that is between different classes, in [0, 1]",
}
"""Measured once, at the end."""

_SHARPNESS = [name for name in SCALARS if name.startswith("sharpness")]
SOMETIMES = frozenset(
    {
        "resumed_epoch",
        "peak_memory_bytes",
        "measure_seconds",
        "flipped_auroc",
        "scores_finite",
        "scoring_seconds",
        *_FILTERS,
        *_SHARPNESS,
        "sensitivity_finite",
        "sensitivity_off_diagonal",
    }
)
"""Scalars that only some trials have: interrupted ones, those that drop examples, those with a further measure."""

ARRAYS: Mapping[str, str] = {
    "train_right": "bool [example]: which of the first measured_examples of the training set are predicted as their label",
    "train_images": "uint8 [example, channel, height, width]: these examples as trained on, noise clipped to 0 to 255",
    "train_labels": "int64 [example]: their labels as trained on; these two of the trials with seed 0 only",
    "filters": "float32 [filter, channel, height, width]: of the first convolution, largest norm first, at most 64",
    "filters_initial": "the same filters before training",
    "sensitivity": "float32 [example]: loss sensitivity (1-norm, total), mean over the steps of sensitivity_gini",
    "sensitivity_indirect": "float32 [example]: the same through the weights only",
    "sensitivity_direct": "float32 [example]: the same at fixed weights",
    "class_sensitivity": "float32 [i, j]: sensitivity of the loss of class i to an example of class j, mean over both",
}
"""Measured once, and more than a number: kept in one file of the run, ``arrays.npz``, that numpy opens without pickle."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything measured on one trial.

    ``scalars`` maps a name of :data:`SCALARS` to its value. ``curves`` maps a name of :data:`CURVES` to a tuple of
    ``(epoch, value)``, epochs ascending. Values are finite: what could not be measured (the loss of a diverged net)
    is left out. ``model`` is the trained net as the bytes of the file that :mod:`memory_study.export` writes, None where
    nets are not kept. ``arrays`` maps a name of :data:`ARRAYS` to a numpy array. Raises ValueError, naming all
    offenders, for an unknown name or a value that is not finite.
    """

    trial_id: str
    scalars: Mapping[str, float]
    curves: Mapping[str, tuple[tuple[int, float], ...]]
    model: bytes | None = field(default=None, repr=False)
    arrays: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        given = ((self.scalars, SCALARS), (self.curves, CURVES), (self.arrays, ARRAYS))
        unknown = sorted(name for values, known in given for name in values.keys() - known.keys())
        infinite = [name for name, value in self.scalars.items() if not math.isfinite(value)]
        infinite += [
            name for name, curve in self.curves.items() if not all(math.isfinite(v) for _, v in curve)
        ]
        if unknown or infinite:
            raise ValueError(
                f"record {self.trial_id}: unknown names {unknown}, not finite {sorted(infinite)}"
            )


def epoch_grid(epochs: int, points: int = 32) -> tuple[int, ...]:
    """At most ``points`` epochs from 1 to ``epochs``, both included, about evenly spaced in log(epoch).

    Raises ValueError unless both are at least 1.
    """
    if epochs < 1 or points < 1:
        raise ValueError(
            f"a grid needs at least one epoch and one point; got epochs={epochs}, points={points}"
        )
    if epochs <= points:
        return tuple(range(1, epochs + 1))
    # Small epochs collide after rounding; filling up from the next whole number keeps the count and the spacing.
    chosen: list[int] = []
    position = 1.0
    for index in range(points):
        ratio = (epochs / position) ** (1 / max(points - 1 - index, 1))
        chosen.append(min(round(position), epochs))
        position = max(position * ratio, chosen[-1] + 1.0)
    return tuple(chosen)
