"""Tests on times that may be censored: a run that had not converged when it ended took longer, nobody knows how much."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import chi2
from statsmodels.duration.survfunc import survdiff

from analysis._statistics import Booleans, Floats

_PRECISE = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 2000, "maxfun": 20_000}
SPARE = 2
"""Observed times that are needed beyond the coefficients, so that a spread is left to estimate."""


def censored_log_normal(design: Floats, log_times: Floats, observed: Booleans) -> Floats | None:
    """Coefficients [column] of ``log_times`` [run] on ``design`` [run, column] by maximum likelihood.

    The errors are normal, and a sum of columns is constant (an intercept, or an indicator for each group). Where
    ``observed`` [run] is False the time is right-censored: the true one is longer. None where the observed
    times alone do not identify the coefficients and a spread. Without censored times these are the least
    squares coefficients. In (beta / sigma, 1 / sigma) the likelihood is concave: one maximum. Source: Olsen
    1978, Note on the uniqueness of the maximum likelihood estimator for the Tobit model.
    """
    columns = design.shape[1]
    known = design[observed]
    if observed.sum() < columns + SPARE or np.linalg.matrix_rank(known) < columns:
        return None
    # An orthonormal design and centred times: the numerical search is then equally easy in all directions.
    basis, back = np.linalg.qr(design)
    centre = log_times[observed].mean()
    times = log_times - centre

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Minus the log likelihood, and its gradient."""
        scaled, inverse_sigma = parameters[:-1], parameters[-1]
        z = inverse_sigma * times - basis @ scaled
        survival = log_ndtr(-z)
        hazard = np.exp(-(z**2) / 2 - np.log(2 * np.pi) / 2 - survival)
        value = np.where(observed, z**2 / 2 - np.log(inverse_sigma), -survival).sum()
        slope = np.where(observed, z, hazard)
        last = slope @ times - observed.sum() / inverse_sigma
        return float(value), np.append(-basis.T @ slope, last)

    ordinary = basis.T @ times
    sigma = max(float(np.std(times - basis @ ordinary)), 1e-3)
    bounds = [(None, None)] * columns + [(1e-6, 1e6)]
    start = np.append(ordinary, 1.0) / sigma
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_PRECISE).x
    shift = np.linalg.lstsq(design, np.full(len(design), centre), rcond=None)[0]
    return np.asarray(np.linalg.solve(back, best[:-1] / best[-1]) + shift)


class LogRank(NamedTuple):
    """``excess``: events observed in the group less those expected; positive where its times are the shorter ones.

    ``p`` is two-sided.
    """

    excess: float
    p: float


def log_rank(times: Floats, observed: Booleans, group: Booleans, strata: np.ndarray) -> LogRank:
    """Stratified log-rank test that both groups have one distribution of ``times`` [run].

    NaN where nothing can be compared: no stratum in which a time was observed while both groups were at risk.
    """
    parts = [tuple(values[strata == s] for values in (times, observed, group)) for s in np.unique(strata)]
    if not any(_comparable(*part) for part in parts):
        return LogRank(float("nan"), float("nan"))
    statistic, _ = survdiff(times, observed.astype(int), group.astype(int), strata=strata)
    # survdiff's own p is 1 - cdf, which is 0 below 1e-16; its statistic has lost the direction.
    return LogRank(sum(_excess(*part) for part in parts), float(chi2.sf(statistic, 1)))


def _excess(times: Floats, observed: Booleans, group: Booleans) -> float:
    """Each event in the group counts 1, less the group's share of those at risk at every event."""
    at_risk = (times[None, :] >= times[observed][:, None]).astype(float)
    return float(group[observed].sum() - (at_risk @ group / at_risk.sum(axis=1)).sum())


def _comparable(times: Floats, observed: Booleans, group: Booleans) -> bool:
    """Whether at the first observed time both groups are at risk and some run goes on: else no variance."""
    first = times[observed].min(initial=np.inf)
    at_risk = times >= first
    goes_on = (times > first) | ((times == first) & ~observed)
    return bool(observed.any() and len(set(group[at_risk])) == 2 and goes_on.any())
