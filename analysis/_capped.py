"""Claim C12: what clean accuracy is lost where the fitting of random labels is capped at 50 %.

Declared before looking:

- A regularizer's settings are its strengths on the sweep's grid and the control. No interpolation between
  them.
- For each seed in turn, the *other* seeds choose: among settings whose mean randY training accuracy is at
  most the cap, the one with the highest mean validation accuracy on real data. The seed left out says what
  was lost: the control's best validation accuracy minus the chosen setting's. So no number that chose a
  setting also judges it, and a regularizer with more settings gains nothing by luck. The loss is the mean
  over seeds.
- Intervals: joint bootstrap of the seeds' losses, 2,000 resamples (seeds are common random numbers, so it is
  paired).
- Supported: the regularizers differ (95 % interval of worst minus best above 0, *and* p < .05 in a
  permutation test of that range, 2,000 shuffles of the regularizers within each seed, because the data chose
  which two to compare), and dropout or adversarial + dropout is the best, or surely no more than a margin of
  half a point behind it (upper end of the 95 % interval of the difference). Where neither it nor the opposite
  (the interval above 0) is sure: not enough data. Below 3 seeds or 2 regularizers likewise. (The margin came after
  a first look at the digits sweep, whose verdict it turned from supported to not enough data.)
- The seeds' losses share most of the seeds that chose, so they are not quite independent and the intervals of
  few seeds somewhat too short.
- A regularizer that the other seeds never see at or below the cap is listed as not reaching it, and not
  compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import _frames, _settings
from analysis._statistics import Floats, bootstrap_interval, permutation_p_of_range, resampled_counts

CAP = 0.5
MARGIN = 0.005
SEEDS_NEEDED = 3
FAVOURED = ("dropout", "adversarial + dropout")
_VALUES = {"real": "best_validation_accuracy", "randY": "train_accuracy"}


@dataclass(frozen=True, slots=True)
class Capped:
    """Losses in one panel: ``losses`` [regularizer, seed], fractions; ``beyond``: those never at the cap."""

    panel: str
    regularizers: tuple[str, ...]
    losses: Floats
    beyond: tuple[str, ...]

    @property
    def seeds(self) -> int:
        """Seeds that judged every regularizer."""
        return int(self.losses.shape[1])

    def interval(self, values: Floats) -> tuple[float, float]:
        """95 % bootstrap interval of the mean of ``values`` [seed]."""
        counts = resampled_counts(self.seeds, "C12 bootstrap")
        # Rounding keeps equal losses equal, however they were summed.
        return bootstrap_interval(np.round(counts @ values / self.seeds, 9), self.seeds)


def losses_by_regularizer(trials: pd.DataFrame) -> pd.DataFrame:
    """By panel and regularizer: ``loss``, ``loss_low``, ``loss_high``, ``loss_seeds``. Of labelled trials."""
    rows = [
        (result.panel, kind, values.mean(), *result.interval(values), result.seeds)
        for result in _results(trials)
        for kind, values in zip(result.regularizers, result.losses, strict=True)
        if result.seeds >= SEEDS_NEEDED
    ]
    names = ["panel", "regularizer", "loss", "loss_low", "loss_high", "loss_seeds"]
    return pd.DataFrame(rows, columns=names).set_index(["panel", "regularizer"])


def verdicts(trials: pd.DataFrame) -> list[str]:
    """A line for each panel. ``trials`` are labelled."""
    return [_verdict(result) for result in _results(trials)] or ["C12 not enough data: no finished trials"]


def outcomes(trials: pd.DataFrame) -> dict[str, str]:
    """The first words of each panel's verdict, such as ``C12 supported here``. ``trials`` are labelled."""
    return {result.panel: _verdict(result).partition(":")[0] for result in _results(trials)}


def _results(trials: pd.DataFrame) -> list[Capped]:
    kind_of = trials.drop_duplicates("regularizers").set_index("regularizers")["regularizer"].to_dict()
    return [
        _held_out(panel, [str(kind_of[setting]) for setting in settings], values["real"], values["randY"])
        for panel, settings, values in _settings.seed_matrices(trials, _VALUES)
    ]


def _held_out(panel: str, kinds: list[str], real: Floats, random: Floats) -> Capped:
    """Choose on all seeds but one, judge on that one. ``kinds`` [setting], the accuracies [setting, seed]."""
    kind = np.array(kinds)
    control = kind == _frames.CONTROL
    others = sorted(set(kinds) - {_frames.CONTROL})
    if not control.any():
        return Capped(panel, (), np.empty((0, 0)), ())
    real, random = real[:, np.isfinite(real[control][0])], random[:, np.isfinite(real[control][0])]
    losses = np.full((len(others), real.shape[1]), np.nan)
    reached = np.ones(len(others), dtype=bool)
    for seed in range(real.shape[1]):
        real_mean = _mean(np.delete(real, seed, axis=1))
        capped = _mean(np.delete(random, seed, axis=1)) <= CAP
        for place, name in enumerate(others):
            allowed = ((kind == name) | control) & capped & np.isfinite(real_mean)
            reached[place] &= allowed.any()
            if allowed.any():
                chosen = np.argmax(np.where(allowed, real_mean, -np.inf))
                losses[place, seed] = real[control, seed][0] - real[chosen, seed]
    compared = losses[reached]
    return Capped(
        panel,
        tuple(name for name, reaches in zip(others, reached, strict=True) if reaches),
        compared[:, np.isfinite(compared).all(axis=0)],
        tuple(name for name, reaches in zip(others, reached, strict=True) if not reaches),
    )


def _mean(values: Floats) -> Floats:
    """Mean over seeds of [setting, seed], NaN where no seed is there."""
    present = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(present, values, 0).sum(axis=1) / present.sum(axis=1)
    return mean


def _verdict(result: Capped) -> str:
    if not result.regularizers or result.seeds < SEEDS_NEEDED or len(result.regularizers) < 2:
        kinds = _frames.counted(len(result.regularizers), "regularizer")
        return (
            f"C12 not enough data: {result.panel}: {kinds} at the {CAP:.0%} cap, "
            f"{_frames.counted(result.seeds, 'seed')}; needs 2, {SEEDS_NEEDED}, a control{_beyond(result)}"
        )
    order = np.argsort(result.losses.mean(axis=1), kind="stable")
    best, worst = order[0], order[-1]
    chance = permutation_p_of_range(result.losses, "C12 permutation")
    differ = result.interval(result.losses[worst] - result.losses[best])[0] > 0 and chance < 0.05
    behind = [
        result.interval(result.losses[place] - result.losses[best])
        for place, name in enumerate(result.regularizers)
        if name in FAVOURED
    ]
    favoured = result.regularizers[best] in FAVOURED or any(high <= MARGIN for _, high in behind)
    undecided = not favoured and any(low <= 0 for low, _ in behind)
    parts = []
    for place in order:
        low, high = result.interval(result.losses[place])
        loss = result.losses[place].mean()
        name = _frames.pretty(result.regularizers[place])
        parts.append(f"{name} loses {100 * loss:.1f} points [{100 * low:.1f}, {100 * high:.1f}]")
    reasons = [] if differ else ["the regularizers cannot be told apart"]
    reasons += [] if favoured or undecided else ["dropout is not among the best"]
    outcome = f"not supported here ({'; '.join(reasons)})" if reasons else "supported here"
    if undecided and not reasons:
        outcome = "not enough data (dropout cannot be told from the best)"
    return (
        f"C12 {outcome}: {result.panel}, {result.seeds} seeds: {', '.join(parts)} of clean accuracy "
        f"at the {CAP:.0%} cap (range: p = {chance:.2g}){_beyond(result)}"
    )


def _beyond(result: Capped) -> str:
    return f"; not reaching the cap: {', '.join(map(_frames.pretty, result.beyond))}" if result.beyond else ""
