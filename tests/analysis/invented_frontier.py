"""Invented searches over regularizers: what the sweep ``frontier`` could find, beside single ones."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import pandas as pd
from invented_noise import frames_of_invented
from invented_store import SMALL, Invented, invent, settings

from analysis._frames import Frames, with_trials_of
from memory_study import identity
from memory_study.config import TrialConfig

STRONGEST = {"dropout": 0.9, "hidden_noise": 0.3, "weight_decay": 0.1}
Words = dict[TrialConfig, list[str]]


def setting(purpose: str, skill: float = 0.0) -> dict[str, float]:
    """Random strengths of some kinds; more ``skill`` leaves weight decay out, which costs accuracy."""
    draws = random.Random(purpose)
    strengths = {kind: round(draws.uniform(-most, most), 3) for kind, most in STRONGEST.items()}
    strengths["weight_decay"] *= 1 - skill
    return {kind: strength for kind, strength in strengths.items() if strength > 0}


def searched(seeds: Sequence[int], suggestions: int, search: str = "abc", **shared: object) -> Words:
    """The words of each trial of searches by two samplers, of which one learns, and of the judging of their fronts."""
    words: Words = defaultdict(list)
    for sampler, skill in (("random", 0.0), ("tpe", 0.8)):
        for seed in seeds:
            for number in range(suggestions):
                first = number < suggestions // 3
                strengths = setting(f"{'' if first else sampler} {seed} {number}", 0.0 if first else skill)
                for config in settings([seed], [strengths], **shared):
                    words[config].append(f"{search}/{sampler}/{seed}/{number}")
        for place in range(3):
            for config in settings(range(1000, 1003), [setting(f"front {sampler} {place}", skill)], **shared):
                words[config].append(f"{search}/{sampler}/front@{suggestions}/{place}")
    return words


def frames_of_searches(words: Words, lost: Sequence[TrialConfig] = ()) -> Frames:
    """The tables that a store with these trials gives; ``lost`` are those that diverged."""
    invented = {config.id: _with_test_accuracy(invent(config, config in lost)) for config in words}
    frames = frames_of_invented(invented.values())
    configs = {config.id: config for config in words}
    regularizers = [identity.to_text(configs[trial].regularizers) for trial in frames.trials.index]
    suggested = [" ".join(sorted(words[configs[trial]])) or None for trial in frames.trials.index]
    columns = {
        "regularizers": regularizers,
        "suggested": pd.Series(suggested, frames.trials.index, dtype=object),
    }
    return Frames(frames.trials.assign(**columns), frames.curves)


def alone(configs: Sequence[TrialConfig]) -> Frames:
    """The tables of an experiment with these trials that no search has suggested."""
    frames = frames_of_searches({config: [] for config in configs})
    return Frames(frames.trials.drop(columns="suggested"), frames.curves)


def _with_test_accuracy(invented: Invented) -> Invented:
    invented.scalars["test_accuracy"] = invented.scalars["best_validation_accuracy"] - 0.01
    return invented


@cache
def scene(name: str) -> Frames:
    """The scenes of :func:`invented_noise.scene`; single regularizers are in the store where there are ``many``."""
    if name == "nothing":
        return frames_of_searches({})
    words = searched((0, 1, 2), 12)
    if name == "one trial":
        config = next(iter(words))
        return frames_of_searches({config: words[config]})
    if name == "many":
        return with_trials_of(frames_of_searches(words), alone(settings(range(3), SMALL)))
    if name == "two panels":
        words |= searched((0, 1), 6, width=64)
    lost = list(words) if name == "all diverged" else list(words)[:1] if name == "troubled" else []
    return frames_of_searches(words, lost)
