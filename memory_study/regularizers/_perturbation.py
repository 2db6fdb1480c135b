"""What the regularizers of a stack do to its batch and its activations in one training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memory_study.regularizers._base import Regularizer, find
from memory_study.rng import EpochDraws, ReplicaDraws


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring replicas that use one regularizer: ``rows`` of the stack, their seeds and strengths [replica]."""

    regularizer: Regularizer
    rows: slice
    seeds: tuple[int, ...]
    strengths: Tensor

    def within(self, rows: slice) -> Group | None:
        """This group as seen from a stack of only ``rows``; None where they do not meet."""
        start, stop = max(self.rows.start, rows.start), min(self.rows.stop, rows.stop)
        if start >= stop:
            return None
        own = slice(start - self.rows.start, stop - self.rows.start)
        shifted = slice(start - rows.start, stop - rows.start)
        return replace(self, rows=shifted, seeds=self.seeds[own], strengths=self.strengths[own])


def group(regularizers: Sequence[dict[str, float]], seeds: Sequence[int], like: Tensor) -> tuple[Group, ...]:
    """Groups of a stack whose replica r has ``regularizers[r]`` (kind to strength) and ``seeds[r]``.

    Replicas ordered by kind give few groups, hence few operations. Strengths get the dtype and device of ``like``.
    """
    groups = []
    for kind in sorted({kind for strengths in regularizers for kind in strengths}):
        users = [row for row, strengths in enumerate(regularizers) if kind in strengths]
        for rows in runs(users):
            strengths = like.new_tensor([regularizers[row][kind] for row in range(rows.start, rows.stop)])
            groups.append(Group(find(kind), rows, tuple(seeds[rows]), strengths))
    return tuple(groups)


@dataclass(frozen=True, slots=True)
class Site:
    """A hidden layer after its perturbation, and what its backward pass needs.

    ``output`` is (relu + noise) * factor; ``gate`` is positive exactly where the gradient passes the ReLU (it may be
    the output itself, where that is as good); ``factors`` are pairs of rows and their factor.
    """

    output: Tensor
    gate: Tensor
    factors: tuple[tuple[slice, Tensor], ...]


class Perturbation:
    """Applies the groups' hooks for batch, inputs and activations; the draws are those of the current step."""

    def __init__(self, groups: Sequence[Group], draws: EpochDraws) -> None:
        self._draws = draws
        self._groups = [(g, ReplicaDraws(draws, g.seeds)) for g in groups]

    def within(self, rows: slice) -> Perturbation:
        """The perturbation of some neighbouring replicas."""
        return Perturbation([part for g, _ in self._groups if (part := g.within(rows))], self._draws)

    def targets(self, inputs: Tensor, labels: Tensor, classes: int) -> Tensor:
        """What the stack is to predict: ``labels`` [replica, batch] themselves where no group mixes or smooths.

        Else probabilities [replica, batch, class] for all of the stack. Mixes ``inputs`` [replica, batch, ...] in place.
        """
        examples = labels.shape[1]
        mixings = [(g.rows, g.regularizer.mixing(g.strengths, examples, d)) for g, d in self._groups]
        smoothings = [(g.rows, g.regularizer.smoothing(g.strengths)) for g, _ in self._groups]
        if all(found is None for _, found in (*mixings, *smoothings)):
            return labels
        targets = inputs.new_zeros(*labels.shape, classes).scatter_(2, labels.unsqueeze(2), 1)
        for rows, mixing in mixings:
            if mixing is not None:
                _mix_(inputs[rows], *mixing)
                _mix_(targets[rows], *mixing)
        for rows, share in smoothings:
            if share is not None:
                targets[rows].mul_(1 - share[:, None, None]).add_(share[:, None, None] / classes)
        return targets

    def inputs_(self, inputs: Tensor) -> None:
        """Perturb ``inputs`` [replica, batch, ...] in place."""
        shape = tuple(inputs.shape[1:])
        for group, draws in self._groups:
            noise = group.regularizer.input_noise(group.strengths, shape, draws)
            if noise is not None:
                inputs[group.rows].add_(noise)
        for group, draws in self._groups:
            factor = group.regularizer.input_factor(group.strengths, shape, draws)
            if factor is not None:
                inputs[group.rows].mul_(factor)

    def hidden(self, relu: Tensor, site: str, dense: bool) -> Site:
        """Perturb ``relu`` [replica, batch, ...], in place where it can be. Factors act on dense layers only."""
        shape, gate = tuple(relu.shape[1:]), relu
        for group, draws in self._groups:
            noise = group.regularizer.hidden_noise(group.strengths, shape, draws, site)
            if noise is not None:
                gate = relu.clone() if gate is relu else gate
                relu[group.rows].add_(noise)
        factors = []
        for group, draws in self._groups if dense else ():
            factor = group.regularizer.hidden_factor(group.strengths, shape, draws, site)
            if factor is not None:
                relu[group.rows].mul_(factor)
                factors.append((group.rows, factor))
        return Site(relu, gate, tuple(factors))

    def hidden_terms(
        self, shape: tuple[int, ...], site: str, dense: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Noises and factors of a stack of one replica, [1, *shape] each, for a net that autograd differentiates."""
        noises = [g.regularizer.hidden_noise(g.strengths, shape, d, site) for g, d in self._groups]
        factors = [g.regularizer.hidden_factor(g.strengths, shape, d, site) for g, d in self._groups if dense]
        return [n for n in noises if n is not None], [f for f in factors if f is not None]


def _mix_(values: Tensor, partners: Tensor, weights: Tensor) -> None:
    """Move ``values`` [replica, batch, ...] by ``weights`` [replica] towards those of ``partners`` [replica, batch]."""
    replicas = torch.arange(len(partners), device=values.device)[:, None]
    values.lerp_(values[replicas, partners], weights.view(-1, *[1] * (values.dim() - 1)))


def runs(rows: Sequence[int]) -> list[slice]:
    """Ascending ``rows`` as slices of neighbours."""
    starts = [row for row in rows if row - 1 not in set(rows)]
    stops = [row + 1 for row in rows if row + 1 not in set(rows)]
    return [slice(*ends) for ends in zip(starts, stops, strict=True)]
