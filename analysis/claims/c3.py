"""Claim C3: the loss depends on few examples in real data, and on nearly all in noise (Arpit et al. 2017, figure 3, left)

Declared before looking at the sweep's trials (six seeds of its net had been seen after step 1000, when the measure was
checked against values that were expected of it):

- An example's loss sensitivity is the 1-norm of the derivative of the mean training loss with respect to it, direct and
  through all updates. Gini coefficient over the examples, after the last step, with the data set's classes.
- Two parts per panel, random inputs and random labels: real data against a training set all of which is random. Effect:
  the Gini coefficient on real data less that on noise with the same seed, mean over seeds. Smallest that would matter: 0.1.
- Interval and two-sided p: Student's t over seeds, which share initial weights and batches. At least 3 seeds.
- A diverged trial, or one whose sensitivities overflowed, is left out with its seed and counted.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis import _noise
from analysis.claims import _trials
from analysis.claims._finding import Finding
from analysis.claims._paired import real_minus_noise

ID = "C3"
SWEEP = "sensitivity"
METRIC = "sensitivity_gini"
COLUMNS = (*_noise.COLUMNS, "labels", METRIC)
CURVES: tuple[str, ...] = ()
TEST = "paired t of Gini coefficients"
LABELS = "data"
_BLANK = Finding(claim=ID, test=TEST, unit="Gini coefficient", margin=0.1)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and kind of noise."""
    return [
        real_minus_noise(replace(_BLANK, panel=panel, part=kind), rows, kind, METRIC)
        for panel, kind, rows in _trials.by_kind(_trials.with_labels(trials, LABELS), COLUMNS)
    ] or [replace(_BLANK, missing="no finished trials")]
