"""Small data, made up here, and cohorts trained on them as a sweep would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from memory_study import datasets
from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.datasets import Splits
from memory_study.record import Record
from memory_study.run import run_cohort


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """How many threads add up a sum decides how it rounds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_splits(
    train: int = 40, side: int = 6, channels: int = 1, classes: int = 4, others: int = 30, noise: float = 0.2
) -> Splits:
    """Images of ``classes`` patterns under noise, in [0, 1], each class as frequent as the others."""
    generator = torch.Generator().manual_seed(11)
    patterns = torch.rand(classes, channels, side, side, generator=generator)

    def part(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % classes
        images = patterns[labels] + noise * torch.randn(count, channels, side, side, generator=generator)
        return images.clamp_(0, 1), labels

    (inputs, labels), validation, test = part(train), part(others), part(others)
    mean = tuple(inputs.double().mean((0, 2, 3)).tolist())
    std = tuple(inputs.double().std((0, 2, 3), correction=0).tolist())
    return Splits(inputs, labels, *validation, *test, mean, std, tuple("abcdefghij"[:classes]))


@pytest.fixture
def splits() -> Callable[..., Splits]:
    """Makes data: see ``make_splits``."""
    return make_splits


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Record]]:
    """Trains configs as one cohort on the given splits, the way a sweep does."""

    def run(configs: Sequence[TrialConfig], splits: Splits, keep_models: bool = False) -> list[Record]:
        with monkeypatch.context() as patch:
            patch.setattr(datasets, "load", lambda config, location: splits)
            return run_cohort(Cohort(tuple(configs)), location=Path(), keep_models=keep_models)

    return run


@pytest.fixture
def measured() -> Callable[[Record], object]:
    """All of a record that has to be the same when the trial is run again: all but its wall-clock time."""

    def strip(record: Record) -> object:
        return (
            record.trial_id,
            {name: value for name, value in record.scalars.items() if not name.endswith("seconds")},
            dict(record.curves),
            {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in record.arrays.items()},
        )

    return strip


class LiveBytes(TorchDispatchMode):
    """The ``most`` bytes of tensors that were made within it and held at one time, graphs of autograd among them.

    What was there before counts as little as the room that an operation needs for itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = self._bytes = 0
        self._held: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the operation, and see which storages are new then and which are still there."""
        kwargs = kwargs or {}
        given, found = _storages((args, kwargs)), func(*args, **kwargs)
        new = {ref: size for ref, size in _storages(found).items() if ref not in given}
        self._held |= new
        self._bytes += sum(new.values())
        if self._bytes > self.most:  # some of them may be gone
            self._held = {ref: size for ref, size in self._held.items() if not ref.expired()}
            self._bytes = sum(self._held.values())
            self.most = max(self.most, self._bytes)
        return found


def _storages(tree: Any) -> dict[StorageWeakRef, int]:
    """Of the tensors in a tree: their bytes."""
    storages = [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return {StorageWeakRef(storage): storage.nbytes() for storage in storages}


@pytest.fixture
def live_bytes() -> LiveBytes:
    """Counts the memory of what is done ``with`` it."""
    return LiveBytes()
