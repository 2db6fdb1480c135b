"""How sharp the minimum is that a net has come to: the largest eigenvalue of the Hessian of its training loss.

The loss is the mean cross-entropy over the whole training set as trained on, in eval mode (batch normalization by its
running statistics), without weight decay. At interpolation gradients and Hessian vanish, so it is measured twice: at the
end, and after the first evaluated epoch with a training loss of at most ``sharpness_loss`` nats, to compare nets that fit
alike. That loss is matched from above only: what it was is recorded. Source: Krueger et al. 2017, figure 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from memory_study.measures._base import Measure
from memory_study.measures._hessian import Hessian, largest_eigenvalue
from memory_study.rng import stream


class Sharpness(Measure):
    """Scalars ``sharpness`` and, of a trial that gets to the loss, ``sharpness_matched``, each with what goes with it."""

    def after_epoch(self, epoch: int, leaving: Sequence[int]) -> None:
        """Of the replicas that leave, and of those that are at the matched loss for the first time."""
        matching = [row for row in range(len(self.training.configs)) if self._matches(row, epoch)]
        rows = sorted({*leaving, *matching})
        # One after the other on a CPU: neither is faster (measured), and together they need more memory. Those of a CNN take
        # turns in any case.
        stacked = self.training.device.type == "cuda" and self.training.shared.model == "mlp"
        together = [rows] if stacked else [[row] for row in rows]
        for part in filter(None, together):
            for row, (value, residual) in zip(part, self._eigenvalues(part), strict=True):
                history = self.training.histories[self.training.configs[row].id]
                if not math.isfinite(value):
                    continue
                if row in leaving:
                    history.scalars |= {"sharpness": value, "sharpness_residual": residual}
                if row in matching:
                    history.scalars |= {
                        "sharpness_matched": value,
                        "sharpness_matched_residual": residual,
                        "sharpness_matched_loss": history.latest["train_loss"],
                        "sharpness_matched_epoch": epoch,
                    }

    def _matches(self, row: int, epoch: int) -> bool:
        """The training set was evaluated after ``epoch``, and for the first time with so small a loss."""
        history = self.training.histories[self.training.configs[row].id]
        evaluated = history.measured == epoch and "train_loss" in history.latest
        low = evaluated and history.latest["train_loss"] <= self.training.shared.sharpness_loss
        return low and "sharpness_matched_epoch" not in history.scalars

    def _eigenvalues(self, rows: Sequence[int]) -> list[tuple[float, float]]:
        """The largest eigenvalue of each of these replicas, and its relative residual."""
        training, shared = self.training, self.training.shared
        nets = training.nets.keep(rows)
        hessian = Hessian(
            training.network, nets, lambda part: training.data.parts(part, rows), len(training.data)
        )
        parameters = sum(nets.parameters[name][0].numel() for name in nets.parameters.names())
        start = torch.stack(
            [
                torch.randn(parameters, generator=stream(training.configs[row].seed, "sharpness"))
                for row in rows
            ]
        ).to(training.device, training.dtype)
        # As many products as rows say all of a matrix, but for what rounding does.
        iterations = min(shared.sharpness_iterations, parameters)
        found = largest_eigenvalue(hessian.times, start, iterations, shared.sharpness_tolerance)
        return list(zip(*(each.tolist() for each in found), strict=True))


MEASURE = Sharpness
