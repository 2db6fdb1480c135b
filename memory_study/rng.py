"""Randomness with a name. No global seed, no position in a list or a stack."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def stream(seed: int, purpose: str, *position: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one purpose, such as ``stream(3, "batches", epoch)``.

    The same name gives the same draws whatever else was drawn before. Draws on CUDA differ from those on the CPU, so
    whatever a trial's id promises (data set, corruption, initial weights, batches) is drawn on the CPU.
    """
    name = "/".join(map(str, (seed, purpose, *position)))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
    return torch.Generator(device=device).manual_seed(key)


class EpochDraws:
    """The random numbers that training consumes in one epoch, step by step, on the device that trains.

    Each (seed, purpose) draws from a stream of its own, so replicas of one seed share their draws (common random
    numbers), and what a replica sees does not depend on whom it is stacked with.
    """

    def __init__(self, epoch: int, device: torch.device, dtype: torch.dtype) -> None:
        self._epoch, self._device, self._dtype = epoch, device, dtype
        self._streams: dict[tuple[int, str], torch.Generator] = {}
        self._step: dict[tuple[int, str], Tensor] = {}

    def next_step(self) -> None:
        """Forget this step's draws: the next ones are fresh."""
        self._step.clear()

    def draw(self, seed: int, purpose: str, shape: tuple[int, ...], normal: bool) -> Tensor:
        """This step's draw of ``shape`` for ``seed`` and ``purpose``: the same tensor each time it is asked for."""
        key = (seed, purpose)
        if key not in self._step:
            if key not in self._streams:
                self._streams[key] = stream(seed, purpose, self._epoch, device=self._device)
            empty = torch.empty(shape, device=self._device, dtype=self._dtype)
            fill = empty.normal_ if normal else empty.uniform_
            self._step[key] = fill(generator=self._streams[key])
        return self._step[key]


class ReplicaDraws:
    """The view of :class:`EpochDraws` that a regularizer gets: one row for each of its replicas."""

    def __init__(self, epoch: EpochDraws, seeds: Sequence[int]) -> None:
        self._epoch, self._seeds = epoch, seeds

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Uniform on [0, 1), shape [replica, *shape]."""
        return self._rows(purpose, shape, normal=False)

    def normal(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal, shape [replica, *shape]."""
        return self._rows(purpose, shape, normal=True)

    def _rows(self, purpose: str, shape: tuple[int, ...], normal: bool) -> Tensor:
        rows = [self._epoch.draw(seed, purpose, shape, normal) for seed in self._seeds]
        if all(row is rows[0] for row in rows):
            return rows[0].expand(len(rows), *shape)
        return torch.stack(rows)
