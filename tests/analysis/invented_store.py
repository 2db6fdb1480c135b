"""Invented trials, and a writer that puts them into a tracking store as the sweeps do."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from numpy.typing import NDArray

from memory_study import record
from memory_study.config import TrialConfig
from memory_study.record import Tag

EXPERIMENT = "regularization"
# Strength at which the fitting of random labels falls by half, and clean accuracy lost at that strength.
_INVENTED = {
    "dropout": (0.5, 0.0),
    "input_dropout": (0.35, 0.004),
    "input_noise": (0.9, 0.002),
    "hidden_noise": (0.35, 0.01),
    "weight_decay": (0.004, 0.012),
    "adversarial": (0.6, 0.003),
}


Curve = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Invented:
    """A trial with an outcome nobody trained for."""

    config: TrialConfig
    curves: Mapping[str, Curve]
    scalars: dict[str, float]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def invent(config: TrialConfig, diverged: bool = False) -> Invented:
    """A plausible outcome of a trial: the same for the same config, close to it for another seed."""
    noise = np.random.default_rng([config.seed, config.corruption == "none"]).normal(size=2)
    own = np.random.default_rng(int(config.id, 16)).normal(size=2)  # what a seed does to this setting only
    push = sum((strength / _INVENTED[kind][0]) ** 1.2 for kind, strength in config.regularizers)
    cost = sum(_INVENTED[kind][1] * (s / _INVENTED[kind][0]) ** 2 for kind, s in config.regularizers)
    if config.corruption == "none":
        final = max(0.1, 1 - 0.05 * cost - 0.01 * push) - abs(noise[0] + own[0]) * 0.002
    else:
        final = 0.1 + 0.85 * math.exp(-0.7 * push) + noise[0] * 0.012 + own[0] * 0.008
    final, speed = min(max(final, 0.1), 1.0), 3 + 5 * push + 12 * (config.corruption != "none") + abs(own[1])
    epochs = record.epoch_grid(config.epochs)[: 3 if diverged else None]
    curve = tuple((e, 0.1 + (final - 0.1) * (1 - math.exp(-e / speed))) for e in epochs)
    best = 0.974 + 0.012 * min(push, 1) - 0.01 * push**2 / 4 - cost + noise[1] * 0.0015 + own[1] * 0.0008
    if config.corruption != "none":
        best = 0.13 + 0.01 * noise[1]
    scalars = {"best_validation_accuracy": min(max(best, 0.1), 1.0), "diverged": float(diverged)}
    scalars |= {"converged": float(final >= 0.999), "convergence_epoch": float(config.epochs), "seconds": 0.5}
    right = {"train_right": own > 0} if config.seed == 0 else {}
    return Invented(config, {"train_accuracy": curve}, scalars, right)


def settings(
    seeds: Iterable[int], strengths: Iterable[dict[str, float]], **shared: object
) -> list[TrialConfig]:
    """Every strength and seed, on real data and on fully random labels."""
    base = TrialConfig(**shared)  # type: ignore[arg-type]
    return [
        replace(
            base,
            seed=seed,
            regularizers=tuple(strength.items()),
            corruption=corruption,
            corruption_level=level,
        )
        for seed in seeds
        for strength in strengths
        for corruption, level in (("none", 0.0), ("randY", 1.0))
    ]


SMALL: tuple[dict[str, float], ...] = (
    {}, {"dropout": 0.3}, {"dropout": 0.5}, {"dropout": 0.7}, {"weight_decay": 0.001}, {"weight_decay": 0.01},
    {"adversarial": 0.2, "dropout": 0.35}, {"adversarial": 0.5, "dropout": 0.35}, {"hidden_noise": 0.1},
)  # fmt: skip


TRIES = ((3_000, "the third"), (1_000, "the first"), (2_000, "the second"))
"""When some runs of one trial started, and the error of each; the store is given them in this order."""


class Writer:
    """Writes trials into a store as the sweeps do."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.uri, self.artifacts = uri, artifacts
        self.client = MlflowClient(tracking_uri=uri)

    def experiment(self, name: str = EXPERIMENT, schema: int | None = record.SCHEMA) -> str:
        identifier = self.client.create_experiment(name, artifact_location=self.artifacts.as_uri())
        if schema is not None:
            self.client.set_experiment_tag(identifier, str(Tag.SCHEMA), str(schema))
        return str(identifier)

    def trial(
        self,
        experiment: str,
        invented: Invented,
        status: str = "FINISHED",
        end: int = 2_000,
        start: int = 1_000,
    ) -> str:
        config = invented.config
        tags = {
            Tag.KIND: "trial",
            Tag.TRIAL: config.id,
            Tag.SWEEP: EXPERIMENT,
            Tag.DEVICE: "cpu",
            Tag.CODE: "abc",
        }
        run = self.client.create_run(experiment, start_time=start, run_name=config.name)
        metrics = [
            Metric(name, value, 1_000, epoch)
            for name, curve in invented.curves.items()
            for epoch, value in curve
        ]
        metrics += [Metric(name, value, 1_000, 0) for name, value in invented.scalars.items()]
        self.client.log_batch(
            run.info.run_id,
            metrics=metrics,
            params=[Param(name, value) for name, value in config.params().items()],
            tags=[RunTag(str(key), value) for key, value in tags.items()],
        )
        if invented.arrays:
            self.client.set_tag(run.info.run_id, str(Tag.ARRAYS), ",".join(invented.arrays))
            with tempfile.TemporaryDirectory() as folder:
                np.savez(Path(folder) / "arrays.npz", allow_pickle=False, **invented.arrays)
                self.client.log_artifact(run.info.run_id, f"{folder}/arrays.npz")
        if status != "RUNNING":
            self.client.set_terminated(run.info.run_id, status, end_time=end)
        return str(run.info.run_id)

    def failures(self, experiment: str, invented: Invented) -> None:
        """The same trial failed once for each of :data:`TRIES`."""
        for start, error in TRIES:
            run = self.trial(experiment, invented, status="FAILED", start=start, end=start + 1)
            self.client.set_tag(run, str(Tag.ERROR), error)
