"""Intervals, tests, envelopes and rank correlations: pure functions of arrays, seeded where they draw."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import stdtr, stdtrit

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

RESAMPLES = 2000
"""Bootstrap resamples, where a statistic is not a mean of one number per seed."""


def named_generator(purpose: str) -> np.random.Generator:
    """The random stream of that name: the same numbers each time, others for another name."""
    return np.random.default_rng(zlib.crc32(purpose.encode()))


class Estimate(NamedTuple):
    """An effect with its 95 % interval and its two-sided p."""

    effect: float
    low: float
    high: float
    p: float


def t_test(values: Floats) -> Estimate:
    """Student's test that the mean of ``values`` [unit] is 0, with its interval. NaN below 2 units.

    Where all values are equal the interval is that one value, and p is 0, or 1 if it is 0.
    """
    count = len(values)
    if count < 2:
        return Estimate(float(values.mean()) if count else float("nan"), *[float("nan")] * 3)
    return _student(float(values.mean()), float(values.std(ddof=1)) / count**0.5, count - 1)


def sign_test(successes: int, trials: int) -> Estimate:
    """Exact binomial test that half of the trials succeed; effect: the share above one half. NaN of no trial.

    The interval is that of Clopper and Pearson, which excludes 0 exactly where p < .05.
    """
    if trials == 0:
        return Estimate(*[float("nan")] * 4)
    result = stats.binomtest(successes, trials)
    low, high = result.proportion_ci(method="exact")
    return Estimate(successes / trials - 0.5, float(low) - 0.5, float(high) - 0.5, float(result.pvalue))


def t_interval(
    mean: npt.ArrayLike,
    deviation: npt.ArrayLike,
    count: npt.ArrayLike,
    level: float = 0.95,
    within: tuple[float, float] = (0.0, 1.0),
) -> tuple[Floats, Floats]:
    """Student's interval of means, clipped to what they can be: accuracies, if nothing else is said. Shapes equal.

    ``deviation`` is the sample standard deviation (n - 1). Both ends are NaN where ``count`` is below 2: one
    seed says nothing about the spread.
    """
    mean, deviation, count = (np.asarray(each, dtype=float) for each in (mean, deviation, count))
    enough = count >= 2
    freedom = np.where(enough, count - 1, 1.0)
    half = stdtrit(freedom, (1 + level) / 2) * np.where(enough, deviation, np.nan) / np.sqrt(freedom + 1)
    return np.clip(mean - half, *within), np.clip(mean + half, *within)


def resampled_counts(seeds: int, purpose: str, resamples: int = RESAMPLES) -> npt.NDArray[np.int64]:
    """How often each seed is drawn in each bootstrap resample. Shape [resample, seed]; each row sums to
    ``seeds``.

    One draw serves all settings, because seeds are common random numbers: what a seed does to one setting it
    does to all, so only joint resampling gives the differences their small variance. ``purpose`` names the
    random stream.
    """
    generator = named_generator(purpose)
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)


def bootstrap_t(effect: float, estimates: Floats, seeds: int) -> Estimate:
    """Student's interval and two-sided p of ``effect``, with the spread of bootstrap ``estimates`` [resample].

    The spread is widened by n / (n - 1), because resamples of n seeds vary too little: for a mean this is
    :func:`t_test`, which covers what it says. A percentile interval of a mean, even the expanded one of Hesterberg
    2015, covers 76 % for 3 seeds and 92 % for 5, and a p counted from the resamples could never be small: 5
    seeds have 126 of them. NaN below 2 seeds, or without a finite estimate.
    """
    finite = estimates[np.isfinite(estimates)]
    if seeds < 2 or not len(finite):
        return Estimate(effect, *[float("nan")] * 3)
    spread = float(np.std(finite)) * (seeds / (seeds - 1)) ** 0.5
    return _student(effect, spread, seeds - 1)


def jackknife_t(effect: float, *left_out: Floats) -> Estimate:
    """Student's interval and two-sided p of ``effect``, a statistic of units of several crossed kinds.

    Each of ``left_out`` [unit] has the statistic without each unit of one kind (every seed, every example). The kinds'
    jackknife variances are added, which counts what they have in common twice: too wide rather than too narrow. NaN
    below 2 units of any kind. Source: Efron and Stein 1981; Owen 2007 on crossed kinds.
    """
    fewest = min(map(len, left_out))
    if fewest < 2:
        return Estimate(effect, *[float("nan")] * 3)
    error = sum((len(each) - 1) * float(np.var(each)) for each in left_out) ** 0.5
    return _student(effect, error, fewest - 1)


def _student(effect: float, error: float, freedom: int) -> Estimate:
    half = float(stdtrit(freedom, 0.975)) * error
    p = 2 * float(stdtr(freedom, -abs(effect) / error)) if error > 0 else float(effect == 0)
    return Estimate(effect, effect - half, effect + half, p)


def permutation_p_of_range(values: Floats, purpose: str, shuffles: int = RESAMPLES) -> float:
    """How often chance alone makes the largest mean exceed the smallest by as much. ``values`` [item, seed].

    Chance: within each seed the items are shuffled. It accounts for the data having chosen the two extremes.
    ``purpose`` names the random stream. Never 0: the data themselves are one of the arrangements.
    """
    generator = named_generator(purpose)
    shuffled = generator.permuted(np.broadcast_to(values, (shuffles, *values.shape)), axis=1).mean(axis=2)
    # A hair of slack, because the same values summed in another order differ in the last bit.
    as_large = np.ptp(shuffled, axis=1) >= np.ptp(values.mean(axis=1)) - 1e-9
    return float((1 + as_large.sum()) / (1 + shuffles))


def upper_left_envelope(x: npt.ArrayLike, y: npt.ArrayLike) -> Booleans:
    """Which points no other point beats: none has x at most as large and y at least as large, one of them
    strictly.

    Shape of ``x`` and ``y``, one axis. Points that are not finite are never on it; equal points are on it
    together.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    finite = np.isfinite(x) & np.isfinite(y)
    order = np.lexsort((-y, x))
    order = order[finite[order]]
    before = np.append(-np.inf, np.maximum.accumulate(y[order]))[: len(order)]
    rises = y[order] > before
    # Equal to the last point that rose: the same point measured twice.
    last = np.maximum.accumulate(np.where(rises, np.arange(len(order)), 0))
    equal = (x[order] == x[order[last]]) & (y[order] == y[order[last]]) if len(order) else rises
    on = np.zeros(len(x), dtype=bool)
    on[order] = rises | equal
    return on


def kendall_tau(first: Floats, second: Floats) -> Floats:
    """Kendall's tau-b between each row of ``first`` [a, item] and each row of ``second`` [b, item]. Shape [a,
    b].

    1: the same order, -1: the reverse, 0: unrelated. NaN where a row has no two different items.
    """

    def directions(values: Floats) -> Floats:
        upper = np.triu_indices(values.shape[1], k=1)
        return np.sign(values[:, :, None] - values[:, None, :])[:, upper[0], upper[1]]

    a, b = directions(np.asarray(first, dtype=float)), directions(np.asarray(second, dtype=float))
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt((a**2).sum(axis=1)[:, None] * (b**2).sum(axis=1)[None, :])
        tau: Floats = np.where(scale > 0, a @ b.T / scale, np.nan)
    return tau


def order_by_resample(x: Floats, y: Floats, seeds: npt.NDArray[np.int64], counts: npt.ArrayLike) -> Floats:
    """Of the pairs of trials that differ in ``x`` [trial], the share with ``y`` in the same order less that in the
    opposite (Somers' D), when seeds are drawn ``counts`` [resample, seed] times. NaN without such pairs.

    ``seeds`` [trial]: the place of each trial's seed in ``counts``.
    """
    weights = np.asarray(counts, dtype=float)
    member = (seeds[:, None] == np.arange(weights.shape[1])).astype(float)
    a, b = np.sign(x[:, None] - x[None, :]), np.sign(y[:, None] - y[None, :])

    def total(pairs: Floats) -> Floats:
        by_seed = member.T @ pairs @ member
        return np.asarray(np.einsum("ra,ab,rb->r", weights, by_seed, weights))

    with np.errstate(invalid="ignore", divide="ignore"):
        return total(a * b) / total(a**2)
