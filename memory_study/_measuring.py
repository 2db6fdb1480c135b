"""What is measured on a stack of replicas through training, and how it is kept from costing more than the training.

After every epoch it must be known whether a replica has all its training examples right. Most are nowhere near, so its
hardest examples are asked first: where enough of them are wrong, a pass over the whole training set cannot succeed
and is left out. Whole passes are made where one may succeed, at the epochs of the curves, and at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from memory_study._history import CONVERGED, History
from memory_study._training_data import Scaling, TrainingData
from memory_study.config import TrialConfig
from memory_study.datasets import Splits
from memory_study.measures.accuracy import CPU_CHUNK, Predictions, predict, share
from memory_study.measures.critical_samples import Search, search, wilson_interval
from memory_study.models import Network, Stack
from memory_study.rng import EpochDraws, ReplicaDraws

CSR_CHUNK = 250
"""Examples searched at a time: a fixed number, because each chunk's noise has a stream of its own."""

RUNAWAY_LOSS = 1e4
"""Nats. A net with such a loss on an example is on its way to no finite one, on another example perhaps first."""

Values = list[dict[str, float]]
"""Of each replica, by name of curve."""


class Nets(NamedTuple):
    """A stack of replicas as they are now."""

    parameters: Stack
    buffers: Stack

    def keep(self, rows: Sequence[int]) -> Nets:
        """The replicas ``rows``: a copy, but for all of them."""
        if len(rows) == self.parameters.replicas:
            return self
        return Nets(self.parameters.keep(rows), self.buffers.keep(rows))


class Measuring:
    """Measures the replicas of one cohort on its training, validation and test sets."""

    def __init__(
        self, network: Network, data: TrainingData, splits: Splits, scaling: Scaling, config: TrialConfig
    ) -> None:
        device, dtype = data.labels.device, getattr(torch, config.dtype)

        def placed(images: Tensor) -> Tensor:
            return scaling(images).to(device, dtype)[None]

        size = config.validation_size or len(splits.validation_labels)
        self.validation = (
            placed(splits.validation_inputs[:size]),
            splits.validation_labels[None, :size].to(device),
        )
        self.test = placed(splits.test_inputs), splits.test_labels[None].to(device)
        self.search = Search.of(config, 1 / scaling.std.to(device, dtype))
        self._network, self._data = network, data
        self._csr_examples = config.csr_examples
        self._examples = len(data)
        allowed = max(self._allowed_wrong(share) for share in CONVERGED.values())
        # Twice as many as are needed: some of the hardest will be right by the next epoch.
        self._asked = min(self._examples, max(CPU_CHUNK, 2 * (allowed + 1)))
        self.hardest = data.labels.new_zeros(len(data.labels), self._asked)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with only these replicas, in this order."""
        self.hardest = self.hardest[list(rows)]

    def candidates(self, nets: Nets, histories: Sequence[History]) -> list[int]:
        """The replicas whose next pass over the training set may show convergence, or a loss that is not finite.

        All others have too many of their hardest examples wrong. Which were the hardest is known from the last
        :meth:`training`.
        """
        inputs, labels = self._data.batch(self.hardest)
        found = predict(self._network, *nets, inputs, labels)
        wrong = (~found.right).sum(1).tolist()
        sound = (found.losses < RUNAWAY_LOSS).all(1).tolist()
        limits = [self._limit(history) for history in histories]
        return [row for row, limit in enumerate(limits) if wrong[row] <= limit or not sound[row]]

    def training(self, nets: Nets, rows: Sequence[int]) -> Values:
        """Loss and accuracy of the replicas ``rows`` on their whole training sets, clean and corrupted part apart."""
        chosen = nets.keep(rows)
        parts = [predict(self._network, *chosen, *self._data.parts(part, rows)) for part in self._parts()]
        found = Predictions(*(torch.cat(tensors, 1) for tensors in zip(*parts, strict=True)))
        self.hardest[list(rows)] = found.losses.topk(self._asked, 1).indices
        corrupted = self._data.corrupted[list(rows)]
        columns: dict[str, Tensor] = {}
        for suffix, mask in {"": None, "_clean": ~corrupted, "_corrupted": corrupted}.items():
            columns[f"train_loss{suffix}"], columns[f"train_accuracy{suffix}"] = found.mean(mask)
        false = self._data.false_labels
        if false is not None:
            true = found.predicted == self._data.true_labels[list(rows)]
            columns["corrupted_fitted_false"] = share(found.right, false[list(rows)])
            columns["corrupted_predicted_true"] = share(true, false[list(rows)])
        return _by_replica(columns)

    def validating(self, nets: Nets, rows: Sequence[int]) -> Values:
        """Loss and accuracy of the replicas ``rows`` on the validation set."""
        loss, accuracy = predict(self._network, *nets.keep(rows), *self.validation).mean()
        return _by_replica({"validation_loss": loss, "validation_accuracy": accuracy})

    def testing(self, nets: Nets, rows: Sequence[int]) -> list[float]:
        """Accuracy of the replicas ``rows`` on the test set, in [0, 1]."""
        return list(map(float, predict(self._network, *nets.keep(rows), *self.test).mean()[1].tolist()))

    def critical_samples(self, nets: Nets, rows: Sequence[int], seeds: Sequence[int], epoch: int) -> Values:
        """CSR of validation and training examples of the replicas ``rows``, which have these ``seeds``."""
        values: Values = [{} for _ in rows]
        if self._csr_examples == 0 or not rows:
            return values
        images = self.validation[0]
        sets: dict[str, tuple[int, Callable[[slice], Tensor]]] = {
            "csr_validation": (images.shape[1], lambda part: images[:, part]),
            "csr_train": (self._examples, lambda part: self._data.parts(part, rows)[0]),
        }
        chosen = nets.keep(rows)
        for name, (available, part_of) in sets.items():
            total = min(self._csr_examples, available)
            if total == 0:
                continue
            counts = self._count_critical(chosen, name, part_of, total, seeds, epoch)
            for row, count in zip(values, counts, strict=True):
                low, high = wilson_interval(count, total)
                row |= {name: count / total, f"{name}_low": low, f"{name}_high": high}
        return values

    def _count_critical(
        self,
        nets: Nets,
        name: str,
        images: Callable[[slice], Tensor],
        total: int,
        seeds: Sequence[int],
        epoch: int,
    ) -> list[int]:
        """How many of the first ``total`` examples of ``images(part)`` [replica or 1, ...] are critical, by replica."""
        counts = torch.zeros(nets.parameters.replicas, dtype=torch.long, device=self._data.labels.device)
        for start in range(0, total, CSR_CHUNK):
            part = images(slice(start, min(start + CSR_CHUNK, total)))
            part = part.expand(len(counts), *part.shape[1:])
            draws = ReplicaDraws(EpochDraws(epoch, part.device, part.dtype), seeds)

            def noise(
                iteration: int, start: int = start, part: Tensor = part, draws: ReplicaDraws = draws
            ) -> Tensor:
                return draws.normal(f"{name} {start} {iteration}", tuple(part.shape[1:]))

            counts += search(self._network, *nets, part, self.search, noise)[1].sum(1)
        return list(map(int, counts.tolist()))

    def _allowed_wrong(self, share: float) -> int:
        """The most examples that may be wrong at a training accuracy of ``share``."""
        wrong = int(self._examples * (1 - share)) + 1
        while wrong and (self._examples - wrong) / self._examples < share:
            wrong -= 1
        return wrong

    def _limit(self, history: History) -> int:
        """With more wrong examples than this a pass shows nothing new; -1 where all that it could show is known."""
        missing = [share for suffix, share in CONVERGED.items() if not history.reached(suffix)]
        return max((self._allowed_wrong(share) for share in missing), default=-1)

    def _parts(self) -> list[slice]:
        """The training set in passes: in one where all replicas share their inputs, else small enough to copy."""
        # A multiple of the passes of `predict` on a CPU, so that these hold the same examples either way.
        step = 8 * CPU_CHUNK if self._data.has_own_inputs else self._examples
        return [slice(start, min(start + step, self._examples)) for start in range(0, self._examples, step)]


def _by_replica(columns: dict[str, Tensor]) -> Values:
    table = torch.stack([column.double() for column in columns.values()], 1).tolist()
    return [dict(zip(columns, row, strict=True)) for row in table]
