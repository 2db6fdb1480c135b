"""Does noise need more capacity and more time to fit than patterns do?

Run:    python -m sweeps.capacity --scale smoke | laptop | paper
Cost:   smoke 15 trials, laptop 189 trials in 9 minutes (2 CPU cores, measured 2026-11-21), paper 550 trials
Expect: Arpit et al. 2017, figures 5 and 6: the noisier the data, the wider the net with the best validation
        accuracy; on noise, less capacity and more data slow convergence more than they do on real data.

Trials cross noise (kind x level) with two slices, as in the paper's figure 6: every width at one training set size, and
every size at one width. --full-grid crosses every width with every size. A trial that is not 100 % right on its
training set by the last epoch is censored there. --stop-at-convergence saves time where only the time to
convergence is asked; the best validation accuracy is then the best until that epoch. For a CNN the width is its
number of channels.

Sharpness is not measured here unless asked for. Its two eigenvalues take up to 200 Hessian-vector products over up to
50,000 examples, each with the arithmetic of about three epochs: at worst more than half of a training (22 products for a
trial of the sweep noise at width 128, measured).

    python -m sweeps.capacity --scale paper --measures sharpness
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memory_study.config import TrialConfig
from sweeps import _noise, _options
from sweeps._cli import main
from sweeps._flags import one, option, positive_whole_number, words_of


@dataclass(frozen=True, kw_only=True)
class Options(_noise.Options):
    """``fixed_train_size`` and ``fixed_width`` say where the two slices lie."""

    widths: tuple[int, ...] = option(
        (32, 64, 128), "units of each hidden layer, or channels", words_of(positive_whole_number), "N ..."
    )
    train_sizes: tuple[int, ...] = option(
        (500, 1000), "training examples", words_of(positive_whole_number), "N ..."
    )
    fixed_train_size: int = option(
        1000, "training examples of the trials that compare widths", one(positive_whole_number), "N"
    )
    fixed_width: int = option(
        128, "width of the trials that compare training set sizes", one(positive_whole_number), "N"
    )
    full_grid: bool = option(False, "cross every width with every training set size")


SCALES: Mapping[str, Mapping[str, object]] = {
    "smoke": {
        "seeds": (0,), "widths": (8, 32), "train_sizes": (100, 200), "fixed_train_size": 200, "fixed_width": 32,
        "levels": (0.0, 0.5, 1.0), "batch_size": 50, "learning_rate": 0.1, "momentum": 0.9, "epochs": 15,
        "csr_examples": 50,
    },
    "laptop": {
        "dataset": "mnist", "widths": (16, 32, 64, 128, 256), "train_sizes": (1250, 2500, 5000),
        "fixed_train_size": 5000, "fixed_width": 128, "levels": (0.0, 0.25, 0.5, 0.75, 1.0),
        "input_scaling": "unit", "learning_rate": 0.05, "momentum": 0.9, "epochs": 100,
        "validation_schedule": "curve", "validation_size": 2000, "csr_examples": 300,
    },
    "paper": {
        "seeds": (0, 1, 2, 3, 4), "dataset": "mnist", "widths": (256, 512, 1024, 2048, 4096, 8192),
        "train_sizes": (10_000, 20_000, 30_000, 40_000, 50_000), "fixed_train_size": 50_000, "fixed_width": 4096,
        "input_scaling": "unit", "learning_rate": 0.01, "epochs": 1000,
        "validation_schedule": "curve", "csr_examples": 10_000,
    },
}  # fmt: skip


def shapes(options: Options) -> list[tuple[int, int]]:
    """Pairs of a width and a training set size, each once: the grid, or its two slices."""
    if options.full_grid:
        return list(dict.fromkeys((w, n) for w in options.widths for n in options.train_sizes))
    by_width = [(width, options.fixed_train_size) for width in options.widths]
    by_size = [(options.fixed_width, size) for size in options.train_sizes]
    return list(dict.fromkeys(by_width + by_size))


def plan(options: Options) -> Iterator[TrialConfig]:
    """Every shape on every noise with every seed. Raises ConfigError."""
    for width, train_size in shapes(options):
        for setting in _noise.settings(options):
            for seed in options.seeds:
                yield options.trial(width=width, train_size=train_size, seed=seed, **setting)


SWEEP = _options.Sweep(
    name="capacity",
    header=__doc__,
    options=Options,
    scales=SCALES,
    plan=plan,
    varies=("width", "train_size", "corruption", "corruption_level", "seed"),
)

if __name__ == "__main__":
    sys.exit(main(SWEEP))
