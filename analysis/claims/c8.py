"""Claim C8: more data slows convergence more with noise than without (Arpit et al. 2017, figure 6 right)

Declared before looking:

- Per panel and kind of noise, on the trials of one width (the largest at which the training set size varies). Real
  data are level 0 of both kinds.
- Time is the convergence epoch, as in the figure, not the number of steps: an epoch of twice the data has twice
  the steps, so in steps every slope is larger by one, on real data and on noise alike, and the effect is the
  same. Censored and diverged trials as in C7.
- Per seed: censored log-normal regression of log2(epochs) on an indicator for each training set size, one for each
  level, and the product of log2(training examples) and level. Effect: the product's coefficient, that is by how
  many more doublings of the epochs doubling the data costs at level 1 than on real data. Smallest that would
  matter: 0.1, which over a 16-fold range is a third more time.
- Interval and two-sided p: Student's t over seeds, at least 3. A seed counts if its converged trials alone
  identify all coefficients and leave two to spare for the spread. A size or level at which no trial of a seed
  converged tells nothing of that seed and is left out.
- Corrected after a review of the first laptop runs: level and log2(training examples) had been declared as straight
  lines, whose misfit looks like an interaction where trials are censored: see C7.
"""

from __future__ import annotations

import pandas as pd

from analysis.claims import _slowing
from analysis.claims._finding import Finding

ID = "C8"
SWEEP = "capacity"
COLUMNS = _slowing.COLUMNS
CURVES: tuple[str, ...] = ()
TEST = "data × level, censored times"
MARGIN = 0.1
_BLANK = Finding(
    claim=ID, test=TEST, unit="log2 epochs per doubling of data and unit of noise", margin=MARGIN
)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and kind of noise."""
    return _slowing.findings(trials, _slowing.Question("train_size", "width", 1, _BLANK))
