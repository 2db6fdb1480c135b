"""Claim C5: the loss of a class depends on all classes in real data, on its own in noise (Arpit et al. 2017, figure 4)

Declared before looking:

- Cell (i, j) of a trial's matrix is the 1-norm of the derivative of the summed loss of the examples labelled i with
  respect to an example labelled j, mean over these examples and over the log-spaced steps of the measure; labels as
  trained on. The off-diagonal share is the sum of the cells between different classes over that of all cells.
- Two parts per panel, random inputs and random labels: real data against a training set all of which is random. Effect:
  the off-diagonal share on real data less that on noise with the same seed, mean over seeds. Smallest that would matter:
  0.1. Interval and two-sided p: Student's t over seeds. At least 3 seeds.
- A diverged trial, or one whose sensitivities overflowed, is left out with its seed and counted.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis import _noise
from analysis.claims import _trials
from analysis.claims._finding import Finding
from analysis.claims._paired import real_minus_noise

ID = "C5"
SWEEP = "sensitivity"
METRIC = "sensitivity_off_diagonal"
COLUMNS = (*_noise.COLUMNS, "labels", METRIC)
CURVES: tuple[str, ...] = ()
TEST = "paired t of off-diagonal shares"
_BLANK = Finding(claim=ID, test=TEST, unit="share of the sensitivity", margin=0.1)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and kind of noise."""
    return [
        real_minus_noise(replace(_BLANK, panel=panel, part=kind), rows, kind, METRIC)
        for panel, kind, rows in _trials.by_kind(_trials.with_labels(trials, "data"), COLUMNS)
    ] or [replace(_BLANK, missing="no finished trials")]
