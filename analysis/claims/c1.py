"""Claim C1: the difficulty of examples varies far more in real data than in noise (Arpit et al. 2017, figure 1)

Declared before looking:

- After one epoch each net (a seed: initial weights and order of the examples) has each of the measured training examples
  right or wrong. p_i is the share of nets that have example i wrong, p the mean over examples. The dispersion D is
  Var(p_i) / (p (1 - p) / n) with n seeds: 1 if every net is wrong on every example with one probability (a binomial
  count), n if the same examples are wrong for all. Noise is of level 1, one noisy data set for all seeds.
- Three parts per panel. *real above randY* and *randY above randX*: effect is log2 of the ratio of the two D, over the
  seeds that both have. Smallest that would matter: 1 for the first, or twice the dispersion ("far more"), 0.25 for
  the second. *randX about binomial*: effect is log2(1.5 / D), positive where the examples' own differences add
  less than half of what chance alone makes. Smallest that would matter: 0.1, that is D at most 1.4.
- Interval and two-sided p: Student's t with the sum of two jackknife variances, over examples and over seeds (examples
  share nets and nets share examples, so neither alone is a sample of independent units), and the freedom of the fewer.
- The chi2 test of D = 1, (N - 1) D ~ chi2 with N - 1 degrees of freedom for N examples, is told, and decides nothing: it
  takes examples for independent, which those of one class are not. So is D within classes of labels, since nets that
  prefer a class have all its examples right more often.
- At least 20 seeds, because D of few nets is near 1 whatever the data. A diverged trial is left out and counted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from analysis import _examples, _frames
from analysis._examples import KINDS, Answers
from analysis._power import units_by_scaling
from analysis._statistics import Booleans, Floats, jackknife_t
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for

ID = "C1"
SWEEP = "examples"
COLUMNS = _examples.COLUMNS
CURVES: tuple[str, ...] = ()
TEST = "dispersion D, jackknife"
SEEDS_NEEDED = 20
BOUND = 1.5
MARGINS = {("none", "randY"): 1.0, ("randY", "randX"): 0.25}
MARGIN_BINOMIAL = 0.1
_NAMES = {"none": "real", "randX": "randX", "randY": "randY"}
_BLANK = Finding(claim=ID, test=TEST, unit="log2 ratio of dispersions", margin=MARGINS["none", "randY"])


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Three for each panel."""
    found = []
    for panel, answers in _examples.by_panel(trials):
        blank = replace(_BLANK, panel=panel)
        pairs = [_compare(replace(blank, margin=margin), answers, *pair) for pair, margin in MARGINS.items()]
        pairs[0] = replace(pairs[0], detail=_detail(answers))
        found += [*pairs, _binomial(replace(blank, margin=MARGIN_BINOMIAL), answers)]
    return found or [replace(_BLANK, missing="no finished trials")]


def dispersion(rates: Floats, seeds: int, labels: np.ndarray | None = None) -> Floats:
    """D of misclassification rates [..., example] over so many seeds; within classes of ``labels`` [example] if given.

    NaN where all nets are right, or wrong, on all examples.
    """
    if labels is None:
        labels = np.zeros(rates.shape[-1])
    squares, chance = np.zeros(rates.shape[:-1]), np.zeros(rates.shape[:-1])
    for label in np.unique(labels):
        own = rates[..., labels == label]
        mean, freedom = own.mean(-1), own.shape[-1] - 1
        squares += own.var(-1) * own.shape[-1]
        chance += freedom * mean * (1 - mean) / seeds
    return np.divide(squares, chance, out=np.full_like(squares, np.nan), where=chance > 0)


def _leaving_one_out(wrong: Booleans) -> tuple[Floats, Floats]:
    """log2 D without each example, and without each seed, of ``wrong`` [seed, example]."""
    seeds, examples = wrong.shape
    counts = wrong.sum(axis=0)
    kept = ~np.eye(examples, dtype=bool)
    rates = np.broadcast_to(counts / seeds, (examples, examples))[kept].reshape(examples, examples - 1)
    without_seed = (counts - wrong) / (seeds - 1)
    return np.log2(dispersion(rates, seeds)), np.log2(dispersion(without_seed, seeds - 1))


def _compare(blank: Finding, answers: dict[str, Answers], more: str, less: str) -> Finding:
    """Whether one kind of data is more dispersed than another."""
    blank = replace(blank, part=f"{_NAMES[more]} above {_NAMES[less]}")
    both = [answers[kind] for kind in (more, less) if kind in answers]
    common = sorted(set(both[0].seeds) & set(both[1].seeds)) if len(both) == 2 else []
    if len(both) < 2:
        absent = ", ".join(_NAMES[kind] for kind in (more, less) if kind not in answers)
        return replace(blank, missing=f"no trials on {absent}")
    parts = [each.wrong[np.isin(each.seeds, common)] for each in both]
    return _estimate(blank, answers, parts, 0.0)


def _binomial(blank: Finding, answers: dict[str, Answers]) -> Finding:
    """Whether random inputs are no more dispersed than the bound allows."""
    blank = replace(blank, part="randX about binomial", unit="log2 of 1.5 over the dispersion")
    if "randX" not in answers:
        return replace(blank, missing="no trials on randX")
    return _estimate(blank, answers, [answers["randX"].wrong], float(np.log2(BOUND)))


def _estimate(blank: Finding, answers: dict[str, Answers], parts: list[Booleans], start: float) -> Finding:
    """Of two parts, log2 D of the first less that of the second; of one, ``start`` less its log2 D."""
    seeds, runs = len(parts[0]), sum(len(each.seeds) for each in answers.values())
    missing, more = few_seeds(seeds, runs, SEEDS_NEEDED)
    if missing:
        return replace(blank, n=seeds, missing=missing, more_runs=more)
    logs = [np.log2(dispersion(wrong.mean(axis=0), seeds)) for wrong in parts]
    signs = (1, -1) if len(parts) == 2 else (-1,)
    left_out = [_leaving_one_out(wrong) for wrong in parts]
    over = [np.sum([s * each[k] for s, each in zip(signs, left_out, strict=True)], axis=0) for k in (0, 1)]
    effect = start + float(sum(s * log for s, log in zip(signs, logs, strict=True)))
    if not np.isfinite([effect, *np.concatenate(over)]).all():
        return replace(blank, n=seeds, missing="all nets agree on all examples: D is not defined")
    estimate = jackknife_t(effect, *over)
    return replace(
        blank, effect=effect, low=estimate.low, high=estimate.high, p=estimate.p, n=seeds,
        more_runs=lambda alpha: runs_for(units_by_scaling(seeds, effect, estimate.p, alpha), seeds, runs),
    )  # fmt: skip


def _detail(answers: dict[str, Answers]) -> str:
    """D of each kind of data, its chi2 test, D within classes, and what was left out."""
    return _trials.sentence(*(_in_words(KINDS[kind], each) for kind, each in answers.items()))


def _in_words(name: str, answers: Answers) -> str:
    lost = f"{_frames.counted(answers.diverged, 'diverged trial')} left out" if answers.diverged else ""
    if not answers.seeds:
        return f"{name}: {lost or 'nothing measured'}"
    rates, seeds = answers.rates, len(answers.seeds)
    whole = float(dispersion(rates, seeds))
    chance = stats.chi2.sf((len(rates) - 1) * whole, len(rates) - 1)
    text = f"{name}: wrong in {100 * rates.mean():.3g} %, D = {whole:.3g} (chi2 of 1: p = {chance:.2g}"
    if answers.labels is not None:
        text += f"; within classes {float(dispersion(rates, seeds, answers.labels)):.3g}"
    return f"{text}), {lost}" if lost else f"{text})"
