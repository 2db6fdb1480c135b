"""Invented trials that drop training examples by a score: what the sweep ``pruning`` could find."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from invented_noise import frames_of_invented
from invented_store import Invented

from analysis._frames import Frames
from memory_study.config import TrialConfig

SHARES = (0.2, 0.4)
# Points of test accuracy that dropping all of an end would gain over chance on clean labels, and the AUROC of the score.
SKILL = {
    "loss_sensitivity": (0.06, 0.95),
    "loss": (0.05, 0.93),
    "forgetting": (0.02, 0.88),
    "random": (0.0, 0.5),
}


def dropping(seeds: Sequence[int], **shared: object) -> list[TrialConfig]:
    """Every score, end and share, and nothing dropped, on clean and on partly false labels."""
    ways: list[dict[str, object]] = [{}]
    ways += [
        {"pruning_score": score, "pruned_end": end, "pruned_share": share}
        for score in SKILL
        for end in ("low", "high")
        for share in SHARES
    ]
    configs = [
        TrialConfig(corruption="randY", corruption_level=level, seed=seed, **shared, **way)  # type: ignore[arg-type]
        for level in (0.0, 0.2)
        for way in ways
        for seed in seeds
    ]
    return list({config.id: config for config in configs}.values())


def invent_pruned(config: TrialConfig, diverged: bool = False) -> Invented:
    """Dropping costs accuracy. A skilled score costs less at the low end of clean data and the high end of others."""
    own, auroc = np.random.default_rng(int(config.id, 16)).normal(size=2)
    gain, skill = SKILL.get(config.pruning_score, (0.0, 0.5))
    false = config.corruption == "randY"
    sign = 1 if (config.pruned_end == "high") == false else -1
    accuracy = 0.93 - 0.1 * false - (0.05 - sign * gain) * config.pruned_share + 0.001 * own
    scalars = {"best_validation_accuracy": accuracy + 0.01, "converged": 1.0, "diverged": float(diverged)}
    if not diverged:
        scalars["test_accuracy"] = accuracy
    if false and config.pruned_share:
        scalars["flipped_auroc"] = skill + 0.002 * auroc
    return Invented(config, {"train_accuracy": ((1, 0.5), (config.epochs, 1.0))}, scalars)


@cache
def scene(name: str) -> Frames:
    """``nothing``, ``one trial``, ``many``, ``two panels`` (of two nets, one trial missing), ``troubled`` (a trial
    diverged) or ``all diverged``.
    """
    configs = {
        "nothing": [],
        "one trial": dropping([0])[-1:],
        "many": dropping([0, 1, 2]),
        "two panels": dropping([0, 1]) + dropping([0, 1], depth=3)[:-1],
        "troubled": dropping([0, 1, 2]),
        "all diverged": dropping([0, 1, 2]),
    }[name]
    return frames_of_invented(
        invent_pruned(config, name == "all diverged" or (name == "troubled" and place == len(configs) // 3))
        for place, config in enumerate(configs)
    )
