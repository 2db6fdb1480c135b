"""Claim C14: sharpness grows with the noise level (Krueger et al. 2017, figure 3)

Sharpness is the largest eigenvalue of the Hessian of the training loss. Declared before looking, two parts per panel and
kind of noise:

- *randX*, *randY*: sharpness after the last epoch, as the paper has it. *at a matched loss*: after the first evaluated
  epoch with a training loss of at most ``sharpness_loss``, because at the end nets fit unequally well, and where the
  loss vanishes so does its Hessian.
- Both by Jonckheere and Terpstra's trend over the levels, real data as level 0, as in C10. Effect: Somers' D.
  Smallest that would matter: 0.2, or 60 % of the pairs in order. Interval: Student's t over seeds with the spread of the
  bootstrap of seeds. p: two-sided, the larger of the trend's and of Student's t over seeds. Only the order of the
  sharpnesses counts, so no scale has to be chosen.
- A diverged trial is left out and counted, from the second part also one that never gets to the loss: such trials are
  those that fit slowest, so a trend among the others says less. At least 3 seeds and 2 levels.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis import _frames, _noise
from analysis.claims import _trials
from analysis.claims._finding import Finding
from analysis.claims._trend import trend

ID = "C14"
SWEEP = "noise"
COLUMNS = (*_noise.COLUMNS, "sharpness", "sharpness_matched")
CURVES: tuple[str, ...] = ()
TEST = "Jonckheere trend of sharpness"
MARGIN = 0.2
_BLANK = Finding(claim=ID, test=TEST, unit="Somers' D", margin=MARGIN)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Two for each panel and kind of noise."""
    found = []
    for panel, kind, rows in _trials.by_kind(trials, COLUMNS):
        end, matched = (
            replace(_BLANK, panel=panel, part=part) for part in (kind, f"{kind}, at a matched loss")
        )
        late = int((~rows["diverged"] & rows["sharpness"].notna() & rows["sharpness_matched"].isna()).sum())
        note = f"{_frames.counted(late, 'trial')} never at that loss left out" if late else ""
        found += [
            trend(end, rows, "sharpness", "sharpness", percent=False),
            trend(matched, rows, "sharpness_matched", "sharpness", percent=False, note=note),
        ]
    return found or [replace(_BLANK, missing="no finished trials")]
