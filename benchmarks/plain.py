"""The peer that a good engineer writes first: a config a Ray Tune task, ``DataLoader``, every epoch reported.

Everything that is not said here is Ray's default: a process a task, its loggers, MLflow through
``MLflowLoggerCallback``, as Ray's manual has it. Run: python -m benchmarks.plain PLAN.json sqlite:///mlflow.db FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, TensorDataset

from benchmarks import _plan
from benchmarks._peer_training import Batches, TrialData, load, train
from memory_study.config import TrialConfig
from memory_study.rng import stream

EVALUATION_BATCH = 1000


class Order(Sampler[int]):
    """A random order for each epoch: the product's."""

    def __init__(self, examples: int, seed: int) -> None:
        self._examples, self._seed, self.epoch = examples, seed, 0

    def __iter__(self) -> Iterator[int]:
        generator = stream(self._seed, "batches", self.epoch)
        return iter(torch.randperm(self._examples, generator=generator).tolist())

    def __len__(self) -> int:
        return self._examples


class Loaders:
    """Data through loaders in this process: the data are small, and worker processes would only cost time."""

    def __init__(self, data: TrialData, config: TrialConfig) -> None:
        self._order = Order(len(data.corrupted), config.seed)
        splits = {"train": data.train, "validation": data.validation, "test": data.test}
        sets = {name: TensorDataset(*tensors) for name, tensors in splits.items()}
        self._training = DataLoader(sets["train"], batch_size=config.batch_size, sampler=self._order)
        self._evaluation = {
            name: DataLoader(dataset, batch_size=EVALUATION_BATCH) for name, dataset in sets.items()
        }

    def training_batches(self, config: TrialConfig, epoch: int) -> Batches:
        """See :class:`benchmarks._peer_training.Feed`."""
        self._order.epoch = epoch
        return _pairs(self._training)

    def evaluation_batches(self, split: str) -> Batches:
        """See :class:`benchmarks._peer_training.Feed`."""
        return _pairs(self._evaluation[split])


def _pairs(loader: DataLoader[tuple[Tensor, ...]]) -> Batches:
    yield from loader


def train_one(config: Mapping[str, Any], shared: Mapping[str, Any], data_dir: str) -> None:
    """A Tune task: train the trial of ``config`` and report every epoch."""
    fields = {name: value for name, value in config["trial"].items() if name != "id"}
    trial = _plan.trial({**shared, **fields})
    for metrics in train(trial, load(trial, data_dir), lambda data: Loaders(data, trial), fused=False):
        tune.report(metrics)


def main(plan_file: str, tracking_uri: str, folder: str) -> None:
    """Train every trial of the plan."""
    plan = _plan.read(Path(plan_file))
    varying = [_plan.varying(config) for config in plan]
    shared = {name: value for name, value in _plan.fields_of(plan[0]).items() if name not in varying[0]}
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train_one, shared=shared, data_dir=folder), {"cpu": 1}),
        param_space={"trial": tune.grid_search(varying)},
        run_config=tune.RunConfig(
            storage_path=folder,
            callbacks=[MLflowLoggerCallback(tracking_uri, experiment_name="plain")],
        ),
    )
    if errors := tuner.fit().errors:
        raise errors[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
