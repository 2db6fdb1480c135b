"""Intervals, tests, envelopes and rank correlations: pure functions of arrays, seeded where they draw."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import ndtr, stdtr, stdtrit

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

RESAMPLES = 2000
"""Bootstrap resamples behind every interval that is not a t-interval."""


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
    mean, error = float(values.mean()), float(values.std(ddof=1)) / count**0.5
    half = float(stdtrit(count - 1, 0.975)) * error
    p = 2 * float(stdtr(count - 1, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return Estimate(mean, mean - half, mean + half, p)


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
    mean: npt.ArrayLike, deviation: npt.ArrayLike, count: npt.ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Student's interval of means of accuracies, clipped to [0, 1]. Shapes equal.

    ``deviation`` is the sample standard deviation (n - 1). Both ends are NaN where ``count`` is below 2: one
    seed says nothing about the spread.
    """
    mean, deviation, count = (np.asarray(each, dtype=float) for each in (mean, deviation, count))
    enough = count >= 2
    freedom = np.where(enough, count - 1, 1.0)
    half = stdtrit(freedom, (1 + level) / 2) * np.where(enough, deviation, np.nan) / np.sqrt(freedom + 1)
    return np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def resampled_counts(seeds: int, purpose: str, resamples: int = RESAMPLES) -> npt.NDArray[np.int64]:
    """How often each seed is drawn in each bootstrap resample. Shape [resample, seed]; each row sums to
    ``seeds``.

    One draw serves all settings, because seeds are common random numbers: what a seed does to one setting it
    does to all, so only joint resampling gives the differences their small variance. ``purpose`` names the
    random stream.
    """
    generator = named_generator(purpose)
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)


def bootstrap_interval(estimates: Floats, seeds: int, level: float = 0.95) -> tuple[float, float]:
    """Expanded percentile interval of bootstrap ``estimates`` [resample] over ``seeds`` seeds; NaN below 2
    seeds.

    The plain percentile interval is far too narrow for a handful of seeds; its tail probability is widened to
    what a t-interval of the same data would have. At three seeds this is the whole range of the resamples.
    Source: Hesterberg 2015, What Teachers Should Know About the Bootstrap, section 5.3.
    """
    finite = estimates[np.isfinite(estimates)]
    if seeds < 2 or not len(finite):
        return float("nan"), float("nan")
    tail = float(ndtr(-np.sqrt(seeds / (seeds - 1)) * stdtrit(seeds - 1, (1 + level) / 2)))
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_p(effect: float, estimates: Floats, seeds: int) -> float:
    """Two-sided p of ``effect`` from bootstrap ``estimates`` [resample]: Student's t with their spread.

    The spread is widened by n / (n - 1) as the interval is, because resamples of n seeds vary too little. A
    p counted from the resamples themselves could never be small: 5 seeds have 126 of them.
    """
    spread = float(np.std(estimates[np.isfinite(estimates)])) * (seeds / (seeds - 1)) ** 0.5
    return 2 * float(stdtr(seeds - 1, -abs(effect) / spread)) if spread > 0 else float(effect == 0)


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
