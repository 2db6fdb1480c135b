"""How many independent units a test would need at the effect and spread that were observed.

Each function gives the smallest number at which a two-sided p falls below ``alpha``, or None where no number
would do: the effect is 0 or points the other way. A plan made with it succeeds about half the time, because the
next estimate is as likely to be smaller than this one as larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import stdtr
from scipy.stats import binom, norm

from analysis._statistics import Booleans, Floats

MOST = 100_000
"""Units beyond which no number is named: the effect is as good as none."""


def units_for_t(effect: float, deviation: float, alpha: float, least: int = 3) -> int | None:
    """Units for a t-test of a mean ``effect`` whose units have this sample standard deviation."""
    if not effect > 0:
        return None
    if not deviation > 0:
        return least
    normal = (norm.isf(alpha / 2) * deviation / effect) ** 2
    return _first(normal, lambda n: 2 * stdtr(n - 1, -effect * np.sqrt(n) / deviation) < alpha, least)


def units_for_sign(share: float, alpha: float) -> int | None:
    """Trials for a sign test when this ``share`` of them succeeds."""
    if not share > 0.5:
        return None
    normal = (norm.isf(alpha / 2) / (2 * share - 1)) ** 2
    return _first(normal, lambda n: 2 * binom.sf(np.round(share * n) - 1, n, 0.5) < alpha)


def units_by_scaling(units: int, effect: float, p: float, alpha: float) -> int | None:
    """Units for a test whose statistic is about normal and grows with the root of their number.

    Source: the usual sample size formula, with the observed statistic for the true one.
    """
    observed, wanted = norm.isf(p / 2), norm.isf(alpha / 2)
    if not effect > 0 or not observed > 0 or units * (wanted / observed) ** 2 > MOST:
        return None
    return math.ceil(units * (wanted / observed) ** 2) if math.isfinite(observed) else 1


def _first(normal: float, enough: Callable[[Floats], Booleans], least: int = 1) -> int | None:
    """The smallest number that is enough, searched from half that of the normal approximation on.

    At very small levels the approximation is far too small: Student's tails are heavier than the normal ones.
    """
    start, stop = max(least, int(normal / 2)) if normal <= MOST else MOST, 1.2 * normal + 50
    while start < MOST:
        units = np.arange(start, min(stop, MOST))
        if (found := enough(units)).any():
            return int(units[np.argmax(found)])
        start, stop = int(units[-1]) + 1, 2 * stop
    return None
