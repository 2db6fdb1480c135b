"""The sign test of trials that share seeds, as claims of the form "most trials do this" test it."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from analysis._power import units_for_sign
from analysis._statistics import Estimate, sign_test
from analysis.claims._finding import Finding, runs_for


def sign(blank: Finding, outcomes: pd.Series, seeds: pd.Series, runs: int) -> Finding:
    """Whether most trials have a true outcome: ``blank`` with effect, interval, p, seeds and further runs.

    ``outcomes``: booleans by trial, ties left out; ``seeds`` of the same trials; ``runs`` that they took, with those left
    out. Effect: the share of true outcomes, less one half. p and interval: see :func:`over_trials_and_seeds`. Further runs
    are those for as many seeds as both tests need, of as many trials each.
    """
    votes = votes_of(outcomes, seeds)
    effect, low, high, p = over_trials_and_seeds(outcomes, votes)

    def more_runs(alpha: float) -> int | None:
        trials, voters = (units_for_sign(float(each.mean()), alpha) for each in (outcomes, votes))
        if trials is None or voters is None:
            return None
        needed = max(voters, math.ceil(trials * len(votes) / len(outcomes)))
        return runs_for(needed, len(votes), runs)

    return replace(
        blank,
        effect=effect,
        low=low,
        high=high,
        p=p,
        n=len(outcomes),
        seeds=seeds.nunique(),
        more_runs=more_runs,
    )


def votes_of(outcomes: pd.Series, seeds: pd.Series) -> pd.Series:
    """By seed, whether most of its ``outcomes``, booleans by trial, are true; without those that are of two minds."""
    balance = (2 * outcomes.astype(int) - 1).groupby(seeds).sum()
    return balance[balance != 0] > 0


def over_trials_and_seeds(outcomes: pd.Series, votes: pd.Series) -> Estimate:
    """Sign test of ``outcomes`` by trial, no surer than that of the ``votes`` by seed. NaN of no trial.

    One test takes all trials for independent, the other only seeds, whose trials share initial weights and false labels.
    p is the larger of theirs, or 1 where they point in opposite directions or no seed votes. The interval holds both of
    Clopper and Pearson's, so that it excludes 0 exactly where p < .05.
    """
    of_trials = sign_test(int(outcomes.sum()), len(outcomes))
    of_seeds = sign_test(int(votes.sum()), len(votes)) if len(votes) else Estimate(0.0, -0.5, 0.5, 1.0)
    opposed = of_trials.effect * of_seeds.effect < 0
    return Estimate(
        of_trials.effect,
        min(of_trials.low, of_seeds.low),
        max(of_trials.high, of_seeds.high),
        1.0 if opposed else max(of_trials.p, of_seeds.p),
    )


def in_words(outcomes: pd.Series, seeds: pd.Series) -> str:
    """``so do most trials in 4 of 5 seeds``, of the seeds that are not of two minds."""
    votes = votes_of(outcomes, seeds)
    return f"so do most trials in {int(votes.sum())} of {len(votes)} seeds"
