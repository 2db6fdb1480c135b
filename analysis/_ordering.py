"""Claim C13: do training curves order the settings differently on random labels than on real ones?

Declared before looking:

- A curve's speed is its area over log(epoch), as a mean accuracy: fast curves are high early. One number per
  trial.
- Two orders of settings agree as Kendall's tau-b says. Noise alone pulls tau below 1, so agreement *between*
  real and random labels is compared with agreement *within* one kind of labels, always between different
  seeds, so that both suffer the same noise: within = mean of tau(real, real) and tau(random, random), between
  = tau(real, random).
- Intervals: joint bootstrap of seeds, 2,000 resamples; a seed drawn twice is never compared with itself.
- Supported: the 95 % interval of within - between lies above 0. Below 5 seeds or 5 settings: not enough data,
  because with 3 seeds chance alone puts all pairs of seeds on one side once in four times, with 5 once in
  sixteen.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import _frames, _settings
from analysis._statistics import Floats, bootstrap_interval, kendall_tau, resampled_counts

SEEDS_NEEDED = 5
SETTINGS_NEEDED = 5


def accuracy_by_epoch(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Training accuracy [trial, epoch] of the labelled trials whose setting has no diverged trial.

    A trial that stopped at convergence keeps its last accuracy; between the epochs measured the line is
    straight.
    """
    kept = trials["diverged"].fillna(0).gt(0).groupby([trials[key] for key in _settings.KEY]).transform("any")
    points = curves[(curves["metric"] == "train_accuracy") & curves["trial"].isin(trials.index[~kept])]
    points = points[points["epoch"] >= 1].astype({"trial": str})
    wide = points.pivot(index="trial", columns="epoch", values="value").astype(float)
    if wide.isna().to_numpy().any():
        wide = wide.T.interpolate(method="index", limit_area="inside").ffill().T
    return wide


def speeds(by_epoch: pd.DataFrame) -> pd.Series:
    """Mean accuracy over log(epoch) of each trial, from [trial, epoch]; of one epoch, the accuracy itself."""
    values, epochs = by_epoch.to_numpy(dtype=float), np.log(by_epoch.columns.to_numpy(dtype=float))
    if len(epochs) < 2:
        return pd.Series(values.mean(axis=1) if values.size else [], by_epoch.index, dtype=float)
    area = np.trapezoid(values, epochs, axis=1) / (epochs[-1] - epochs[0])
    return pd.Series(area, by_epoch.index, dtype=float)


def verdicts(trials: pd.DataFrame, curves: pd.DataFrame) -> list[str]:
    """A line for each panel. ``trials`` are labelled."""
    with_speed = [
        rows.assign(speed=speeds(accuracy_by_epoch(rows, curves))) for _, rows in trials.groupby("panel")
    ]
    both = {"real": "speed", "randY": "speed"}
    return [
        _verdict(panel, values["real"], values["randY"])
        for rows in with_speed
        for panel, _, values in _settings.seed_matrices(rows, both)
    ] or ["C13 not enough data: no finished trials"]


def _verdict(panel: str, real: Floats, random: Floats) -> str:
    """The verdict on speeds [setting, seed], of the settings and seeds that are complete."""
    seeds = np.isfinite(real).any(axis=0) & np.isfinite(random).any(axis=0)
    real, random = real[:, seeds], random[:, seeds]
    complete = np.isfinite(real).all(axis=1) & np.isfinite(random).all(axis=1)
    count, settings = int(seeds.sum()), int(complete.sum())
    if count < SEEDS_NEEDED or settings < SETTINGS_NEEDED:
        return (
            f"C13 not enough data: {panel}: {_frames.counted(settings, 'setting')} with curves for all of "
            f"{_frames.counted(count, 'seed')}, on "
            f"real and on random labels; needs {SETTINGS_NEEDED} and {SEEDS_NEEDED}"
        )
    within, between = agreement(real[complete].T, random[complete].T, np.ones((1, count)))
    drawn = agreement(real[complete].T, random[complete].T, resampled_counts(count, "C13 bootstrap"))
    low, high = bootstrap_interval(np.round(drawn[0] - drawn[1], 9), count)  # rounding is no evidence
    tau_low, tau_high = bootstrap_interval(drawn[1], count)
    outcome = "supported here" if low > 0 else "not supported here"
    return (
        f"C13 {outcome}: {panel}, {count} seeds, {settings} settings: "
        f"Kendall tau {between[0]:.2f} [{tau_low:.2f}, {tau_high:.2f}] between real and random labels, "
        f"{within[0]:.2f} within one kind; difference {within[0] - between[0]:.2f} [{low:.2f}, {high:.2f}]"
    )


def agreement(real: Floats, random: Floats, counts: np.ndarray) -> tuple[Floats, Floats]:
    """Mean tau within one kind of labels, and between the two, over pairs of different seeds. Shape
    [resample] each.

    ``real`` and ``random`` are speeds [seed, setting]; ``counts`` [resample, seed] says how often each seed
    was drawn. NaN for a resample with one distinct seed.
    """
    weights = counts.astype(float)

    def mean(tau: Floats) -> Floats:
        tau = np.nan_to_num(tau)
        np.fill_diagonal(tau, 0)
        pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
        total = np.einsum("ra,ab,rb->r", weights, tau, weights)
        result: Floats = np.divide(total, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)
        return result

    return (mean(kendall_tau(real, real)) + mean(kendall_tau(random, random))) / 2, mean(
        kendall_tau(real, random)
    )
