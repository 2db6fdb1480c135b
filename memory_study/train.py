"""Training a cohort: data, corruption, stack, train, measure.

A replica that diverged, or converged where trials stop there, leaves the stack; the others do not notice. On a CPU
with one thread every result is the same, bit for bit, whatever the stack: up to rounding only without momentum beside
adversarial training, which packing never stacks with anything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from memory_study import measures, models
from memory_study._checkpoint import Checkpoints, State, dump, load
from memory_study._history import History
from memory_study._measuring import Measuring, Nets, Values
from memory_study._training_data import Scaling, TrainingData
from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.datasets import Splits
from memory_study.measures.critical_samples import search
from memory_study.models import Stack
from memory_study.optimizers import SGD, as_rates, ascend_, learning_rates
from memory_study.regularizers._perturbation import Perturbation, group
from memory_study.rng import EpochDraws, ReplicaDraws, stream

if TYPE_CHECKING:
    from memory_study._pruning import Pruned


class _Term(NamedTuple):
    """A part of the loss of some replicas: the summed cross-entropy at ``inputs``, times ``scale`` [replica]."""

    rows: slice
    inputs: Tensor
    targets: Tensor
    scale: Tensor
    perturbation: Perturbation


class Training:
    """A cohort in training. Rows of the stack are ordered by regularizer, so that each acts on few, long runs."""

    def __init__(
        self,
        cohort: Cohort,
        splits: Splits,
        device: torch.device,
        kept: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """``kept``: by trial id, which training examples it keeps: int64 [example], as many for each; if empty, all."""

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
        self.kept = kept
        if kept:
            self.data.only(torch.stack([kept[config.id] for config in self.configs]))
        image = splits.train_inputs.shape[1:]
        self.network = models.create(self.shared, (image[0], image[1], image[2]), len(splits.classes))
        like = torch.empty(0, device=device, dtype=self.dtype)
        initial = {c.seed: self.network.initialize(stream(c.seed, "initial weights")) for c in self.configs}
        parameters = Stack.of(self.network.shapes, [initial[c.seed] for c in self.configs], like)
        self.optimizer = SGD(parameters, self.shared.momentum, self.network.kernels)
        buffers = [self.network.initial_buffers()] * len(self.configs)
        self.buffers = Stack.of(self.network.buffer_shapes, buffers, like)
        self.measuring = Measuring(self.network, self.data, splits, self.scaling, self.shared)
        self.measures = [measures.find(name)(self) for name in self.shared.measures]

    @property
    def nets(self) -> Nets:
        """The replicas still in training, with their buffers."""
        return Nets(self.optimizer.parameters, self.buffers)

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
        climbs = [(g.rows, r) for g in groups if (r := g.regularizer.ascent_radius(g.strengths)) is not None]
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
            targets = perturbation.targets(inputs, labels, self.data.classes)
            scale = -rates / labels.shape[1]
            terms = [_Term(slice(0, len(self.configs)), inputs, targets, scale * clean, perturbation)]
            for rows, weight, rows_draws, rows_perturbation in adversarial:
                moved = self._adversarial(rows, inputs[rows], rows_draws)
                terms.append(_Term(rows, moved, targets[rows], scale[rows] * weight, rows_perturbation))
            at = self._climbed(terms, climbs) if climbs else self.nets
            self.optimizer.step([partial(self._accumulate, term, at) for term in terms], decays, rates)
            for measure in self.measures:
                measure.after_step(epoch)

    def evaluate(self, epoch: int) -> list[int]:
        """Measure into the histories what is due after ``epoch``. Returns the rows whose training is over.

        A pass over the training set is due at the curves' epochs, and where it may show convergence or divergence.
        """
        everyone = list(range(len(self.configs)))
        histories = [self.histories[config.id] for config in self.configs]
        on_curve = epoch in histories[0].grid
        nets = self.nets
        due = everyone if on_curve else self.measuring.candidates(nets, histories)
        if due:
            self._add(epoch, due, self.measuring.training(nets, due))
        leaving = self._leaving(epoch)
        rows = everyone if on_curve or self.shared.validation_schedule == "every-epoch" else leaving
        if rows:
            self._add(epoch, rows, self.measuring.validating(nets, rows))
        stopped = [row for row, history in enumerate(histories) if history.stopped and row not in leaving]
        unknown = [row for row in stopped if row not in due]
        if unknown:
            self._add(epoch, unknown, self.measuring.training(nets, unknown))
        return sorted([*leaving, *stopped])

    def measure_critical_samples(self, epoch: int, rows: list[int]) -> None:
        """Add the CSR of validation and training examples after ``epoch`` to the histories of the replicas ``rows``."""
        values = self.measuring.critical_samples(
            self.nets, rows, [self.configs[row].seed for row in rows], epoch
        )
        for row, found in zip(rows, values, strict=True):
            self.histories[self.configs[row].id].measure(epoch, found)

    def measure(self, epoch: int, leaving: list[int]) -> None:
        """Let the config's further measures look at the nets after ``epoch``."""
        sound = [row for row in leaving if not self.diverged(row)]
        for measure in self.measures:
            measure.after_epoch(epoch, sound)

    def spend(self, epoch: int, seconds: Mapping[str, float]) -> None:
        """Share the seconds of an epoch, by the scalar that they belong to, evenly among the replicas."""
        for config in self.configs:
            shares = {name: value / len(self.configs) for name, value in seconds.items()}
            self.histories[config.id].spend(epoch, shares)

    def diverged(self, row: int) -> bool:
        """The replica's training loss is no longer finite."""
        return self.histories[self.configs[row].id].diverged

    def resume(self, saved: State) -> None:
        """Go on from ``saved``, without the replicas that had left by then."""
        for history in self.histories.values():
            saved.history(history)
        self.remove([row for row, config in enumerate(self.configs) if config.id not in saved.rows])
        saved.nets(self)
        for config in self.configs:
            self.histories[config.id].scalars["resumed_epoch"] = saved.epoch

    def remove(self, rows: list[int]) -> None:
        """Take replicas out of the stack."""
        if not rows:
            return
        staying = [row for row in range(len(self.configs)) if row not in set(rows)]
        self.optimizer.keep(staying)
        self.buffers = self.buffers.keep(staying)
        self.data.keep(staying)
        self.measuring.keep(staying)
        for measure in self.measures:
            measure.keep(staying)
        self.configs = [self.configs[row] for row in staying]

    def test_accuracies(self, rows: list[int]) -> list[float]:
        """Accuracy of replicas over the test set, in [0, 1]."""
        return self.measuring.testing(self.nets, rows)

    def _leaving(self, epoch: int) -> list[int]:
        stops, last = self.shared.stop_at_convergence, epoch == self.shared.epochs
        histories = [self.histories[config.id] for config in self.configs]
        return [row for row, h in enumerate(histories) if last or h.diverged or (stops and h.converged)]

    def _add(self, epoch: int, rows: list[int], values: Values) -> None:
        for row, found in zip(rows, values, strict=True):
            self.histories[self.configs[row].id].add(epoch, found)

    def _accumulate(self, term: _Term, at: Nets, into: Stack, keep: float) -> None:
        rows, inputs, targets, scale, perturbation = term
        parameters, buffers = at
        if len(scale) < len(self.configs):
            parameters, buffers, into = parameters.rows(rows), buffers.rows(rows), into.rows(rows)
        self.network.accumulate(parameters, buffers, inputs, targets, scale, perturbation, into, keep)

    def _climbed(self, terms: list[_Term], climbs: list[tuple[slice, Tensor]]) -> Nets:
        """Copies of the nets, the rows of each climb moved so far up the loss of ``terms``.

        This pass updates the running statistics; the one at the copies updates theirs, which nobody keeps.
        """
        descent = self.parameters.zeros()
        for place, term in enumerate(terms):
            again = term._replace(inputs=term.inputs.clone())
            self._accumulate(again, self.nets, descent, float(place > 0))
        everyone = range(len(self.configs))
        moved = Nets(self.parameters.keep(everyone), self.buffers.keep(everyone))
        for rows, radii in climbs:
            ascend_(moved.parameters.rows(rows), descent.rows(rows), radii)
        return moved

    def _adversarial(self, rows: slice, inputs: Tensor, draws: ReplicaDraws) -> Tensor:
        shape = tuple(inputs.shape[1:])
        parameters, buffers = self.parameters.rows(rows), self.buffers.rows(rows)

        def noise(iteration: int) -> Tensor:
            return draws.normal(f"adversarial {iteration}", shape)

        return search(self.network, parameters, buffers, inputs, self.measuring.search, noise)[0]


def train(
    cohort: Cohort,
    splits: Splits,
    device: torch.device,
    leave: Callable[[Training, list[int]], None],
    heartbeat: Callable[[int], None],
    checkpoints: Checkpoints | None = None,
    prune: Callable[[], Mapping[str, Pruned]] = dict,
    usable: Callable[[State], bool] = lambda state: True,
) -> dict[str, History]:
    """Train ``cohort`` to its end, from the first ``usable`` state of ``checkpoints``, and return each trial's history.

    ``leave(training, rows)`` is called with replicas just before they leave the stack, ``heartbeat(epoch)`` after
    every epoch. ``prune()`` says, by trial id, what a trial keeps, where some drop examples; it is not asked again where a
    checkpoint knows: on a GPU, which rounds now so, now so, another answer would change the data in mid-training.
    """
    if not all(measures.find(name).resumable for name in cohort.configs[0].measures):
        checkpoints = None
    states = (load(data, cohort, device) for data in checkpoints.states()) if checkpoints else iter(())
    saved = next((state for state in states if state and usable(state)), None)
    pruned = {} if saved else prune()
    kept = saved.kept if saved else {trial: each.kept for trial, each in pruned.items()}
    training = Training(cohort, splits, device, kept)
    for trial, each in pruned.items():
        training.histories[trial].scalars.update(each.scalars)
    if saved:
        training.resume(saved)
    start = saved.epoch if saved else 0
    clock = _Clock(device)
    if start == 0:
        _before_training(training, clock)
    for epoch in range(start + 1, training.shared.epochs + 1):
        if not training.configs:
            break
        training.train_epoch(epoch)
        spent = {"seconds": clock.lap()}
        leaving = training.evaluate(epoch)
        spent["evaluation_seconds"] = clock.lap()
        everyone = epoch in training.shared.csr_epochs
        measured = range(len(training.configs)) if everyone else leaving
        training.measure_critical_samples(epoch, [row for row in measured if not training.diverged(row)])
        spent["critical_sample_seconds"] = clock.lap()
        if training.measures:
            training.measure(epoch, leaving)
            spent["measure_seconds"] = clock.lap()
        if leaving:
            leave(training, leaving)
            spent["evaluation_seconds"] += clock.lap()
        training.spend(epoch, spent)
        heartbeat(epoch)
        training.remove(leaving)
        if checkpoints and training.configs:
            checkpoints.offer(epoch, partial(dump, training, epoch))
            clock.lap()  # keeping the state is none of what is timed
    return training.histories


def _before_training(training: Training, clock: _Clock) -> None:
    """Measure the nets as they were drawn."""
    if 0 in training.shared.csr_epochs:
        training.measure_critical_samples(0, list(range(len(training.configs))))
        training.spend(0, {"critical_sample_seconds": clock.lap()})
    for measure in training.measures:
        measure.before_training()
        training.spend(0, {"measure_seconds": clock.lap()})


class _Clock:
    """Times laps of a device's work: a GPU is waited for, because it runs behind the program."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        before, self._last = self._last, time.perf_counter()
        return self._last - before
