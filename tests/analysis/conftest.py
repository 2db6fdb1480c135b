"""A SQLite store of invented trials, and the tables read from it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(
    0, str(Path(__file__).parent)
)  # for the tests' own helper modules, whatever pytest's import mode

import invented_scenes
from invented_store import EXPERIMENT, SMALL, Writer, invent, settings

from analysis import figures
from analysis._cache import load
from analysis._frames import Frames
from analysis._store import connect, find_experiment
from memory_study.config import TrialConfig


@pytest.fixture(scope="session")
def store_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[TrialConfig]], Writer]:
    """A new SQLite store in which these trials are finished. The empty tables are made once and copied."""
    folder = tmp_path_factory.mktemp("template")
    Writer(f"sqlite:///{folder}/empty.db", folder / "artifacts").client.search_experiments()
    template = (folder / "empty.db").read_bytes()

    def write(configs: list[TrialConfig]) -> Writer:
        place = tmp_path_factory.mktemp("store")
        (place / "mlflow.db").write_bytes(template)
        writer = Writer(f"sqlite:///{place}/mlflow.db", place / "artifacts")
        experiment = writer.experiment()
        for config in configs:
            writer.trial(experiment, invent(config))
        return writer

    return write


@pytest.fixture(scope="session")
def store(store_with: Callable[[list[TrialConfig]], Writer]) -> Writer:
    """Three seeds of nine settings, and everything that must not count: see the last lines."""
    writer = store_with(settings(range(3), SMALL))
    experiment = writer.client.get_experiment_by_name(EXPERIMENT).experiment_id
    for config in settings([0], [{"weight_decay": 1.0}]):
        writer.trial(experiment, invent(config, diverged=True))
    other = settings([7], [{"dropout": 0.9}])[0]
    writer.failures(experiment, invent(other))
    writer.trial(experiment, invent(replace(other, seed=8)), status="RUNNING")
    writer.client.delete_run(writer.trial(experiment, invent(replace(other, seed=9))))
    again = invent(settings([0], [{}])[0])
    writer.trial(
        experiment, replace(again, scalars=again.scalars | {"best_validation_accuracy": 0.5}), end=3_000
    )
    return writer


@pytest.fixture(scope="session")
def frames_of() -> Callable[[Writer], Frames]:
    """The tidy tables of a store, training accuracy as curves."""

    def read(writer: Writer) -> Frames:
        reader = connect(writer.uri)
        return load(reader, find_experiment(reader, EXPERIMENT), ["train_accuracy"], None)

    return read


@pytest.fixture(scope="session")
def frames(store: Writer, frames_of: Callable[[Writer], Frames]) -> Frames:
    return frames_of(store)


@pytest.fixture(scope="session")
def scenes(
    store_with: Callable[[list[TrialConfig]], Writer],
    frames_of: Callable[[Writer], Frames],
    frames: Frames,
) -> Callable[[str, str], Frames]:
    """Trials of the experiment of a figure, by the scene's name: see :func:`invented_noise.scene`."""

    @cache
    def of_regularization(scene: str) -> Frames:
        if scene in ("many", "troubled"):
            return frames  # a setting of it diverged
        if scene == "all diverged":
            return Frames(frames.trials.assign(diverged=1.0), frames.curves)
        two_nets = settings([0, 1], SMALL[:4]) + settings([0, 1], SMALL[:3], width=64)[:-1]
        configs = {"nothing": [], "one trial": settings([0], [{}])[:1], "two panels": two_nets}
        return frames_of(store_with(configs[scene]))

    def of_figure(name: str, scene: str) -> Frames:
        sweep = figures.find(name).SWEEP
        return of_regularization(scene) if sweep == EXPERIMENT else invented_scenes.scene(sweep, scene)

    return of_figure
