"""Training a cohort: data, corruption, stack, train, measure.

A replica that diverged, or converged where trials stop there, leaves the stack; the others do not notice. On a CPU
with one thread every result is the same, bit for bit, whatever the stack: up to rounding only without momentum in
batches above 384, where a product that adds to the parameters rounds unlike one that is added to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from memory_study import models
from memory_study._history import History
from memory_study._training_data import Scaling, TrainingData
from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.datasets import Splits
from memory_study.measures.accuracy import CPU_CHUNK, Predictions, predict
from memory_study.measures.critical_samples import Search, search, wilson_interval
from memory_study.models import Stack
from memory_study.optimizers import SGD, Accumulate, as_rates, learning_rates
from memory_study.regularizers._perturbation import Perturbation, group
from memory_study.rng import EpochDraws, ReplicaDraws, stream

CSR_CHUNK = 250
"""Examples searched at a time: a fixed number, because each chunk's noise has a stream of its own."""


class Training:
    """A cohort in training. Rows of the stack are ordered by regularizer, so that each acts on few, long runs."""

    def __init__(self, cohort: Cohort, splits: Splits, device: torch.device) -> None:
        def order(config: TrialConfig) -> tuple[object, ...]:
            return (
                sorted(dict(config.regularizers), reverse=True),
                config.corruption,
                config.seed,
                config.id,
            )

        self.configs = sorted(cohort.configs, key=order)
        self.shared = self.configs[0]
        self.histories = {config.id: History(config) for config in self.configs}
        self.device, self.dtype = device, getattr(torch, self.shared.dtype)
        self.scaling = Scaling(self.shared, splits)
        self.data = TrainingData(self.configs, splits, self.scaling, device, self.dtype)
        self.validation = self._placed(splits.validation_inputs), splits.validation_labels[None].to(device)
        self.test = self._placed(splits.test_inputs), splits.test_labels[None].to(device)
        image = splits.train_inputs.shape[1:]
        self.network = models.create(self.shared, (image[0], image[1], image[2]), len(splits.classes))
        like = torch.empty(0, device=device, dtype=self.dtype)
        initial = {c.seed: self.network.initialize(stream(c.seed, "initial weights")) for c in self.configs}
        parameters = Stack.of(self.network.shapes, [initial[c.seed] for c in self.configs], like)
        self.optimizer = SGD(parameters, self.shared.momentum, self.network.kernels)
        buffers = [self.network.initial_buffers()] * len(self.configs)
        self.buffers = Stack.of(self.network.buffer_shapes, buffers, like)
        self.search = Search.of(self.shared, 1 / self.scaling.std.to(device, self.dtype))

    @property
    def parameters(self) -> Stack:
        """The replicas still in training."""
        return self.optimizer.parameters

    def train_epoch(self, epoch: int) -> None:
        """One pass of every replica over its training set."""
        seeds = [config.seed for config in self.configs]
        flat = self.parameters.flat
        groups = group([dict(config.regularizers) for config in self.configs], seeds, flat)
        draws = EpochDraws(epoch, self.device, self.dtype)
        perturbation = Perturbation(groups, draws)
        decays = [g for g in groups if g.regularizer.kernel_decay(g.strengths) is not None]
        rates = learning_rates(
            as_rates([c.learning_rate for c in self.configs], flat), epoch, self.shared.halving_epochs
        )
        clean = torch.ones_like(rates)
        adversarial = []
        for g in groups:
            weight = g.regularizer.adversarial_weight(g.strengths)
            if weight is not None:
                clean[g.rows] -= weight
                adversarial.append(
                    (g.rows, weight, ReplicaDraws(draws, g.seeds), perturbation.within(g.rows))
                )
        order = self.data.order(epoch)
        for start in range(0, order.shape[1], self.shared.batch_size):
            draws.next_step()
            inputs, labels = self.data.batch(order[:, start : start + self.shared.batch_size])
            scale = -rates / labels.shape[1]
            terms: list[Accumulate] = []
            for rows, weight, rows_draws, rows_perturbation in adversarial:
                moved = self._adversarial(rows, inputs[rows], rows_draws)
                term = partial(
                    self._accumulate, moved, labels[rows], scale[rows] * weight, rows_perturbation, rows
                )
                terms.append(term)
            everything = slice(0, len(self.configs))
            terms.insert(
                0, partial(self._accumulate, inputs, labels, scale * clean, perturbation, everything)
            )
            self.optimizer.step(terms, decays, rates)

    def evaluate(self, epoch: int, seconds: float) -> None:
        """Measure every replica in eval mode after ``epoch`` into its history."""
        losses, right = [], []
        for part in self._parts():
            predictions = predict(self.network, self.parameters, self.buffers, *self.data.parts(part))
            losses.append(predictions.losses)
            right.append(predictions.right)
        train = Predictions(torch.cat(losses, 1), torch.cat(right, 1))
        validation = predict(self.network, self.parameters, self.buffers, *self.validation)
        columns: dict[str, Tensor] = {}
        masks = {"": None, "_clean": ~self.data.corrupted, "_corrupted": self.data.corrupted}
        for suffix, mask in masks.items():
            columns[f"train_loss{suffix}"], columns[f"train_accuracy{suffix}"] = train.mean(mask)
        columns["validation_loss"], columns["validation_accuracy"] = validation.mean()
        table = torch.stack([column.double() for column in columns.values()], 1).tolist()
        share = seconds / len(self.configs)
        for config, row in zip(self.configs, table, strict=True):
            self.histories[config.id].add(epoch, dict(zip(columns, row, strict=True)), share)

    def measure_critical_samples(self, epoch: int, rows: list[int]) -> None:
        """Add the CSR of validation and training examples after ``epoch`` to the histories of the replicas ``rows``."""
        examples = self.shared.csr_examples
        if examples == 0 or not rows:
            return
        validation = self.validation[0]
        sets = {
            "csr_validation": (validation.shape[1], lambda part: validation[:, part]),
            "csr_train": (len(self.data), lambda part: self.data.parts(part)[0]),
        }
        for name, (available, images) in sets.items():
            total = min(examples, available)
            counts = self._count_critical(name, images, total, rows, epoch)
            for row, count in zip(rows, counts, strict=True):
                low, high = wilson_interval(count, total)
                values = {name: count / total, f"{name}_low": low, f"{name}_high": high}
                self.histories[self.configs[row].id].measure(epoch, values)

    def leaving(self, last: bool) -> list[int]:
        """Rows whose training is over."""
        stops = self.shared.stop_at_convergence
        histories = [self.histories[config.id] for config in self.configs]
        return [row for row, h in enumerate(histories) if last or h.diverged or (stops and h.converged)]

    def diverged(self, row: int) -> bool:
        """The replica's training loss is no longer finite."""
        return self.histories[self.configs[row].id].diverged

    def remove(self, rows: list[int]) -> None:
        """Take replicas out of the stack."""
        staying = [row for row in range(len(self.configs)) if row not in set(rows)]
        self.optimizer.keep(staying)
        self.buffers = self.buffers.keep(staying)
        self.data.keep(staying)
        self.configs = [self.configs[row] for row in staying]

    def test_accuracies(self, rows: list[int]) -> list[float]:
        """Accuracy of replicas over the test set, in [0, 1]."""
        parameters, buffers = self.parameters.keep(rows), self.buffers.keep(rows)
        return list(map(float, predict(self.network, parameters, buffers, *self.test).mean()[1].tolist()))

    def _placed(self, images: Tensor) -> Tensor:
        return self.scaling(images).to(self.device, self.dtype)[None]

    def _parts(self) -> list[slice]:
        """The training set in passes: in one where all replicas share their inputs, else small enough to copy."""
        examples = len(self.data)
        # A multiple of the passes of `predict` on a CPU, so that these hold the same examples either way.
        step = examples if not any(c.corruption == "randX" for c in self.configs) else 8 * CPU_CHUNK
        return [slice(start, min(start + step, examples)) for start in range(0, examples, step)]

    def _accumulate(
        self, inputs: Tensor, labels: Tensor, scale: Tensor, perturbation: Perturbation, rows: slice,
        into: Stack, keep: float,
    ) -> None:  # fmt: skip
        parameters, buffers = self.parameters, self.buffers
        if len(scale) < len(self.configs):
            parameters, buffers, into = parameters.rows(rows), buffers.rows(rows), into.rows(rows)
        self.network.accumulate(parameters, buffers, inputs, labels, scale, perturbation, into, keep)

    def _adversarial(self, rows: slice, inputs: Tensor, draws: ReplicaDraws) -> Tensor:
        shape = tuple(inputs.shape[1:])
        parameters, buffers = self.parameters.rows(rows), self.buffers.rows(rows)

        def noise(iteration: int) -> Tensor:
            return draws.normal(f"adversarial {iteration}", shape)

        return search(self.network, parameters, buffers, inputs, self.search, noise)[0]

    def _count_critical(
        self, name: str, images: Callable[[slice], Tensor], total: int, rows: list[int], epoch: int
    ) -> list[int]:
        """How many of the first ``total`` examples of ``images(part)`` [replica or 1, ...] are critical, by row."""
        parameters, buffers = self.parameters.keep(rows), self.buffers.keep(rows)
        seeds = [self.configs[row].seed for row in rows]
        counts = torch.zeros(len(rows), dtype=torch.long, device=self.device)
        for start in range(0, total, CSR_CHUNK):
            part = images(slice(start, min(start + CSR_CHUNK, total)))
            part = part.expand(len(self.configs), *part.shape[1:])[rows]
            draws = ReplicaDraws(EpochDraws(epoch, self.device, self.dtype), seeds)

            def noise(
                iteration: int, start: int = start, part: Tensor = part, draws: ReplicaDraws = draws
            ) -> Tensor:
                return draws.normal(f"{name} {start} {iteration}", tuple(part.shape[1:]))

            counts += search(self.network, parameters, buffers, part, self.search, noise)[1].sum(1)
        return list(map(int, counts.tolist()))


def train(
    cohort: Cohort,
    splits: Splits,
    device: torch.device,
    leave: Callable[[Training, list[int]], None],
    heartbeat: Callable[[int], None],
) -> dict[str, History]:
    """Train ``cohort`` to its end and return each trial's history.

    ``leave(training, rows)`` is called with replicas just before they leave the stack, ``heartbeat(epoch)`` after
    every epoch.
    """
    training = Training(cohort, splits, device)
    if 0 in training.shared.csr_epochs:
        training.measure_critical_samples(0, list(range(len(training.configs))))
    for epoch in range(1, training.shared.epochs + 1):
        started = time.perf_counter()
        training.train_epoch(epoch)
        training.evaluate(epoch, time.perf_counter() - started)
        leaving = training.leaving(last=epoch == training.shared.epochs)
        everyone = epoch in training.shared.csr_epochs
        measured = range(len(training.configs)) if everyone else leaving
        training.measure_critical_samples(epoch, [row for row in measured if not training.diverged(row)])
        if leaving:
            leave(training, leaving)
        heartbeat(epoch)
        if len(leaving) == len(training.configs):
            break
        if leaving:
            training.remove(leaving)
    return training.histories
