"""Claim C10: CSR is higher for noisier data, and rises, then settles, through training (Arpit et al. 2017, figures 7-9)

CSR is the critical sample ratio of validation examples. Declared before looking, two parts per panel and kind of
noise:

- *randX*, *randY* (higher for noisier data): Jonckheere and Terpstra's trend of the CSR after the last epoch over
  the levels, real data as level 0; with ties corrected it is the test of Kendall's tau-b. Effect: Somers' D, that
  is, of all pairs of trials of different levels, the share in the order of the levels less the share in the opposite
  order. Smallest that would matter: 0.2, or 60 % of the pairs in order. Interval: Student's t over
  seeds with the spread of the bootstrap of seeds, 2,000 resamples. p: two-sided, the larger of the trend's, which
  takes all trials for independent, and of Student's t, which takes only seeds for it: the noisy trials of a
  seed share false labels or noise. (Corrected after a review: p was the trend's alone, the interval that of
  expanded percentiles, which for a mean of 3 seeds covers 76 %.)
- *through training* (rises, then settles): a noisy trial counts if its CSR is higher at the last measured epoch
  than at the first, and if its mean absolute slope over log(epoch) is smaller in the last third of log(epoch)
  than in the first two thirds (by the line between the measured points). Effect: the share of the noisy trials that
  count, less one half. Where CSR is chance, fewer than half do. Smallest that would matter: 0.1, six trials of
  ten. p: two-sided, the larger of two sign tests. One takes all trials for independent; the other has a vote for
  each seed, that of most of its trials, ties left out, because trials of one seed share initial weights and noise.
  Interval: the smallest that holds Clopper and Pearson's of both tests. (Corrected after a review: p and interval
  were those over trials alone. Where a coin decides for each of 12 seeds how all of its three trials come out,
  that p was below .05 in 15 %.)
- A diverged trial is left out and counted. At least 3 seeds, 2 levels and, for the second part, 5 epochs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _noise
from analysis._statistics import Floats
from analysis.claims import _signs, _trials
from analysis.claims._finding import Finding, few_seeds
from analysis.claims._trend import trend

ID = "C10"
SWEEP = "noise"
COLUMNS = (*_noise.COLUMNS, "csr_validation")
CURVES = ("csr_validation",)
TEST = "Jonckheere trend of final CSR"
TEST_THROUGH = "sign test of CSR's course"
MARGIN, MARGIN_THROUGH = 0.2, 0.1
EPOCHS_NEEDED = 5
_TREND = Finding(claim=ID, test=TEST, unit="Somers' D", margin=MARGIN)
_COURSE = Finding(
    claim=ID, test=TEST_THROUGH, unit="share of trials above half", margin=MARGIN_THROUGH, units="trial"
)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Two for each panel and kind of noise."""
    found = []
    for panel, kind, rows in _trials.by_kind(trials, COLUMNS):
        blank = replace(_TREND, panel=panel, part=kind)
        found += [
            trend(blank, rows, "csr_validation", "CSR", percent=True),
            _course(panel, kind, rows, curves),
        ]
    return found or [replace(_TREND, missing="no finished trials")]


def _course(panel: str, kind: str, rows: pd.DataFrame, curves: pd.DataFrame) -> Finding:
    noisy = rows[(rows["level"] > 0) & ~rows["diverged"]]
    courses = {
        trial: course
        for trial, course in _trials.histories(noisy, curves, "csr_validation").items()
        if len(course[0]) >= EPOCHS_NEEDED
    }
    seeds = noisy.loc[list(courses), "seed"]
    missing, more = few_seeds(seeds.nunique(), len(noisy))
    shared = replace(_COURSE, panel=panel, part=f"{kind}, through training", n=len(courses))
    if not courses:
        return replace(shared, missing=f"no noisy trial with CSR at {EPOCHS_NEEDED} epochs")
    if missing:
        return replace(shared, missing=missing, more_runs=more)
    rose = pd.Series({trial: bool(values[-1] > values[0]) for trial, (_, values) in courses.items()})
    settled = pd.Series({trial: settles(*course) for trial, course in courses.items()})
    both = rose & settled
    detail = _trials.sentence(
        f"of {len(courses)} noisy trials {rose.sum()} rise, {settled.sum()} settle, {both.sum()} do both",
        _signs.in_words(both, seeds),
        _trials.left_out(rows[rows["level"] > 0]),
    )
    return _signs.sign(replace(shared, detail=detail), both, seeds, len(noisy))


def settles(epochs: Floats, values: Floats) -> bool:
    """Whether a curve is flatter, on average over log(epoch), in its last third than before."""
    logs = np.log(epochs)
    turn = logs[0] + (logs[-1] - logs[0]) * 2 / 3
    logs_all = np.sort(np.append(logs, turn))
    steps = np.abs(np.diff(np.interp(logs_all, logs, values)))
    last = logs_all[:-1] >= turn
    return bool(steps[last].sum() / (logs[-1] - turn) < steps[~last].sum() / (turn - logs[0]))
