"""Claim C12: regularizers differ in capping noise at no cost on real data; dropout is best (Arpit et al. 2017, figure 10)

The cost is the clean accuracy lost where the fitting of random labels is capped at 50 %. Declared before looking:

- A regularizer's settings are its strengths on the sweep's grid and the control. No interpolation between
  them.
- For each seed in turn, the *other* seeds choose: among settings whose mean randY training accuracy is at
  most the cap, the one with the highest mean validation accuracy on real data. The seed left out says what
  was lost: the control's best validation accuracy minus the chosen setting's. So no number that chose a
  setting also judges it, and a regularizer with more settings gains nothing by luck. The loss is the mean
  over seeds.
- Effect: the range of the losses, worst minus best regularizer, in points. Smallest that would matter: half a
  point. Interval: Student's t over the seeds' own ranges (seeds are common random numbers, so it is paired; the
  bootstrap declared first covers 76 % with 3 seeds). p: permutation test of that range, 2,000 shuffles of the
  regularizers within each seed, because the data chose which two to compare.
- Besides, for support: the interval lies above 0, and dropout or adversarial + dropout is the best, or surely no
  more than a margin of half a point behind it (upper end of the 95 % interval of the difference). Surely behind
  (that interval above 0): not supported. Where neither is sure: not enough data. Below 3 seeds or 2 regularizers
  likewise. (The margin came after a first look at the digits sweep, whose verdict it turned from supported to
  not enough data.)
- The seeds' losses share most of the seeds that chose, so they are not quite independent and the intervals of
  few seeds somewhat too short.
- A regularizer that the other seeds never see at or below the cap is listed as not reaching it, and not
  compared.
- The claim is about the kinds that the paper compares, so only these are tested, on the seeds that they have. What
  others lose is computed in the same way and listed after them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis import _frames, _settings
from analysis._power import units_by_scaling, units_for_t
from analysis._statistics import Floats, permutation_p_of_range, t_test
from analysis.claims._finding import SEEDS_NEEDED, Finding, few_seeds, no_number, runs_for

ID = "C12"
SWEEP = "regularization"
COLUMNS = (*_settings.COLUMNS, "train_accuracy", "best_validation_accuracy")
CURVES: tuple[str, ...] = ()
TEST = "permutation of the losses' range"
CAP = 0.5
MARGIN = 0.005
OF_THE_PAPER = (
    "adversarial + dropout", "dropout", "hidden_noise", "input_dropout", "input_noise", "weight_decay",
)  # fmt: skip
"""The regularizers of figure 10."""
FAVOURED = ("dropout", "adversarial + dropout")
_VALUES = {"real": "best_validation_accuracy", "randY": "train_accuracy"}
_BLANK = Finding(claim=ID, test=TEST, unit="points of clean accuracy", margin=100 * MARGIN)


@dataclass(frozen=True, slots=True)
class Capped:
    """Losses in one panel: ``losses`` [regularizer, seed], fractions; ``beyond``: those never at the cap."""

    panel: str
    regularizers: tuple[str, ...]
    losses: Floats
    beyond: tuple[str, ...]

    @property
    def seeds(self) -> int:
        """Seeds that judged every regularizer."""
        return int(self.losses.shape[1])

    def interval(self, values: Floats) -> tuple[float, float]:
        """95 % interval of the mean of ``values`` [seed]."""
        _, low, high, _ = t_test(np.round(values, 9))  # equal accuracies, subtracted, differ in the last bit
        return low, high


def losses_by_regularizer(trials: pd.DataFrame) -> pd.DataFrame:
    """By panel and regularizer: ``loss``, ``loss_low``, ``loss_high``, ``loss_seeds``. Of labelled trials."""
    rows = [
        (result.panel, kind, values.mean(), *result.interval(values), result.seeds)
        for result in (*_results(trials), *_results(trials, of_the_paper=False))
        for kind, values in zip(result.regularizers, result.losses, strict=True)
        if result.seeds >= SEEDS_NEEDED
    ]
    names = ["panel", "regularizer", "loss", "loss_low", "loss_high", "loss_seeds"]
    return pd.DataFrame(rows, columns=names).set_index(["panel", "regularizer"])


def findings(trials: pd.DataFrame, curves: pd.DataFrame) -> list[Finding]:
    """One for each panel."""
    labelled = _settings.labelled(_frames.with_columns(trials, COLUMNS))
    own = labelled["regularizer"].isin([_frames.CONTROL, *OF_THE_PAPER])
    runs = own.groupby(labelled["panel"]).sum()
    results = zip(_results(labelled), _results(labelled, of_the_paper=False), strict=True)
    return [_finding(result, int(runs[result.panel]), others) for result, others in results] or [
        replace(_BLANK, missing="no finished trials")
    ]


def outcomes(trials: pd.DataFrame) -> dict[str, str]:
    """For each panel, what a figure says of this test, which knows of no other claims. Of labelled trials."""
    texts = {}
    for result in _results(trials):
        found = _finding(result, 1)
        said = found.missing or (
            f"worst and best differ by {found.effect:.1f} points [{found.low:.1f}, {found.high:.1f}], p = "
            f"{found.p:.2g} uncorrected"
        )
        texts[result.panel] = f"{ID}: {said}"
    return texts


def _results(trials: pd.DataFrame, of_the_paper: bool = True) -> list[Capped]:
    """For each panel the losses of the paper's regularizers, or of all others."""
    kind_of = trials.drop_duplicates("regularizers").set_index("regularizers")["regularizer"].to_dict()
    results = []
    for panel, settings, values in _settings.seed_matrices(trials, _VALUES):
        kinds = np.array([str(kind_of[setting]) for setting in settings])
        own = (kinds == _frames.CONTROL) | (np.isin(kinds, OF_THE_PAPER) == of_the_paper)
        results.append(_held_out(panel, list(kinds[own]), values["real"][own], values["randY"][own]))
    return results


def _held_out(panel: str, kinds: list[str], real: Floats, random: Floats) -> Capped:
    """Choose on all seeds but one, judge on that one. ``kinds`` [setting], the accuracies [setting, seed]."""
    kind = np.array(kinds)
    control = kind == _frames.CONTROL
    others = sorted(set(kinds) - {_frames.CONTROL})
    if not control.any():
        return Capped(panel, (), np.empty((0, 0)), ())
    real, random = real[:, np.isfinite(real[control][0])], random[:, np.isfinite(real[control][0])]
    losses = np.full((len(others), real.shape[1]), np.nan)
    reached = np.ones(len(others), dtype=bool)
    for seed in range(real.shape[1]):
        real_mean = _mean(np.delete(real, seed, axis=1))
        capped = _mean(np.delete(random, seed, axis=1)) <= CAP
        for place, name in enumerate(others):
            allowed = ((kind == name) | control) & capped & np.isfinite(real_mean)
            reached[place] &= allowed.any()
            if allowed.any():
                chosen = np.argmax(np.where(allowed, real_mean, -np.inf))
                losses[place, seed] = real[control, seed][0] - real[chosen, seed]
    compared = losses[reached]
    return Capped(
        panel,
        tuple(name for name, reaches in zip(others, reached, strict=True) if reaches),
        compared[:, np.isfinite(compared).all(axis=0)],
        tuple(name for name, reaches in zip(others, reached, strict=True) if not reaches),
    )


def _mean(values: Floats) -> Floats:
    """Mean over seeds of [setting, seed], NaN where no seed is there."""
    present = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(present, values, 0).sum(axis=1) / present.sum(axis=1)
    return mean


def _finding(result: Capped, runs: int, others: Capped | None = None) -> Finding:
    missing, more = few_seeds(result.seeds, runs) if result.regularizers else ("", no_number)
    if len(result.regularizers) < 2:
        kinds = _frames.counted(len(result.regularizers), "regularizer")
        missing, more = f"{kinds} at the {CAP:.0%} cap, needs 2 and the control", no_number
    shared = replace(_BLANK, panel=result.panel, n=result.seeds)
    if missing:
        return replace(
            shared, missing=missing, more_runs=more, detail=_joined(_unreached(result), _besides(others))
        )
    order = np.argsort(result.losses.mean(axis=1), kind="stable")
    best, worst = order[0], order[-1]
    span = result.losses[worst] - result.losses[best]
    effect, (low, high) = float(span.mean()), result.interval(span)
    p = permutation_p_of_range(result.losses, "C12 permutation")
    against, undecided, seeds_to_tell = _favoured(result, int(best))

    def more_runs(alpha: float) -> int | None:
        seeds = units_by_scaling(result.seeds, effect, p, alpha)
        return runs_for(max(seeds, seeds_to_tell), result.seeds, runs) if seeds else None

    return replace(
        shared, effect=100 * effect, low=100 * low, high=100 * high, p=p, against=against,
        undecided="" if high < MARGIN else undecided or ("" if low > 0 else "the regularizers cannot be told apart"),
        more_runs=more_runs,
        detail=_joined(f"{_detail(result)} of clean accuracy at the {CAP:.0%} cap", _unreached(result), _besides(others)),
    )  # fmt: skip


def _favoured(result: Capped, best: int) -> tuple[str, str, int]:
    """What speaks against dropout, what leaves it open, and how many seeds would tell it from the best."""
    behind = [
        result.losses[place] - result.losses[best]
        for place, name in enumerate(result.regularizers)
        if name in FAVOURED
    ]
    intervals = [result.interval(values) for values in behind]
    if result.regularizers[best] in FAVOURED or any(high <= MARGIN for _, high in intervals):
        return "", "", 0
    if all(low > 0 for low, _ in intervals):
        return "dropout is not among the best", "", 0
    seeds = [_seeds_to_tell(values) for values in behind]
    return "", "dropout cannot be told from the best", min(seeds)


def _seeds_to_tell(behind: Floats) -> int:
    """Seeds at which an interval of this mean and spread excludes 0, or all beyond the margin."""
    mean = float(behind.mean())
    return units_for_t(max(mean, MARGIN - mean), float(behind.std(ddof=1)), 0.05) or 0


def _detail(result: Capped) -> str:
    """The losses, smallest first."""
    parts = []
    for place in np.argsort(result.losses.mean(axis=1), kind="stable"):
        low, high = result.interval(result.losses[place])
        loss = result.losses[place].mean()
        name = _frames.pretty(result.regularizers[place])
        parts.append(f"{name} loses {100 * loss:.1f} points [{100 * low:.1f}, {100 * high:.1f}]")
    return ", ".join(parts)


def _besides(others: Capped | None) -> str:
    """What the paper did not compare, if there is any: losses that no test looks at."""
    if others is None or not (others.regularizers or others.beyond):
        return ""
    judged = others.seeds >= SEEDS_NEEDED and others.regularizers
    losses = _detail(others) if judged else "too few seeds" if others.regularizers else ""
    return f"beyond the paper: {_joined(losses, _unreached(others))}"


def _unreached(result: Capped) -> str:
    return f"not reaching the cap: {', '.join(map(_frames.pretty, result.beyond))}" if result.beyond else ""


def _joined(*parts: str) -> str:
    """Those that say something."""
    return "; ".join(filter(None, parts))
