"""Invented loss sensitivities: what the sweep ``sensitivity`` could find."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import numpy as np
from invented_noise import frames_of_invented
from invented_store import Invented

from analysis._frames import Frames
from memory_study.config import TrialConfig

STEPS = (10, 19, 52, 139, 373, 1000)
FINAL = {"none": 0.6, "randX": 0.2, "randY": 0.25}
OFF_DIAGONAL = {"none": 0.7, "randX": 0.2, "randY": 0.3}
CLASSES = 4


def settings(
    seeds: Iterable[int], labels: Iterable[str] = ("data", "example"), **shared: object
) -> list[TrialConfig]:
    """Every kind of data and classes with every seed, as the sweep has them."""
    base = TrialConfig(**{"csr_examples": 0, "measures": ("loss_sensitivity",), "dtype": "float64", **shared})  # type: ignore[arg-type]
    return [
        replace(base, labels=each, corruption=kind, corruption_level=float(kind != "none"), seed=seed)
        for each in labels for kind in FINAL if (each, kind) != ("example", "randY") for seed in seeds
    ]  # fmt: skip


def invent_sensitivity(config: TrialConfig, diverged: bool = False, finite: bool = True) -> Invented:
    """Gini coefficients that grow on real data and stay on noise; classes that depend on each other in real data."""
    own = np.random.default_rng(int(config.id, 16)).normal(size=3)
    scalars = {"diverged": float(diverged), "converged": 0.0}
    if diverged:
        return Invented(config, {}, scalars)
    scalars |= {"sensitivity_finite": float(finite)}
    if not finite:
        return Invented(config, {}, scalars)
    end = FINAL[config.corruption] + 0.02 * own[0]
    grown = [(step, 0.2 + (end - 0.2) * place / (len(STEPS) - 1)) for place, step in enumerate(STEPS)]
    parts = {"": 1.0, "_l2": 1.02, "_max": 1.05, "_indirect": 0.9, "_direct": 1.2}
    curves = {f"sensitivity_gini{end}": tuple((s, f * g) for s, g in grown) for end, f in parts.items()}
    arrays = {}
    if config.labels == "data":
        share = OFF_DIAGONAL[config.corruption] + 0.02 * own[1]
        between = np.full((CLASSES, CLASSES), share / (CLASSES * (CLASSES - 1)))
        np.fill_diagonal(between, (1 - share) / CLASSES)
        arrays = {"class_sensitivity": np.float32(between * np.exp(own[2]))}
        scalars |= {"sensitivity_off_diagonal": share}
    return Invented(config, curves, scalars, arrays)


@cache
def scene(name: str) -> Frames:
    """Trials of the sweep: ``nothing``, ``one trial``, ``many``, ``two panels`` (of two nets, one trial missing),
    ``troubled``: one of random labels diverged and one of random inputs overflowed, or ``all diverged``.
    """
    configs = {
        "nothing": [],
        "one trial": settings([0])[:1],
        "two panels": settings([0, 1]) + settings([0, 1], depth=3)[:-1],
    }.get(name, settings([0, 1, 2]))
    return frames_of_invented(
        invent_sensitivity(
            config,
            diverged=name == "all diverged" or (name == "troubled" and (config.corruption, config.seed) == ("randY", 1)),
            finite=name != "troubled" or (config.labels, config.corruption, config.seed) != ("example", "randX", 2),
        )
        for config in configs
    )  # fmt: skip
