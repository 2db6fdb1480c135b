"""Claim C11: on randY, validation accuracy peaks before training accuracy gets high (Arpit et al. 2017, figures 7b and 8b)

Declared before looking:

- Per panel, over the trials with some random labels, not all (0 < level < 1: with all of them random there is
  nothing to validate). Both epochs are those at which the curves were measured.
- The peak is the first epoch with the highest validation accuracy. Training accuracy, on the labels as trained,
  is high from the first epoch at which it is at least 90 %. Before: the peak's epoch is smaller.
- A trial that never gets there counts as before if its peak lies at least two measured epochs before the end, so
  that validation accuracy is seen to have fallen while training accuracy was still to rise; else as a tie.
- Sign test: ties left out, as usual. Effect: share of trials before, less one half. Smallest that would matter: 0.1,
  six trials of ten. p: two-sided, the larger of two sign tests. One takes all trials for independent; the other has a
  vote for each seed, that of most of its trials, ties left out, because trials of one seed share initial weights
  and, for the most part, false labels. Interval: the smallest that holds Clopper and Pearson's of both tests.
- At least 3 seeds; p < .05 takes 6 that all agree. A diverged trial is left out and counted.
- Corrected after a review: p and interval were those over trials alone. Where a coin decides for each of 12 seeds how
  all of its three trials come out, that p was below .05 in 15 %.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _noise
from analysis._statistics import Floats
from analysis.claims import _signs, _trials
from analysis.claims._finding import Finding, few_seeds

ID = "C11"
SWEEP = "noise"
COLUMNS = _noise.COLUMNS
CURVES = ("train_accuracy", "validation_accuracy")
TEST = "sign test on epochs"
HIGH = 0.9
MARGIN = 0.1
_BLANK = Finding(
    claim=ID, test=TEST, unit="share of trials above half", margin=MARGIN, units="trial", part="randY"
)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel."""
    return [
        _finding(panel, rows, curves)
        for panel, kind, rows in _trials.by_kind(trials, COLUMNS)
        if kind == "randY"
    ] or [replace(_BLANK, missing="no finished trials on random labels")]


def _finding(panel: str, rows: pd.DataFrame, curves: pd.DataFrame) -> Finding:
    rows = rows[(rows["level"] > 0) & (rows["level"] < 1)]
    sound = rows[~rows["diverged"]]
    fitted, validated = (_trials.histories(sound, curves, metric) for metric in CURVES)
    both = [trial for trial in sound.index if trial in fitted and trial in validated]
    orders = pd.Series([order(*fitted[trial], *validated[trial]) for trial in both], both, dtype=int)
    before, seeds = orders[orders != 0] > 0, sound.loc[both, "seed"]
    missing, more = few_seeds(seeds.nunique(), len(rows))
    if not both:
        missing = "no trial between level 0 and 1 with both curves"
    elif not missing and before.empty:
        missing = "ties only: train longer"
    if missing:
        return replace(_BLANK, panel=panel, n=len(before), missing=missing, more_runs=more)
    seeds = seeds[before.index]
    detail = _trials.sentence(
        f"validation accuracy peaks before {HIGH:.0%} training accuracy in {before.sum()} trials, not before in "
        f"{(~before).sum()}; {(orders == 0).sum()} ties left out",
        _signs.in_words(before, seeds),
        _trials.left_out(rows),
    )
    return _signs.sign(replace(_BLANK, panel=panel, detail=detail), before, seeds, len(rows))


def order(fit_epochs: Floats, fitted: Floats, epochs: Floats, validated: Floats) -> int:
    """1 if the peak of ``validated`` comes before ``fitted`` gets high, -1 if after, 0 for a tie."""
    peak = int(np.argmax(validated))
    high = fit_epochs[fitted >= HIGH]
    if not len(high):
        return int(peak <= len(validated) - 3)
    return int(np.sign(high[0] - epochs[peak]))
