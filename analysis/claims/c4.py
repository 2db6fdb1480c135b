"""Claim C4: with a class for each example the loss still depends on fewer in real data (Arpit et al. 2017, figure 3, right)

Declared before looking; a quick try before this project did not show it:

- As C3, but each training example is a class of its own, so that real data have no patterns that classes share.
- One part per panel: random inputs. Labels are arbitrary on real data already, so random ones would say nothing.
- Effect: the Gini coefficient on real data less that on noise with the same seed, mean over seeds. Smallest that would
  matter: 0.1. Interval and two-sided p: Student's t over seeds. At least 3 seeds.
- A diverged trial, or one whose sensitivities overflowed, is left out with its seed and counted.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.claims import _trials, c3
from analysis.claims._finding import Finding
from analysis.claims._paired import real_minus_noise

ID = "C4"
SWEEP = "sensitivity"
METRIC = c3.METRIC
COLUMNS = c3.COLUMNS
CURVES: tuple[str, ...] = ()
TEST = c3.TEST
LABELS = "example"
_BLANK = Finding(claim=ID, test=TEST, unit="Gini coefficient", margin=0.1)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel."""
    return [
        real_minus_noise(replace(_BLANK, panel=panel, part=kind), rows, kind, METRIC)
        for panel, kind, rows in _trials.by_kind(_trials.with_labels(trials, LABELS), COLUMNS)
        if kind == "randX"
    ] or [replace(_BLANK, missing="no finished trials with a class for each example")]
