"""Whether two contenders measured the same: their stores, trial by trial."""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from memory_study.config import TrialConfig

METRICS = ("train_accuracy", "best_validation_accuracy")
WITHOUT_NOISE_LIMIT = 0.02
"""Of the difference between trials that draw nothing in training, where only rounding differs."""
ERRORS, LEAST_DEVIATION = 3.0, 0.01
"""The mean difference over the other trials may be so many of its standard errors; few trials may differ by chance
less than they do in truth, so their standard deviation is taken to be at least this."""

Results = Mapping[str, Mapping[str, float]]
"""Trial id to metric to last value."""


@dataclass(frozen=True)
class Agreement:
    """Differences of one metric, peer minus ours. ``largest`` is over trials without noise in training, ``mean`` and
    its standard ``error`` over the others.
    """

    metric: str
    corruption: str
    without_noise: int
    largest: float
    with_noise: int
    mean: float
    error: float

    @property
    def holds(self) -> bool:
        """The peer computes the same as far as can be told."""
        return self.largest <= WITHOUT_NOISE_LIMIT and abs(self.mean) <= ERRORS * self.error

    def __str__(self) -> str:
        return (
            f"{self.metric} ({'real' if self.corruption == 'none' else self.corruption}): "
            f"{self.without_noise} trials without noise in training differ by at most {self.largest:.4f} "
            f"(limit {WITHOUT_NOISE_LIMIT}), {self.with_noise} with noise by {self.mean:+.4f} ± {self.error:.4f} "
            f"on average (limit {ERRORS:g} errors): {'agrees' if self.holds else 'DISAGREES'}"
        )


def results(store: Path) -> Results:
    """What an MLflow database holds of each trial; the trial's id is the tag ``trial`` or the param ``trial/id``."""
    with closing(sqlite3.connect(store.absolute().as_uri() + "?mode=ro", uri=True)) as database:
        named = "select run_uuid, value from tags where key = 'trial'"
        named += " union select run_uuid, value from params where key = 'trial/id'"
        found: dict[str, dict[str, float]] = {}
        sql = f"select n.value, m.key, m.value from latest_metrics m join ({named}) n using (run_uuid)"
        for trial, metric, value in database.execute(sql):
            found.setdefault(trial, {})[metric] = value
    return found


def compare(plan: tuple[TrialConfig, ...], ours: Results, peer: Results) -> Iterator[Agreement]:
    """Over the trials of the plan that both have, by corruption and metric."""
    common = [config for config in plan if config.id in ours and config.id in peer]
    for corruption in sorted({config.corruption for config in common}):
        for metric in METRICS:
            exact: list[float] = []
            noisy: dict[tuple[object, ...], list[float]] = {}
            for config in common:
                if config.corruption == corruption and metric in ours[config.id]:
                    difference = peer[config.id][metric] - ours[config.id][metric]
                    kinds = tuple(kind for kind, _ in config.regularizers if kind != "weight_decay")
                    # All strengths of a kind share their seed's noise, so they are one observation.
                    (noisy.setdefault((kinds, config.seed), []) if kinds else exact).append(difference)
            means = [statistics.fmean(differences) for differences in noisy.values()]
            mean = statistics.fmean(means) if means else 0.0
            deviation = statistics.stdev(means) if len(means) > 1 else 0.0
            error = max(deviation, LEAST_DEVIATION) / max(1, len(means)) ** 0.5
            largest = max((abs(difference) for difference in exact), default=0.0)
            with_noise = sum(map(len, noisy.values()))
            yield Agreement(metric, corruption, len(exact), largest, with_noise, mean, error)
