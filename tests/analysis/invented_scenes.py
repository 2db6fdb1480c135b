"""Trials to test the figures and claims of any sweep with: invented for it, or for whatever its smallest scale plans."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import invented_frontier
import invented_noise
import invented_pruning
import invented_sensitivity
import numpy as np
import pandas as pd
from invented_store import Invented

from analysis._frames import Frames, tidy
from analysis._rows import Facts, Rows, history, wide
from memory_study import record
from memory_study.config import TrialConfig
from memory_study.record import Tag

OWN: Mapping[str, Callable[[str], Frames]] = {
    **{sweep: partial(invented_noise.scene, sweep) for sweep in invented_noise.SWEEPS},
    "frontier": invented_frontier.scene,
    "pruning": invented_pruning.scene,
    "sensitivity": invented_sensitivity.scene,
}
"""Sweeps with effects to find, or with arrays; ``regularization`` has a store: see ``conftest.py``."""
_ENDS = {"_low": 0.9, "_high": 1.1}


def scene(sweep: str, name: str) -> Frames:
    """The scenes of :func:`invented_noise.scene` for any sweep."""
    return OWN[sweep](name) if sweep in OWN else of_any(sweep, name)


@cache
def of_any(sweep: str, name: str) -> Frames:
    """The scenes of a sweep that nobody invented any for. They have all curves and scalars, no effect, and no arrays."""
    if name == "nothing":
        return frames_of(sweep, [])
    configs = planned(sweep, (0, 1) if name == "two panels" else (0, 1, 2))
    if name == "one trial":
        configs = configs[:1]
    if name == "two panels":
        configs += [replace(config, depth=config.depth + 1) for config in configs[:-1]]
    middle = len(configs) // 2
    lost = {"all diverged": configs, "troubled": configs[middle : middle + 1]}.get(name, [])
    return frames_of(sweep, [invent_any(config, config in lost) for config in configs])


def planned(sweep: str, seeds: tuple[int, ...]) -> list[TrialConfig]:
    """The trials of the sweep's smallest scale with these seeds."""
    from sweeps._options import resolve
    from sweeps._plan import distinct

    asked = importlib.import_module(f"sweeps.{sweep}").SWEEP
    return list(distinct(asked.plan(resolve(asked, {"scale": "smoke", "seeds": seeds}))))


def invent_any(config: TrialConfig, diverged: bool = False) -> Invented:
    """A number from 0 to 1 of each name of the record, by name and trial; flags say that all went well, or ``diverged``."""
    epochs = record.epoch_grid(config.epochs)[: 3 if diverged else None]
    ended = {"diverged": float(diverged), "converged": float(not diverged)}
    ended |= dict.fromkeys(("convergence_epoch", "epochs_trained"), float(epochs[-1]))
    curves = {
        name: tuple((epoch, _number(config, name, epoch)) for epoch in epochs) for name in record.CURVES
    }
    if diverged:
        return Invented(config, curves, ended)
    flags = {name: 1.0 for name, meaning in record.SCALARS.items() if meaning.startswith("1 if")}
    epoch_of = {name: float(epochs[-1]) for name in record.SCALARS if "epoch" in name}
    numbers = {name: _number(config, name) for name in record.SCALARS}
    return Invented(config, curves, numbers | epoch_of | flags | ended)


def _number(config: TrialConfig, name: str, epoch: int = 0) -> float:
    """Drawn for this trial, name and epoch; the ends of an interval lie around what they are the ends of."""
    for end, factor in _ENDS.items():
        if name.endswith(end):
            return factor * _number(config, name.removesuffix(end), epoch)
    return float(np.random.default_rng([zlib.crc32(name.encode()), int(config.id, 16), epoch]).random())


def frames_of(sweep: str, trials: Sequence[Invented]) -> Frames:
    """The tables that a store with these trials gives, without the store."""
    runs = [trial.config.id for trial in trials]
    params = [(p, *pair) for p, trial in enumerate(trials) for pair in trial.config.params().items()]
    tags = [
        (p, str(tag), text)
        for p, run in enumerate(runs)
        for tag, text in ((Tag.TRIAL, run), (Tag.SWEEP, sweep))
    ]
    latest = [
        {name: curve[-1][1] for name, curve in trial.curves.items()} | trial.scalars for trial in trials
    ]
    metrics = [(p, *pair) for p, values in enumerate(latest) for pair in values.items()]
    facts = Facts(wide(runs, params, object), wide(runs, tags, object), wide(runs, metrics, float))
    curves = {
        name: history(len(runs), *_points([trial.curves.get(name, ()) for trial in trials]))
        for name in record.CURVES
    }
    ends = pd.DataFrame({"end_time": np.zeros(len(runs))}, index=facts.params.index)
    return tidy(Rows(ends, facts, curves, pd.DataFrame(index=facts.params.index)))


def _points(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The run, the epoch and the value of each point of all runs."""
    points = [(place, *point) for place, curve in enumerate(curves) for point in curve]
    places, epochs, values = np.array(points, float).reshape(-1, 3).T
    return places.astype(int), epochs.astype(int), values
