"""Claim C7: less capacity slows convergence more with noise than without (Arpit et al. 2017, figure 6 left)

Declared before looking:

- Per panel and kind of noise, on the trials of one training set size (the largest at which the width varies). Real
  data are level 0 of both kinds.
- Time is the convergence epoch; a trial that never got there is right-censored at the last epoch it trained. A
  diverged trial is left out and counted.
- Per seed: censored log-normal regression of log2(epochs) on an indicator for each width, one for each level, and
  the product of log2(width) and level. Effect: minus the product's coefficient, that is by how many more doublings
  of the epochs halving the width costs at level 1 than on real data. Smallest that would matter: 0.1, which over a
  16-fold range of widths is a third more time.
- Interval and two-sided p: Student's t over seeds, at least 3. A seed counts if its converged trials alone
  identify all coefficients and leave two to spare for the spread. A width or level at which no trial of a seed
  converged tells nothing of that seed and is left out.
- Corrected after a review of the first laptop runs: level and log2(width) had been declared as straight lines. But
  random labels cost a jump between level 0 and the lowest one and little more from there, and ever narrower nets
  ever more. Where slow trials are censored, either misfit looks like an interaction: in simulations without any,
  p < .05 in 90 % (a jump) and 37 % (a bend in the width, with indicators of the level alone). With indicators
  of both it is in about 5 %.
"""

from __future__ import annotations

import pandas as pd

from analysis.claims import _slowing
from analysis.claims._finding import Finding

ID = "C7"
SWEEP = "capacity"
COLUMNS = _slowing.COLUMNS
CURVES: tuple[str, ...] = ()
TEST = "width × level, censored times"
MARGIN = 0.1
_BLANK = Finding(
    claim=ID, test=TEST, unit="log2 epochs per halving of width and unit of noise", margin=MARGIN
)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and kind of noise."""
    return _slowing.findings(trials, _slowing.Question("width", "train_size", -1, _BLANK))
