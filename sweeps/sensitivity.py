"""Does the training loss depend on few examples in real data, and on all of them in noise?

Run:    python -m sweeps.sensitivity --scale smoke | laptop | paper
Cost:   smoke 5 trials, laptop 25 trials in 2 minutes (2 CPU cores, measured 2026-11-22), paper 50 trials
Expect: Arpit et al. 2017, figures 3 and 4: after 1000 steps the Gini coefficient of the examples' loss sensitivities is
        about .6 on real data and .2 on random inputs and on random labels; the loss of a class depends on examples of
        all classes in real data, on its own ones in noise.

The net of the paper: 2 hidden layers of 16 units on 1,000 digits averaged to 14x14 pixels. The sensitivity of the loss
after t steps to an example is measured through all steps before, at about log-spaced t (--sensitivity-points), and from
each class to each other (--sensitivity-class-points). With one class for each example (--classes example) there is
nothing to validate, and no random labels: the real ones are as arbitrary. "paper" trains ten times as long. Any data set and
MLP will do that fits into memory with all the weights that training passes: --dry-run says how much that is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memory_study.config import LABELS, TrialConfig
from sweeps import _noise, _options
from sweeps._cli import main
from sweeps._flags import known, number, option, words_of


@dataclass(frozen=True, kw_only=True)
class Options(_noise.Options):
    """All of the training set is random, or nothing."""

    levels: tuple[float, ...] = option(
        (0.0, 1.0), "shares of the training set that are corrupted", words_of(number), "X ..."
    )
    classes: tuple[str, ...] = option(
        LABELS,
        "those of the data set (data), one for each training example (example)",
        words_of(known(*LABELS)),
        "...",
    )


_NET: Mapping[str, object] = {
    "measures": ("loss_sensitivity",), "dtype": "float64", "width": 16, "depth": 2, "learning_rate": 0.1,
    "csr_examples": 0, "validation_schedule": "curve",
}  # fmt: skip
_DIGITS: Mapping[str, object] = {
    **_NET, "dataset": "mnist", "image_size": 14, "train_size": 1000, "batch_size": 100,
    "validation_size": 2000,
}  # fmt: skip
SCALES: Mapping[str, Mapping[str, object]] = {
    "smoke": {
        **_NET, "seeds": (0,), "train_size": 100, "batch_size": 20, "epochs": 10, "sensitivity_points": 16,
        "sensitivity_class_points": 4,
    },
    "laptop": {
        **_DIGITS, "seeds": tuple(range(5)), "epochs": 100, "sensitivity_points": 20, "sensitivity_class_points": 4,
    },
    "paper": {**_DIGITS, "seeds": tuple(range(10)), "epochs": 1000},
}  # fmt: skip


def plan(options: Options) -> Iterator[TrialConfig]:
    """Every kind of classes on every noise with every seed. Raises ConfigError."""
    for labels in options.classes:
        for setting in _noise.settings(options):
            if labels == "example" and setting["corruption"] == "randY":
                continue
            for seed in options.seeds:
                yield options.trial(labels=labels, seed=seed, **setting)


SWEEP = _options.Sweep(
    name="sensitivity",
    header=__doc__,
    options=Options,
    scales=SCALES,
    plan=plan,
    varies=("labels", "corruption", "corruption_level", "seed"),
)

if __name__ == "__main__":
    sys.exit(main(SWEEP))
