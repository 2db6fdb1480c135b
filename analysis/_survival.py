"""Medians of times of which some are censored: trials that ended before what was waited for.

Two choices, declared before looking at any trial:

- The median is Kaplan and Meier's: the time at which the estimated share of trials still waiting falls below
  one half (the middle of the times at which it is exactly one half; without censoring, the ordinary median).
  It does not exist where at least half of the trials are censored.
- Its interval is that of the sign test, between two order statistics: for n trials, the k-th smallest and the
  k-th largest with the largest k that covers the median with a probability of at least 95 %. With fewer than 9
  trials that is the whole range, and with fewer than 6 even the range covers less: 75 % for 3, 94 % for 5, which
  is reported. It assumes nothing about how times are distributed. (Greenwood's interval, which statsmodels
  offers, needs many trials: of three it is often the range too, but claims 95 %.) A censored time counts as
  itself in the lower end, as infinite in the upper: both err to the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import CensoredData, binom, ecdf

LEVEL = 0.95
"""Coverage of an interval, where there are enough trials."""


@dataclass(frozen=True, slots=True)
class Median:
    """A median time, NaN where it does not exist, and its interval.

    ``high`` is infinite where the interval has no upper end. ``coverage``: the probability with which such an
    interval covers the median. The interval of a single time is NaN.
    """

    median: float
    low: float
    high: float
    coverage: float


UNKNOWN = Median(*4 * (float("nan"),))
"""Of no times at all."""


def median(times: npt.ArrayLike, observed: npt.ArrayLike) -> Median:
    """The median of ``times``, of which those not ``observed`` are censored. Shapes [trial], equal.

    Raises ValueError without any time.
    """
    known = np.asarray(times, dtype=float)
    seen = np.asarray(observed, dtype=bool)
    if not len(known) or known.shape != seen.shape:
        raise ValueError(f"a median needs times with their flags; got shapes {known.shape}, {seen.shape}")
    rank, coverage = _interval_rank(len(known))
    if len(known) < 2:
        return replace(UNKNOWN, median=_median(known, seen))
    low = np.sort(known)[rank - 1]
    high = np.sort(np.where(seen, known, np.inf))[len(known) - rank]
    return Median(_median(known, seen), float(low), float(high), coverage)


def _median(times: npt.NDArray[np.float64], observed: npt.NDArray[np.bool_]) -> float:
    """Kaplan and Meier's median; NaN where the curve does not fall below one half."""
    waiting = ecdf(CensoredData.right_censored(times, ~observed)).sf
    shares = np.round(waiting.probabilities, 9)  # a product of fractions: one half is not always .5
    if shares[-1] >= 0.5:
        return float("nan")
    return float(waiting.quantiles[shares <= 0.5][0] + waiting.quantiles[shares < 0.5][0]) / 2


def _interval_rank(trials: int) -> tuple[int, float]:
    """Which order statistic from each end bounds the median of so many trials, and with what coverage."""
    ranks = np.arange(1, trials // 2 + 1)
    coverages = 1 - 2 * binom.cdf(ranks - 1, trials, 0.5)
    enough = np.flatnonzero(coverages >= LEVEL)
    place = enough[-1] if len(enough) else 0
    return (int(ranks[place]), float(coverages[place])) if len(ranks) else (1, 0.0)
