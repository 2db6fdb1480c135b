"""Rewrite golden_ids.json from today's code: ``python tests/memory_study/rewrite_golden_ids.py``.

Do it only after a change that is meant to give old configs new ids, and say in the commit why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memory_study.config import TrialConfig

FILE = Path(__file__).with_name("golden_ids.json")

CONFIGS: dict[str, dict[str, Any]] = {
    "all defaults": {},
    "another seed": {"seed": 3},
    "dropout": {"regularizers": (("dropout", 0.5),)},
    "dropout with adversarial training": {"regularizers": (("dropout", 0.1), ("adversarial", 0.2))},
    "random labels": {"corruption": "randY", "corruption_level": 1.0},
    "some random inputs": {"corruption": "randX", "corruption_level": 0.4, "seed": 1},
    "the paper's CNN": {
        "dataset": "cifar10", "crop": 28, "train_size": 45_000, "model": "cnn-keras", "width": 200, "momentum": 0.9,
        "halving_epochs": 15, "epochs": 100,
    },
    "the paper's MLP": {"dataset": "mnist", "train_size": 50_000, "width": 4096, "epochs": 1000, "input_scaling": "unit"},
    "a folder data set": {"dataset": "folder:pictures", "dataset_digest": "0123456789abcdef", "image_size": 32},
    "critical samples through training": {"csr_epochs": (1, 2, 4, 8), "csr_examples": 500},
    "double precision, stopped at convergence": {"dtype": "float64", "stop_at_convergence": True},
}  # fmt: skip


def ids() -> dict[str, str]:
    """Today's id of each config."""
    return {name: TrialConfig(**fields).id for name, fields in CONFIGS.items()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(ids(), indent=2) + "\n")
