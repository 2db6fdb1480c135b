"""What share of a trial's time do evaluation and critical samples take, and what does asking the hardest examples save?

Run:    python -m benchmarks.evaluation [--dataset mnist --data-dir DIR] [--quick]
Cost:   6 minutes on MNIST, half a minute on digits, one CPU core (measured 2026-11-21)
Expect: the table in docs/performance.md; the records of all three ways hold the same training and convergence

One cohort (an MLP on real data and on both kinds of noise) is trained three ways: with a pass over the whole training and
validation set after every epoch; asking the hardest examples first (what sweeps do); and, besides, validating a part of
the validation set at the epochs of the curves only, as ``sweeps.noise --scale laptop`` does. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from memory_study import datasets
from memory_study._measuring import Measuring
from memory_study.cohort import Cohort
from memory_study.record import Record
from memory_study.run import run_cohort
from sweeps import noise
from sweeps._options import resolve

EVERY_EPOCH, HARDEST_FIRST, SCHEDULED = "every epoch", "hardest first", "and validation on a schedule"


def cohorts(dataset: str, quick: bool) -> dict[str, Cohort]:
    """The noise sweep's laptop trials of one seed, by the way that they are evaluated."""
    small = {"train_size": 1000, "batch_size": 50, "validation_size": 100} if dataset == "digits" else {}
    few = {"epochs": 12, "csr_examples": 50, "levels": (0.0, 1.0)} if quick else {}
    options = resolve(noise.SWEEP, {"scale": "laptop", "dataset": dataset, "seeds": (0,), **small, **few})
    scheduled = tuple(noise.plan(options))
    often = tuple(replace(c, validation_schedule="every-epoch", validation_size=0) for c in scheduled)
    return {EVERY_EPOCH: Cohort(often), HARDEST_FIRST: Cohort(often), SCHEDULED: Cohort(scheduled)}


def trained(way: str, cohort: Cohort, location: Path) -> list[Record]:
    """The records, evaluated that way."""
    if way != EVERY_EPOCH:
        return run_cohort(cohort, location=location)
    with mock.patch.object(
        Measuring, "candidates", lambda self, nets, histories: list(range(len(histories)))
    ):
        return run_cohort(cohort, location=location)


def shares(records: Sequence[Record]) -> tuple[float, float, float]:
    """Seconds in all, and the shares of evaluation and of critical samples."""
    names = ("seconds", "evaluation_seconds", "critical_sample_seconds")
    training, evaluation, critical = (sum(r.scalars[name] for r in records) for name in names)
    total = training + evaluation + critical
    return total, evaluation / total, critical / total


def agree(one: Sequence[Record], other: Sequence[Record]) -> bool:
    """Whether the trials learned and converged alike, to the last bit."""
    scalars = ("converged", "convergence_epoch", "converged_999", "convergence_epoch_999", "test_accuracy")
    return all(
        a.curves["train_loss"] == b.curves["train_loss"]
        and all(a.scalars[name] == b.scalars[name] for name in scalars)
        for a, b in zip(one, other, strict=True)
    )


def main(arguments: Sequence[str]) -> int:
    """Train all three ways. Returns 1 where they do not agree, 2 for bad arguments (argparse's)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation")
    parser.add_argument("--dataset", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    datasets.prepare(options.dataset, options.data_dir, 0)
    location = datasets.location(options.dataset, options.data_dir)
    results = {way: trained(way, c, location) for way, c in cohorts(options.dataset, options.quick).items()}
    for way, records in results.items():
        seconds, evaluation, critical = shares(records)
        print(f"{way:28} {seconds:7.1f} s, evaluation {evaluation:.1%}, critical samples {critical:.1%}")
    print(json.dumps({way: round(sum(shares(records)[1:]), 3) for way, records in results.items()}))
    return 0 if all(agree(results[EVERY_EPOCH], records) for records in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
