"""Claim C15: the critical sample ratio of training examples rises, then falls (Arpit et al. 2017, footnote 5)

Declared before looking:

- Three parts per panel: real data, random inputs, random labels (all levels above 0 together).
- For each trial the *other* seeds of its setting choose an epoch: the one with their highest mean training CSR, of
  those at which the trial itself was measured. The trial counts if its own CSR there is above both that at its
  first and that at its last measured epoch. So no trial chooses where it is judged: the highest of many noisy
  values would lie above the ends of any curve.
- Effect: the share of the trials that count, less one half. Without a rise and fall at most a third do. Smallest that
  would matter: 0.1, six trials of ten. p: two-sided, the larger of two sign tests. One takes all trials for
  independent; the other has a vote for each seed, that of most of its trials, ties left out, because trials of one
  seed share initial weights and noise. Interval: the smallest that holds Clopper and Pearson's of both tests.
- At least 3 seeds; p < .05 takes 6 that all agree. A setting with one seed has nobody to choose and is left out; so is
  a diverged trial, and one measured at fewer than 3 epochs.
- Corrected after a review: p and interval were those over trials alone. Where a coin decides for each of 12 seeds how
  all of its three trials come out, that p was below .05 in 15 %.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis import _noise
from analysis.claims import _signs, _trials
from analysis.claims._finding import Finding, few_seeds

ID = "C15"
SWEEP = "noise"
COLUMNS = (*_noise.COLUMNS, "csr_train")
CURVES = ("csr_train",)
TEST = "sign test at others' peak"
MARGIN = 0.1
EPOCHS_NEEDED = 3
_BLANK = Finding(claim=ID, test=TEST, unit="share of trials above half", margin=MARGIN, units="trial")


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel and part."""
    parts: dict[tuple[str, str], pd.DataFrame] = {}
    for panel, kind, rows in _trials.by_kind(trials, COLUMNS):
        parts[panel, "real"] = rows[rows["level"] == 0]
        parts[panel, kind] = rows[rows["level"] > 0]
    return [_finding(*where, rows, curves) for where, rows in sorted(parts.items()) if len(rows)] or [
        replace(_BLANK, missing="no finished trials")
    ]


def _finding(panel: str, part: str, rows: pd.DataFrame, curves: pd.DataFrame) -> Finding:
    sound = rows[~rows["diverged"]]
    judged = [
        humps(_wide(setting, curves))
        for _, setting in sound.groupby("level")
        if setting["seed"].nunique() > 1
    ]
    outcomes = pd.concat(judged) if judged else pd.Series(dtype=bool)
    missing, more = few_seeds(sound["seed"].nunique(), len(rows))
    if not missing and outcomes.empty:
        missing = f"no trial with CSR at {EPOCHS_NEEDED} epochs"
        return replace(_BLANK, panel=panel, part=part, missing=missing)
    if missing:
        return replace(_BLANK, panel=panel, part=part, n=len(outcomes), missing=missing, more_runs=more)
    seeds = sound.loc[outcomes.index, "seed"]
    detail = _trials.sentence(
        f"{outcomes.sum()} of {len(outcomes)} trials are higher in between than at both ends",
        _signs.in_words(outcomes, seeds),
        _trials.left_out(rows),
    )
    return _signs.sign(replace(_BLANK, panel=panel, part=part, detail=detail), outcomes, seeds, len(rows))


def _wide(setting: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Training CSR [trial, epoch] of a setting, NaN where a trial was not measured."""
    histories = _trials.histories(setting, curves, "csr_train")
    lines = {trial: pd.Series(values, epochs) for trial, (epochs, values) in histories.items()}
    return pd.DataFrame(lines).T.sort_index(axis=1)


def humps(csr: pd.DataFrame) -> pd.Series:
    """By trial of ``csr`` [trial, epoch]: whether it lies above both its ends where the others are highest."""
    outcomes = {}
    for trial, own in csr.iterrows():
        measured = own.dropna()
        others = csr.drop(index=trial)[measured.index].mean().dropna()
        if len(measured) >= EPOCHS_NEEDED and len(others):
            values = measured[others.index].to_numpy(dtype=float)
            ends = max(measured.iloc[0], measured.iloc[-1])
            outcomes[trial] = bool(values[others.to_numpy(dtype=float).argmax()] > ends)
    return pd.Series(outcomes, dtype=bool)
