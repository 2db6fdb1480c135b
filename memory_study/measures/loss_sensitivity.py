"""How much does the training loss depend on each training example, through all updates that used it?

The loss sensitivity of example x after t updates is a norm of dL_t/dx, L_t the mean loss over the training set as it is
trained on: *direct* through x's own loss, *indirect* through the weights, *total* both. The Gini coefficient over the
examples says how unevenly they matter. Source: Arpit et al. 2017, section 3.2, which takes the 1-norm of the total. Exact,
for the batches and learning rates of the training itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from memory_study import cost
from memory_study._history import History
from memory_study.measures._base import Measure
from memory_study.measures._unrolled import Trajectory, input_gradients
from memory_study.optimizers import as_rates, learning_rates
from memory_study.regularizers._perturbation import runs

if TYPE_CHECKING:
    from memory_study.train import Training

NORMS = {"l1": 1.0, "l2": 2.0, "max": math.inf}
"""Norms of the gradient with respect to an example, in the order in which results have them."""
KINDS = ("total", "indirect", "direct")


class LossSensitivity(Measure):
    """Gini coefficients by SGD step, each example's sensitivity, and that of the loss of each class to each class.

    Measured after the steps of :func:`memory_study.cost.sensitivity_steps`. A trial whose gradients overflow records
    only that they are not finite.
    """

    resumable = False

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.trajectory = Trajectory(training.shared.momentum)

    def before_training(self) -> None:
        """Keep the weights as they were drawn."""
        self.trajectory.add(self.training.parameters)

    def after_step(self, epoch: int) -> None:
        """Keep the weights."""
        self.trajectory.add(self.training.parameters)

    def after_epoch(self, epoch: int, leaving: Sequence[int]) -> None:
        """Keep which batches the epoch had, and unroll the training of the rows that leave."""
        training, shared = self.training, self.training.shared
        order, size = training.data.order(epoch), shared.batch_size
        batches = [order[:, start : start + size] for start in range(0, order.shape[1], size)]
        rates = as_rates([config.learning_rate for config in training.configs], training.parameters.flat)
        self.trajectory.examples += batches
        self.trajectory.rates += [learning_rates(rates, epoch, shared.halving_epochs)] * len(batches)
        # One after the other on a CPU, whose cache holds the objectives of few.
        gpu = training.device.type == "cuda"
        for rows in runs(leaving) if gpu else [slice(row, row + 1) for row in leaving]:
            self._measure(rows)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with only these replicas, in this order."""
        self.trajectory.keep(rows)

    def _measure(self, neighbours: slice) -> None:
        shared, data = self.training.shared, self.training.data
        trajectory, rows = self.trajectory.rows(neighbours), range(neighbours.start, neighbours.stop)
        done = len(trajectory.examples)

        def chosen(points: int) -> list[int]:
            return sorted({*(step for step in cost.sensitivity_steps(shared, points) if step < done), done})

        steps = chosen(shared.sensitivity_points)
        inputs, labels = data.parts(slice(0, len(data)), rows)
        inputs = inputs.flatten(2).expand(len(rows), -1, -1)
        found = loss_sensitivity(trajectory, inputs, labels, steps)
        for place, row in enumerate(rows):
            history = self.training.histories[self.training.configs[row].id]
            _record(history, steps, {kind: values[:, place] for kind, values in found.items()})
        if shared.labels == "data":
            some = chosen(shared.sensitivity_class_points)
            for row, matrix in zip(rows, class_sensitivity(trajectory, inputs, labels, some), strict=True):
                _record_classes(self.training.histories[self.training.configs[row].id], matrix)


def loss_sensitivity(
    trajectory: Trajectory, inputs: Tensor, labels: Tensor, steps: Sequence[int]
) -> dict[str, Tensor]:
    """By kind of :data:`KINDS`, the sensitivity of the mean loss after each of ``steps``: [norm, replica, example, step].

    ``inputs`` [replica, example, pixel] and ``labels`` [replica, example] are the whole training set, as trained on;
    ``steps`` ascend from 1. For one score an example, as a mean over steps of 1-norms:
    ``loss_sensitivity(...)["total"][0].mean(-1)``. Before the first epoch is over, examples that no batch has held yet have
    an indirect sensitivity of 0.
    """
    everyone = inputs.new_ones(1, 1, 1).expand(*labels.shape, len(steps))
    parts = list(_sensitivities(trajectory, inputs, labels, steps, everyone))
    return {kind: torch.cat([part[place] for part in parts], -1) for place, kind in enumerate(KINDS)}


def class_sensitivity(trajectory: Trajectory, inputs: Tensor, labels: Tensor, steps: Sequence[int]) -> Tensor:
    """Total sensitivity (1-norm) of the loss of the examples labelled i to an example labelled j: [replica, i, j].

    Mean over the examples labelled j, and over ``steps``. The loss of class i is the sum of its examples' losses divided
    by the number of *all* examples, so that the classes add up to the mean loss. NaN where no example is labelled j.
    """
    classes = trajectory.weights[0][-1].bias.shape[-1]
    one_hot = torch.nn.functional.one_hot(labels, classes).to(inputs.dtype)
    repeated = [step for step in steps for _ in range(classes)]
    parts = one_hot.repeat(1, 1, len(steps))
    totals = torch.cat(
        [part[0][0] for part in _sensitivities(trajectory, inputs, labels, repeated, parts)], -1
    )
    by_step = totals.view(*totals.shape[:2], len(steps), classes).mean(2)
    return (by_step.mT @ one_hot) / one_hot.sum(1, keepdim=True)


def gini(values: Tensor) -> Tensor:
    """Gini coefficient over the last axis of values that are not negative: 0 if all are equal, at most 1 - 1/n.

    NaN if all are 0. ``sum_i (2i - n - 1) v_(i) / (n sum v)``, v ascending.
    """
    count = values.shape[-1]
    ranks = torch.arange(1, count + 1, dtype=values.dtype, device=values.device)
    return values.sort(-1).values @ (2 * ranks - count - 1) / (count * values.sum(-1))


def _sensitivities(
    trajectory: Trajectory, inputs: Tensor, labels: Tensor, steps: Sequence[int], parts: Tensor
) -> Iterator[tuple[Tensor, ...]]:
    """For some objectives at a time, what :data:`KINDS` name: [norm, replica, example, objective] each."""
    widest = max(max(layer.kernel.shape[1:]) for layer in trajectory.weights[0])
    most = cost.objectives_at_once(trajectory.examples[0].shape[1], widest)
    for start in range(0, len(steps), most):
        some = slice(start, start + most)
        direct, indirect = input_gradients(trajectory, inputs, labels, steps[some], parts[..., some])
        yield tuple(
            torch.stack([torch.linalg.vector_norm(gradient, norm, -1) for norm in NORMS.values()])
            for gradient in (direct + indirect, indirect, direct)
        )


def _record(history: History, steps: Sequence[int], found: Mapping[str, Tensor]) -> None:
    """What is found of each kind: [norm, example, step]."""
    finite = all(bool(values.isfinite().all()) for values in found.values())
    history.scalars["sensitivity_finite"] = float(finite)
    if not finite:
        return
    for kind, values in found.items():
        history.arrays[f"sensitivity{_suffix(kind)}"] = values[0].mean(-1).float().cpu()
    curves = {f"sensitivity_gini{_suffix(kind)}": values[0] for kind, values in found.items()}
    curves |= {f"sensitivity_gini_{norm}": found["total"][place] for norm, place in (("l2", 1), ("max", 2))}
    for name, values in curves.items():
        for step, coefficient in zip(steps, gini(values.T).tolist(), strict=True):
            history.measure(step, {name: coefficient})


def _suffix(kind: str) -> str:
    return "" if kind == "total" else f"_{kind}"


def _record_classes(history: History, between: Tensor) -> None:
    """What the classes' losses depend on: [i, j]; a class without examples depends on nothing."""
    if history.scalars["sensitivity_finite"]:
        history.arrays["class_sensitivity"] = between.float().cpu()
        within = between.diagonal().nansum() / between.nansum()
        history.scalars["sensitivity_off_diagonal"] = 1 - float(within)


MEASURE = LossSensitivity
