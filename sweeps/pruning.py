"""Does dropping training examples by their loss sensitivity help, and which ones: the lowest or the highest?

Run:    python -m sweeps.pruning --scale smoke | laptop | paper
Cost:   smoke 24 trials, laptop 340 trials in 4 minutes (2 CPU cores, measured
        2026-11-22), paper 340 trials, whose cohorts need about 32 GiB (estimate; 22 of it are all the weights that
        one first training passes, which the loss sensitivity holds; with other scores 2)
Expect: a question that Arpit et al. 2017 leave open. Examples with false labels should have high scores, so that dropping
        the highest helps where there are some; on clean data high scores should mark the examples worth keeping, where
        enough are left. What to beat is dropping by lot, and scores that cost less than the loss sensitivity.

A first training of --scoring-epochs on all examples scores each of them (memory_study/scores); then the net is trained
again from the same initial weights without the share with the lowest or the highest scores. Every score at every end
and share, on clean data and with --false-labels, and no example dropped. The number of epochs is the same for all, so
fewer examples are fewer steps: that too is what dropping by lot is to compare with. The share of false labels is that of
labels drawn anew, one in ten of which is the true one by chance. (Seed 0 is not among those of "laptop": its accuracies
were seen while the scale was chosen, before C16 was declared.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memory_study import scores
from memory_study.config import ENDS, ConfigError, TrialConfig
from sweeps import _options
from sweeps._cli import main
from sweeps._flags import known, number, one, option, positive_whole_number, words_of


@dataclass(frozen=True, kw_only=True)
class Options(_options.Options):
    """Scores, ends and shares are crossed; dropping by lot has no ends."""

    scores: tuple[str, ...] = option(
        scores.names(), "scores to drop examples by", words_of(known(*scores.names())), "NAME ..."
    )
    ends: tuple[str, ...] = option(
        ENDS, "drop the lowest (low) or the highest (high)", words_of(known(*ENDS)), "END ..."
    )
    shares: tuple[float, ...] = option(
        (0.2, 0.4, 0.6), "shares of the training examples to drop", words_of(number), "X ..."
    )
    false_labels: float = option(
        0.2, "share of labels that are drawn anew, in half of the trials", one(number), "X"
    )
    scoring_epochs: int = option(
        8, "epochs of the first training, which scores the examples", one(positive_whole_number), "N"
    )


SCALES: Mapping[str, Mapping[str, object]] = {
    "smoke": {
        "seeds": (0,), "shares": (0.3,), "width": 32, "train_size": 200, "batch_size": 50, "learning_rate": 0.1,
        "momentum": 0.9, "epochs": 15, "scoring_epochs": 4, "sensitivity_points": 4, "csr_examples": 20,
    },
    "laptop": {
        "seeds": (1, 2, 3, 4, 5), "dataset": "mnist", "width": 128, "train_size": 2000, "batch_size": 64,
        "input_scaling": "unit", "learning_rate": 0.05, "momentum": 0.9, "epochs": 50, "sensitivity_points": 8,
        "validation_schedule": "curve", "validation_size": 1000, "csr_examples": 0,
    },
    "paper": {
        "seeds": (0, 1, 2, 3, 4), "dataset": "mnist", "width": 1024, "train_size": 50_000, "input_scaling": "unit",
        "learning_rate": 0.01, "momentum": 0.9, "epochs": 100, "sensitivity_points": 8,
        "validation_schedule": "curve", "csr_examples": 0,
    },
}  # fmt: skip


def plan(options: Options) -> Iterator[TrialConfig]:
    """Every way to drop examples, on clean and on partly false labels, with every seed. Raises ConfigError."""
    wrong = [share for share in options.shares if not 0 < share < 1]
    if wrong:
        raise ConfigError(
            [f"--shares {share:g} is not a share to drop; use 0 < share < 1" for share in wrong]
        )
    dropping = [
        {"pruning_score": score, "pruned_end": end, "pruned_share": share}
        for share in options.shares
        for score in options.scores
        for end in options.ends
    ]
    for level in (0.0, options.false_labels):
        for way in ({}, *dropping):
            for seed in options.seeds:
                yield options.trial(
                    corruption="randY",
                    corruption_level=level,
                    scoring_epochs=options.scoring_epochs,
                    seed=seed,
                    **way,
                )


SWEEP = _options.Sweep(
    name="pruning",
    header=__doc__,
    options=Options,
    scales=SCALES,
    plan=plan,
    varies=(
        "corruption", "corruption_level", "pruning_score", "pruned_end", "pruned_share", "scoring_epochs", "seed",
    ),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(SWEEP))
