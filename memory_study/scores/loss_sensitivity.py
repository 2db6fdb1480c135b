"""How much the training loss depends on an example through all updates of the first training. Source: Arpit et al. 2017."""

from __future__ import annotations

import torch
from torch import Tensor

from memory_study import cost
from memory_study.measures import loss_sensitivity as measure
from memory_study.scores._base import Score


class LossSensitivity(measure.LossSensitivity, Score):
    """1-norm of the total derivative of the mean loss with respect to the example, mean over the measured steps.

    Computed in float64, whatever the training's type is, for the weights that the training passed.
    """

    def values(self) -> Tensor:
        """One replica after the other: the gradients of many would need much memory."""
        data = self.training.data
        steps = cost.sensitivity_steps(self.training.shared, self.training.shared.sensitivity_points)
        found = []
        for row in range(len(self.training.configs)):
            inputs, labels = data.parts(slice(0, len(data)), [row])
            by_kind = measure.loss_sensitivity(
                self.trajectory.rows(slice(row, row + 1)), inputs.flatten(2).double(), labels, steps
            )
            found.append(by_kind["total"][0].mean(-1))
        return torch.cat(found)


SCORE = LossSensitivity
