"""Claim C13: training curves order the settings differently on random and on real labels (Arpit et al. 2017, figure 11)

Declared before looking:

- A curve's speed is its area over log(epoch), as a mean accuracy: fast curves are high early. One number per
  trial.
- Two orders of settings agree as Kendall's tau-b says. Noise alone pulls tau below 1, so agreement *between*
  real and random labels is compared with agreement *within* one kind of labels, always between different
  seeds, so that both suffer the same noise: within = mean of tau(real, real) and tau(random, random), between
  = tau(real, random).
- Effect: within - between. Smallest that would matter: 0.1, one pair of settings in twenty. Interval and
  two-sided p: Student's t over seeds with the spread of the joint bootstrap of seeds, 2,000 resamples; a seed drawn
  twice is never compared with itself. (The interval of the first declaration, expanded percentiles, is too
  short: for a mean of 5 seeds it covers 92 %.)
- Below 5 seeds or 5 settings: not enough data, because with 3
  seeds chance alone puts all pairs of seeds on one side once in four times, with 5 once in sixteen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _curves, _frames, _settings
from analysis._power import units_for_t
from analysis._statistics import Floats, bootstrap_t, kendall_tau, resampled_counts
from analysis.claims._finding import Finding, few_seeds, runs_for

ID = "C13"
SWEEP = "regularization"
COLUMNS = _settings.COLUMNS
CURVES = ("train_accuracy",)
TEST = "Kendall's tau, bootstrap"
MARGIN = 0.1
SEEDS_NEEDED = 5
SETTINGS_NEEDED = 5
_BLANK = Finding(claim=ID, test=TEST, unit="difference of Kendall's tau", margin=MARGIN)


def accuracy_by_epoch(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Training accuracy [trial, epoch] of the labelled trials whose setting has no diverged trial."""
    lost = trials["diverged"].fillna(0).gt(0).groupby([trials[key] for key in _settings.KEY]).transform("any")
    return _curves.by_epoch(curves[curves["trial"].isin(trials.index[~lost])], "train_accuracy")


def speeds(by_epoch: pd.DataFrame) -> pd.Series:
    """Mean accuracy over log(epoch) of each trial, from [trial, epoch]; of one epoch, the accuracy itself."""
    values, epochs = by_epoch.to_numpy(dtype=float), np.log(by_epoch.columns.to_numpy(dtype=float))
    if len(epochs) < 2:
        return pd.Series(values.mean(axis=1) if values.size else [], by_epoch.index, dtype=float)
    area = np.trapezoid(values, epochs, axis=1) / (epochs[-1] - epochs[0])
    return pd.Series(area, by_epoch.index, dtype=float)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel."""
    labelled = _settings.labelled(_frames.with_columns(trials, COLUMNS))
    both = {"real": "speed", "randY": "speed"}
    found = []
    for _, rows in labelled.groupby("panel"):
        timed = rows.assign(speed=speeds(accuracy_by_epoch(rows, curves)))
        for panel, _, values in _settings.seed_matrices(timed, both):
            found.append(_finding(panel, values["real"], values["randY"], len(rows)))
    return found or [replace(_BLANK, missing="no finished trials")]


def _finding(panel: str, real: Floats, random: Floats, runs: int) -> Finding:
    """On speeds [setting, seed], of the settings and seeds that are complete."""
    seeds = np.isfinite(real).any(axis=0) & np.isfinite(random).any(axis=0)
    real, random = real[:, seeds], random[:, seeds]
    complete = np.isfinite(real).all(axis=1) & np.isfinite(random).all(axis=1)
    count, settings = int(seeds.sum()), int(complete.sum())
    shared = replace(_BLANK, panel=panel, n=count)
    if settings < SETTINGS_NEEDED:
        with_curves = f"{_frames.counted(settings, 'setting')} with curves on real and random labels"
        return replace(shared, missing=f"{with_curves}, needs {SETTINGS_NEEDED}")
    missing, more = few_seeds(count, runs, SEEDS_NEEDED)
    if missing:
        return replace(shared, missing=missing, more_runs=more)
    within, between = agreement(real[complete].T, random[complete].T, np.ones((1, count)))
    drawn = agreement(real[complete].T, random[complete].T, resampled_counts(count, "C13 bootstrap"))
    effect, differences = (
        float(within[0] - between[0]),
        np.round(drawn[0] - drawn[1], 9),
    )  # rounding is no evidence
    _, low, high, p = bootstrap_t(effect, differences, count)
    _, tau_low, tau_high, _ = bootstrap_t(float(between[0]), drawn[1], count)
    spread = float(np.nanstd(differences)) * count / (count - 1) ** 0.5
    return replace(
        shared, effect=effect, low=low, high=high, p=p,
        detail=f"{settings} settings: Kendall tau {between[0]:.2f} [{tau_low:.2f}, {tau_high:.2f}] between real and "
        f"random labels, {within[0]:.2f} within one kind",
        more_runs=lambda alpha: runs_for(
            units_for_t(effect, spread, alpha, SEEDS_NEEDED), count, runs
        ),
    )  # fmt: skip


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
