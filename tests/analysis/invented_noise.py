"""Invented trials on noisy training sets: what the sweeps ``capacity``, ``noise`` and ``examples`` could find."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from invented_store import Curve, Invented
from numpy.typing import NDArray

from analysis._frames import Frames
from memory_study import record
from memory_study.config import FIELDS, TrialConfig

LEVELS = (0.0, 0.4, 0.8)
KINDS = ("randX", "randY")


def noisy(
    seeds: Iterable[int],
    levels: Iterable[float] = LEVELS,
    kinds: Iterable[str] = KINDS,
    **shared: object,
) -> list[TrialConfig]:
    """Every seed, level and kind of noise; real data once for all kinds."""
    base = TrialConfig(**{"epochs": 200, "stop_at_convergence": True, **shared})  # type: ignore[arg-type]
    configs = [
        replace(base, seed=seed, corruption=kind, corruption_level=level)
        for seed in seeds
        for kind in kinds
        for level in levels
    ]
    return list({config.id: config for config in configs}.values())


def slices(
    seeds: Iterable[int], widths: Iterable[int], sizes: Iterable[int], **shared: object
) -> list[TrialConfig]:
    """Widths at the largest training size, training sizes at the largest width."""
    seeds, widths, sizes = tuple(seeds), tuple(widths), tuple(sizes)
    configs = [
        config
        for width in widths
        for size in sizes
        if width == max(widths) or size == max(sizes)
        for config in noisy(seeds, width=width, train_size=size, **shared)  # type: ignore[arg-type]
    ]
    return list({config.id: config for config in configs}.values())


def invent_noisy(config: TrialConfig, diverged: bool = False) -> Invented:
    """Noise slows the fit and lowers validation accuracy; narrow nets and large training sets slow it more."""
    own = np.random.default_rng(int(config.id, 16)).normal(size=4)
    level, labels = config.corruption_level, config.corruption == "randY"
    room = config.width * 8 / config.train_size
    epoch = round(
        (6 + (40 if labels else 14) * level / min(room, 1)) * (1 + 0.5 / room) * math.exp(0.12 * own[0])
    )
    last = min(max(epoch, 2), config.epochs) if config.stop_at_convergence else config.epochs
    last = 3 if diverged else last
    epochs = [e for e in record.epoch_grid(config.epochs) if e < last] + [last]
    clean = 0.97 - 0.04 / room - (0.75 if labels else 0.3) * level**2 + 0.004 * own[1]
    peak = max(2.0, 0.35 * epoch)
    csr_level = 0.02 + (0.25 if labels else 0.1) * level + 0.004 * own[2]
    train = tuple((e, min(1.0, 0.1 + 0.9 * math.log1p(e) / math.log1p(epoch))) for e in epochs)
    validation = tuple((e, _humped(e, peak, clean, 0.35 * level * labels)) for e in epochs)
    measured = [e for e in epochs if e in config.csr_epochs or e == last]
    curves = {"train_accuracy": train, "validation_accuracy": validation}
    if labels:
        curves["corrupted_fitted_false"] = tuple((e, accuracy**2) for e, accuracy in train)
        curves["corrupted_predicted_true"] = tuple((e, _humped(e, peak, clean, 1.0)) for e in epochs)
    if config.csr_examples:
        curves |= _ratios("csr_validation", {e: csr_level * (1 - math.exp(-e / peak)) for e in measured})
        curves |= _ratios("csr_train", {e: _humped(e, peak, 1.4 * csr_level, 0.6) for e in measured})
    scalars = {
        "best_validation_accuracy": max(value for _, value in validation),
        "converged": float(epoch <= config.epochs and not diverged),
        "convergence_epoch": float(last if diverged else min(max(epoch, 2), config.epochs)),
        "diverged": float(diverged),
        "epochs_trained": float(last),
    }
    if not diverged:
        scalars |= {"sharpness": math.exp(2 - 3 * level + 0.2 * own[3])}
    if train[-1][1] > 0.95 and not diverged:
        scalars |= {"sharpness_matched": math.exp(3 + level + 0.2 * own[3]), "sharpness_matched_loss": 0.08}
    if diverged:
        return Invented(config, curves, scalars)
    if "training_examples" in config.measures:
        return Invented(config, curves, scalars, _examples_of(config))
    filters = _filters_of(config)
    scalars |= {"filter_low_frequency": 0.36 + 0.3 * (config.corruption != "randX") + 0.01 * own[3]}
    scalars |= {"filter_low_frequency_initial": 0.36 + 0.01 * own[0]}
    return Invented(config, curves, scalars, filters)


HARDNESS = {"none": (0.08, 0.4), "randX": (1e4, 8e4), "randY": (20.0, 160.0)}
"""Of each kind of data, a and b of the beta distribution of how often an example is right (1 in 9 of noise)."""


def _examples_of(config: TrialConfig, examples: int = 60) -> dict[str, NDArray[Any]]:
    """Some real examples are nearly always wrong and most nearly never; on noise all are alike, or almost."""
    shared = np.random.default_rng([*HARDNESS].index(config.corruption))
    a, b = HARDNESS[config.corruption]
    right = shared.beta(a, b, examples) if config.corruption != "none" else shared.beta(b, a, examples)
    own = np.random.default_rng(int(config.id, 16))
    kept = {
        "train_images": shared.integers(0, 256, (examples, 1, 8, 8)).astype(np.uint8),
        "train_labels": np.arange(examples) % 10,
    }
    return {"train_right": own.random(examples) < right} | (kept if config.seed == 0 else {})


def _filters_of(config: TrialConfig, filters: int = 6) -> dict[str, NDArray[Any]]:
    """White noise at first, and smoothed where there is something to see."""
    white = np.random.default_rng(config.seed).normal(size=(filters, 3, 5, 5))
    smooth = white + 3 * white.mean(axis=(2, 3), keepdims=True) * (config.corruption != "randX")
    return {"filters": smooth.astype(np.float32), "filters_initial": white.astype(np.float32)}


def _humped(epoch: int, peak: float, height: float, fall: float) -> float:
    """Rises until ``peak``, then loses a share ``fall`` of its height."""
    risen = 1 - math.exp(-2.5 * epoch / peak)
    fallen = fall * max(0.0, math.log(epoch / peak)) / 3
    return min(max(height * risen * (1 - min(fallen, fall)), 0.02), 1.0)


def _ratios(name: str, values: dict[int, float]) -> dict[str, Curve]:
    """A critical sample ratio of 1000 examples with something like its interval."""
    half = {epoch: 2 * math.sqrt(max(v, 0.001) / 1000) for epoch, v in values.items()}
    return {
        name: tuple(values.items()),
        f"{name}_low": tuple((epoch, max(0.0, v - half[epoch])) for epoch, v in values.items()),
        f"{name}_high": tuple((epoch, v + half[epoch]) for epoch, v in values.items()),
    }


def frames_of_invented(trials: Iterable[Invented]) -> Frames:
    """The tables that a store with these trials gives, without the store."""
    trials = sorted(trials, key=lambda trial: trial.config.id)
    rows = [
        {name: getattr(trial.config, name) for name in FIELDS}
        | {"csr_epochs": ",".join(map(str, trial.config.csr_epochs))}
        | {"regularizers": "none", "regularizer": "none", "strength": 0.0}
        | {name: curve[-1][1] for name, curve in trial.curves.items()}
        | trial.scalars
        | trial.arrays
        for trial in trials
    ]
    points = [
        (trial.config.id, name, epoch, value)
        for trial in trials
        for name, curve in sorted(trial.curves.items())
        for epoch, value in curve
    ]
    ids = pd.Index([trial.config.id for trial in trials], name="trial", dtype=object)
    curves = pd.DataFrame(points, columns=["trial", "metric", "epoch", "value"])
    curves = curves.astype({"trial": "category", "metric": "category"})
    return Frames(pd.DataFrame(rows, index=ids), curves)


def _capacity(seeds: int, **shared: object) -> list[TrialConfig]:
    return slices(range(seeds), (32, 128, 512), (500, 1000), csr_examples=0, **shared)


def _noise(seeds: int, **shared: object) -> list[TrialConfig]:
    return noisy(range(seeds), csr_epochs=(0, 1, 2, 4, 8, 16, 32), **shared)


def _examples(seeds: int, **shared: object) -> list[TrialConfig]:
    asked = {"measures": ("training_examples",), "csr_examples": 0, **shared}
    return [replace(config, corruption_seed=99) for config in noisy(range(8 * seeds), (0.0, 1.0), **asked)]  # type: ignore[arg-type]


SWEEPS = {"capacity": _capacity, "noise": _noise, "examples": _examples}


@cache
def scene(sweep: str, name: str) -> Frames:
    """Trials of a sweep: ``nothing``, ``one trial``, ``many``, ``two panels`` (of two nets, one trial missing),
    ``troubled``: on 40 % random labels a trial diverged, and training ended before all had converged, or ``all
    diverged``.
    """
    of_sweep = SWEEPS[sweep]
    configs = {
        "nothing": [],
        "one trial": of_sweep(1)[:1],
        "many": of_sweep(3),
        "two panels": of_sweep(2) + of_sweep(2, depth=3)[:-1],
        "troubled": of_sweep(3, epochs=40),
        "all diverged": of_sweep(3),
    }[name]
    one = {"corruption": "randY", "corruption_level": 0.4, "seed": 1, "width": 128}
    lost = {"troubled": one, "all diverged": {}}.get(name)
    return frames_of_invented(
        invent_noisy(config, diverged=lost is not None and lost.items() <= asdict(config).items())
        for config in configs
    )
