"""Claim C6: more noise needs more capacity for the best validation accuracy (Arpit et al. 2017, figure 5)

Declared before looking:

- Per panel and kind of noise, on the trials of one training set size (the largest at which the width varies). Real
  data are level 0 of both kinds. Level 1 is left out: nothing of the real data is in such a training set, so
  validation accuracy is chance at every width.
- The *optimum* of a level is the smallest width whose mean best validation accuracy over seeds is at most half a
  point below the highest mean. The bare argmax would be decided by chance, because accuracy hardly differs among
  wide nets; half a point is some standard errors of a mean of five seeds on 10,000 examples.
- Effect: least squares slope of log2(optimum) on the level, in doublings of the width per unit of noise. Smallest
  that would matter: half a doubling.
- Interval: Student's t over seeds with the spread of the bootstrap of the seeds, 2,000 resamples. p: two-sided,
  10,000 permutations of the levels within each seed, whole profiles over widths at once and each less its mean,
  since the claim is not about how accurate a level is but where it is best. (The optimum is one of few widths:
  where all resamples agree the interval is a point. In simulations of 3 to 10 seeds it covers the true slope
  in 90 to 100 %. It was first declared by expanded percentiles, which cover 83 % with 3 seeds.)
- An optimum at the largest width is censored: it may lie beyond. At a noisy level the slope is then at least as
  large as measured (its upper end is unknown); on real data nothing is decided.
- A width at which a trial diverged is left out, and then a seed that lacks a trial. At least 3 seeds, 3 widths
  and 2 levels.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _frames, _noise
from analysis._power import units_by_scaling
from analysis._statistics import Floats, bootstrap_t, named_generator, resampled_counts
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for

ID = "C6"
SWEEP = "capacity"
COLUMNS = (*_noise.COLUMNS, "best_validation_accuracy")
CURVES: tuple[str, ...] = ()
TEST = "slope of log2(best width) on level"
TOLERANCE = 0.005
MARGIN = 0.5
WIDTHS_NEEDED, LEVELS_NEEDED = 3, 2
SHUFFLES = 10_000
_BLANK = Finding(claim=ID, test=TEST, unit="doublings of width per unit of noise", margin=MARGIN)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and kind of noise."""
    return [
        _finding(panel, kind, rows)
        for panel, kind, rows in _trials.by_kind(trials, COLUMNS, ("width", "train_size"))
    ] or [replace(_BLANK, missing="no finished trials")]


def _finding(panel: str, kind: str, rows: pd.DataFrame) -> Finding:
    rows = _noise.fixed_at(rows[rows["level"] < 1], "width", "train_size")
    widths, levels, values = _profiles(rows)
    seeds, runs = len(values), len(rows)
    missing, more = few_seeds(seeds, runs)
    detail = _trials.sentence(_described(widths, levels, values), _left_out(rows, widths, seeds))
    if len(widths) < WIDTHS_NEEDED or len(levels) < LEVELS_NEEDED:
        counts = f"{_frames.counted(len(widths), 'width')}, {_frames.counted(len(levels), 'level')} below 1"
        missing = f"{counts}; needs {WIDTHS_NEEDED} and {LEVELS_NEEDED}"
        return replace(_BLANK, panel=panel, part=kind, n=seeds, missing=missing, detail=detail)
    if missing:
        return replace(
            _BLANK, panel=panel, part=kind, n=seeds, missing=missing, more_runs=more, detail=detail
        )
    best = optimum(widths, values.mean(axis=0))
    effect = float(slope(levels, best))
    drawn = np.tensordot(resampled_counts(seeds, f"{ID} bootstrap") / seeds, values, axes=1)
    _, low, high, _ = bootstrap_t(effect, slope(levels, optimum(widths, drawn)), seeds)
    p = _permutation_p(widths, levels, values, effect)
    at_end = best == np.log2(widths[-1])
    return replace(
        _BLANK, panel=panel, part=kind, effect=effect, low=low, n=seeds, p=p, detail=detail,
        high=math.inf if at_end.any() else high,
        undecided="the optimum on real data is at the largest width: try wider nets" if at_end[0] else "",
        more_runs=lambda alpha: runs_for(units_by_scaling(seeds, effect, p, alpha), seeds, runs),
    )  # fmt: skip


def _profiles(rows: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Widths, levels, and best validation accuracies [seed, level, width] of the seeds that are complete."""
    sound = rows[~rows["diverged"].groupby(rows["width"]).transform("any")]
    table = sound.pivot(
        index="seed", columns=["level", "width"], values="best_validation_accuracy"
    ).sort_index(axis=1)
    widths, levels = (np.sort(sound[name].unique()).astype(float) for name in ("width", "level"))
    grid = pd.MultiIndex.from_product([levels, widths])
    complete = table.reindex(columns=grid).dropna().to_numpy(dtype=np.float64)
    return widths, levels, complete.reshape(len(complete), len(levels), len(widths))


def optimum(widths: Floats, accuracy: Floats) -> Floats:
    """log2 of the smallest width within the tolerance of the best, from ``accuracy`` [..., width]."""
    near = accuracy >= accuracy.max(axis=-1, keepdims=True) - TOLERANCE
    return np.asarray(np.log2(widths)[np.argmax(near, axis=-1)])


def slope(levels: Floats, values: Floats) -> Floats:
    """Least squares slope of ``values`` [..., level] on the levels."""
    centred = levels - levels.mean()
    return np.asarray(np.round(values @ centred / (centred @ centred), 9) + 0.0)  # equal optima have no slope


def _permutation_p(widths: Floats, levels: Floats, values: Floats, effect: float) -> float:
    """Two-sided p of the slope when levels are shuffled within each seed. Never 0."""
    centred = values - values.mean(axis=-1, keepdims=True)
    seeds, count = values.shape[:2]
    places = np.broadcast_to(np.arange(count), (SHUFFLES, seeds, count))
    order = named_generator(f"{ID} permutation").permuted(places, axis=2)
    mean = sum(centred[seed][order[:, seed]] for seed in range(seeds)) / seeds
    slopes = slope(levels, optimum(widths, np.asarray(mean)))
    smaller = min((slopes >= effect).sum(), (slopes <= effect).sum())
    return float(min(1, 2 * (1 + smaller) / (1 + SHUFFLES)))


def _described(widths: Floats, levels: Floats, values: Floats) -> str:
    if not values.size:
        return ""
    best = 2 ** optimum(widths, values.mean(axis=0))
    pairs = [
        f"{width:.0f} at {level:g}{' (the largest)' if width == widths[-1] else ''}"
        for level, width in zip(levels, best, strict=True)
    ]
    return f"best width by level: {', '.join(pairs)}"


def _left_out(rows: pd.DataFrame, widths: Floats, seeds: int) -> str:
    lost = sorted(set(rows["width"]) - set(widths))
    incomplete = rows["seed"].nunique() - seeds
    return _trials.sentence(
        f"width {', '.join(f'{width:.0f}' for width in lost)} left out, where a trial diverged"
        if lost
        else "",
        f"{_frames.counted(incomplete, 'incomplete seed')} left out" if incomplete else "",
    )
