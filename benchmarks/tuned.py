"""The peer that has performance in mind, short of stacking: one net at a time, but nothing else that can be saved.

Reused processes, data in memory and indexed, evaluation in one pass, a fused optimizer, one thread a process, one
report a trial, no other loggers, one ``log_batch`` a trial from the driver.
Run: python -m benchmarks.tuned PLAN.json sqlite:///mlflow.db FOLDER
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"

import torch
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from ray import tune

from benchmarks import _plan
from benchmarks._peer_training import Batches, TrialData, load, train
from memory_study.config import TrialConfig
from memory_study.record import epoch_grid
from memory_study.rng import stream


class InMemory:
    """Data as tensors: a training batch is one index operation, an evaluation one pass."""

    def __init__(self, data: TrialData) -> None:
        self._splits = {"train": data.train, "validation": data.validation, "test": data.test}

    def training_batches(self, config: TrialConfig, epoch: int) -> Batches:
        """See :class:`benchmarks._peer_training.Feed`."""
        inputs, labels = self._splits["train"]
        order = torch.randperm(len(labels), generator=stream(config.seed, "batches", epoch))
        for part in torch.split(order, config.batch_size):
            yield inputs[part], labels[part]

    def evaluation_batches(self, split: str) -> Batches:
        """See :class:`benchmarks._peer_training.Feed`."""
        yield self._splits[split]


def train_one(config: Mapping[str, int], plan: _plan.Plan, data_dir: str) -> None:
    """A Tune task: train the trial that ``config`` numbers and report once."""
    torch.set_num_threads(1)
    trial = plan[config["trial"]]
    history = list(train(trial, load(plan[0], data_dir), InMemory, fused=True))
    grid = {*epoch_grid(trial.epochs), len(history)}
    tune.report({"history": {epoch: history[epoch - 1] for epoch in sorted(grid) if epoch <= len(history)}})


class BatchLogger(tune.Callback):
    """Writes each trial to MLflow as it completes, all its numbers in one call."""

    def __init__(self, plan: _plan.Plan, tracking_uri: str) -> None:
        self._plan = plan
        self._client = MlflowClient(tracking_uri)
        self._experiment = self._client.create_experiment("tuned")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune."""
        config = self._plan[trial.config["trial"]]
        run = self._client.create_run(self._experiment, tags={"trial": config.id}, run_name=config.name)
        now = run.info.start_time
        history = trial.last_result["history"]
        metrics = [Metric(n, v, now, int(e)) for e, values in history.items() for n, v in values.items()]
        params = [Param(name, value) for name, value in config.params().items()]
        self._client.log_batch(run.info.run_id, metrics, params)
        self._client.set_terminated(run.info.run_id)


def main(plan_file: str, tracking_uri: str, folder: str) -> None:
    """Train every trial of the plan."""
    plan = _plan.read(Path(plan_file))
    trainable = tune.with_parameters(train_one, plan=plan, data_dir=folder)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"trial": tune.grid_search(list(range(len(plan))))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=folder, verbose=0, callbacks=[BatchLogger(plan, tracking_uri)]
        ),
    )
    if errors := tuner.fit().errors:
        raise errors[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
