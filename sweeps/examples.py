"""Are some training examples hard for every net, in real data and in noise?

Run:    python -m sweeps.examples --scale smoke | laptop | paper
Cost:   smoke 60 trials, laptop 300 trials in 73 seconds (2 CPU cores, measured 2026-11-22), paper 300 trials
Expect: Arpit et al. 2017, figure 1: after one epoch some real examples are wrong under nearly all of 100 initial weights
        and orders of the examples and most under none; on random inputs every example is wrong about as often as any
        other (a binomial count), and random labels lie in between.

A trial is one seed: its initial weights and the order of its examples. Which examples of the training set the net has
right after the last epoch is kept for the first --measured-examples, as the array train_right. Noise is of level 1, and
one noisy data set for all seeds, that of --corruption-seed: an example must be the same thing for every net.

The paper says MLP, one epoch, 100 nets. Not the learning rate and batch, for which "paper" takes those of its other
MLPs; "laptop" goes faster, for its nets are narrow and take fewer steps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memory_study.config import TrialConfig
from sweeps import _options
from sweeps._cli import main
from sweeps._flags import one, option, whole_number

KINDS = ("none", "randX", "randY")


@dataclass(frozen=True, kw_only=True)
class Options(_options.Options):
    """The noise's seed is none of the trials', so that its trials differ in their seeds alone."""

    corruption_seed: int = option(
        1_000_000, "seed of the noisy data sets, the same for all trials", one(whole_number), "N"
    )


_ONCE: Mapping[str, object] = {"epochs": 1, "measures": ("training_examples",), "csr_examples": 0}
SCALES: Mapping[str, Mapping[str, object]] = {
    "smoke": {
        **_ONCE, "seeds": tuple(range(20)), "width": 32, "train_size": 400, "batch_size": 20,
        "learning_rate": 0.1, "momentum": 0.9, "measured_examples": 200,
    },
    "laptop": {
        **_ONCE, "seeds": tuple(range(100)), "dataset": "mnist", "width": 128, "train_size": 20_000,
        "input_scaling": "unit", "learning_rate": 0.05, "momentum": 0.9, "validation_size": 2000,
    },
    "paper": {
        **_ONCE, "seeds": tuple(range(100)), "dataset": "mnist", "width": 4096, "train_size": 50_000,
        "input_scaling": "unit", "learning_rate": 0.01,
    },
}  # fmt: skip


def plan(options: Options) -> Iterator[TrialConfig]:
    """Every kind of data with every seed. Raises ConfigError."""
    for kind in KINDS:
        for seed in options.seeds:
            yield options.trial(
                corruption=kind, corruption_level=float(kind != "none"),
                corruption_seed=options.corruption_seed, seed=seed,
            )  # fmt: skip


SWEEP = _options.Sweep(
    name="examples",
    header=__doc__,
    options=Options,
    scales=SCALES,
    plan=plan,
    varies=("corruption", "corruption_level", "corruption_seed", "seed"),
)

if __name__ == "__main__":
    sys.exit(main(SWEEP))
