"""Claim C2: conv1 filters are structured on real data and on randY, unlike their initial state (Arpit et al. 2017, figure 2)

Declared before looking:

- The statistic is the low-frequency share of a filter of the first convolution, as memory_study/measures/filters.py
  defines it: of its spectral energy, the share at no more than one period per filter in either direction, mean included;
  0.36 is expected of independent weights, as drawn. One number per trial: the mean over its filters, each counted alike.
- Two parts per panel with CNNs: *real*, and *randY* with all labels random (level 1). Paired over seeds: the trained net
  less its own initial state.
- Effect: the mean over seeds of this difference, in points. Smallest that would matter: 5 points. Interval and two-sided
  p: Student's t over seeds. At least 3 seeds. A diverged trial is left out and counted.
- Random inputs of level 1, which have no structure that a filter could take over, are told for comparison and decide
  nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import _noise
from analysis._power import units_for_t
from analysis._statistics import t_test
from analysis.claims import _trials
from analysis.claims._finding import Finding, few_seeds, runs_for

ID = "C2"
SWEEP = "noise"
SHARES = ("filter_low_frequency", "filter_low_frequency_initial")
COLUMNS = (*_noise.COLUMNS, *SHARES)
CURVES: tuple[str, ...] = ()
TEST = "t-test of low-frequency share"
MARGIN = 5.0
_BLANK = Finding(claim=ID, test=TEST, unit="points of low-frequency share", margin=MARGIN)


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """Two for each panel in which any trial has filters, or in which CNNs diverged."""
    parts: dict[tuple[str, str], pd.DataFrame] = {}
    for panel, kind, rows in _trials.by_kind(trials, COLUMNS):
        if rows["model"].astype(str).str.startswith("cnn").any() or rows[SHARES[0]].notna().any():
            parts[panel, "real"] = rows[rows["level"] == 0]
            parts[panel, kind] = rows[rows["level"] == 1]
    found = [
        _finding(panel, part, rows, parts.get((panel, "randX")))
        for (panel, part), rows in sorted(parts.items())
        if part != "randX"
    ]
    return found or [replace(_BLANK, missing="no finished trials of CNNs")]


def _finding(panel: str, part: str, rows: pd.DataFrame, white: pd.DataFrame | None) -> Finding:
    sound = _measured(rows)
    missing, more = few_seeds(len(sound), len(rows))
    blank = replace(_BLANK, panel=panel, part=part, n=len(sound))
    if sound.empty:
        return replace(blank, missing=_lacking(part, rows))
    if missing:
        return replace(blank, missing=missing, more_runs=more)
    differences = 100 * (sound[SHARES[0]] - sound[SHARES[1]]).to_numpy(dtype=np.float64)
    effect, low, high, p = t_test(differences)
    others = [] if white is None else [_in_words("randX", _measured(white))]
    return replace(
        blank, effect=effect, low=low, high=high, p=p,
        detail=_trials.sentence(_in_words(part, sound), *others, _trials.left_out(rows)),
        more_runs=lambda alpha: runs_for(
            units_for_t(effect, float(differences.std(ddof=1)), alpha), len(sound), len(rows)
        ),
    )  # fmt: skip


def _lacking(part: str, rows: pd.DataFrame) -> str:
    """Why there is no trial to test: none on such data, none that did not diverge, or none whose filters were kept."""
    if rows.empty:
        return f"no trial on 100 % {_noise.KINDS[part]}" if part in _noise.KINDS else "no trial on real data"
    return "all trials diverged" if rows["diverged"].all() else "no trial with --measures filters"


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """The sound trials with both shares, by seed."""
    return rows[~rows["diverged"]].dropna(subset=[*SHARES]).sort_values("seed")


def _in_words(part: str, rows: pd.DataFrame) -> str:
    """``real: low-frequency share 36 % at first, 71 % trained``, or nothing of no trials."""
    if rows.empty:
        return ""
    trained, initial = (100 * rows[share].mean() for share in SHARES)
    return f"{part}: low-frequency share {initial:.3g} % at first, {trained:.3g} % trained"
