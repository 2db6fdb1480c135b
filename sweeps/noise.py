"""How does noise show while a net learns: in accuracy, and in the complexity of what it has learned?

Run:    python -m sweeps.noise --scale smoke | laptop | laptop-cnn | paper | paper-cnn
Cost:   smoke 5 trials, laptop 55 trials in 4 minutes, laptop-cnn 25 trials in 4 minutes (2 CPU cores, measured
        2026-11-22 and 2026-11-27), paper 55 trials, paper-cnn 55 trials
Expect: Arpit et al. 2017, figures 7 to 9: on random labels validation accuracy peaks before training accuracy is
        high; the critical sample ratio (CSR) is higher the noisier the data, rises and then settles; that of
        training examples rises and then falls. Figure 2: a CNN's first filters become smooth on real images, whatever
        their labels. Krueger et al. 2017, figure 3: the noisier the data, the sharper the minimum.

Every kind of noise at every level, on one net. The CSR of clean validation examples and of training examples is measured
through training, at --csr-points epochs about evenly spaced in log(epoch), the last among them. The scales are an MLP
on MNIST, and with "-cnn" the paper's CNN on CIFAR-10.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from memory_study.config import TrialConfig
from memory_study.record import epoch_grid
from sweeps import _noise, _options
from sweeps._cli import main
from sweeps._flags import one, option, positive_whole_number


@dataclass(frozen=True, kw_only=True)
class Options(_noise.Options):
    """``csr_points`` makes the schedule, unless ``csr_epochs`` names the epochs."""

    csr_points: int = option(
        10,
        "epochs at which to measure the CSR, unless --csr-epochs names them",
        one(positive_whole_number),
        "N",
    )


_CNN: Mapping[str, object] = {
    "dataset": "cifar10", "crop": 28, "model": "cnn-keras", "batch_size": 128, "learning_rate": 0.01,
    "momentum": 0.9, "halving_epochs": 15, "validation_schedule": "curve",
    "measures": ("filters", "sharpness"),
}  # fmt: skip
SCALES: Mapping[str, Mapping[str, object]] = {
    "smoke": {
        "seeds": (0,), "levels": (0.0, 0.5, 1.0), "width": 32, "train_size": 200, "batch_size": 50,
        "learning_rate": 0.1, "momentum": 0.9, "epochs": 15, "csr_examples": 100, "csr_points": 5,
    },
    "laptop": {
        "seeds": (0, 1, 2, 3, 4), "dataset": "mnist", "width": 128, "train_size": 5000, "input_scaling": "unit",
        "learning_rate": 0.05, "momentum": 0.9, "epochs": 100, "validation_schedule": "curve",
        "validation_size": 2000, "csr_examples": 500, "measures": ("sharpness",),
    },
    "laptop-cnn": {
        **_CNN, "seeds": (0, 1, 2, 3, 4), "levels": (0.0, 0.5, 1.0), "width": 16, "train_size": 1000, "halving_epochs": 0,
        "batch_size": 50, "epochs": 30, "validation_size": 1000, "csr_examples": 200, "csr_points": 6,
    },
    "paper": {
        "seeds": (0, 1, 2, 3, 4), "dataset": "mnist", "width": 4096, "train_size": 50_000, "input_scaling": "unit",
        "learning_rate": 0.01, "epochs": 1000, "validation_schedule": "curve", "csr_examples": 10_000,
        "csr_points": 16, "measures": ("sharpness",),
    },
    "paper-cnn": {
        **_CNN, "seeds": (0, 1, 2, 3, 4), "width": 200, "train_size": 45_000, "epochs": 100,
        "csr_examples": 5_000, "csr_points": 12,
    },
}  # fmt: skip


def plan(options: Options) -> Iterator[TrialConfig]:
    """Every noise with every seed. Raises ConfigError."""
    epochs = options.shared.get("epochs", TrialConfig().epochs)
    schedule = options.shared.get("csr_epochs") or epoch_grid(epochs, options.csr_points)
    for setting in _noise.settings(options):
        for seed in options.seeds:
            yield options.trial(csr_epochs=schedule, seed=seed, **setting)


SWEEP = _options.Sweep(
    name="noise",
    header=__doc__,
    options=Options,
    scales=SCALES,
    plan=plan,
    varies=("corruption", "corruption_level", "seed"),
)

if __name__ == "__main__":
    sys.exit(main(SWEEP))
