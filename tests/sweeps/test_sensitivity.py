from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from memory_study.config import TrialConfig
from sweeps import sensitivity
from sweeps._cost import CPU, GIB, replica_bytes, trial_flops
from sweeps._flags import InputError, parse_arguments
from sweeps._options import resolve
from sweeps._pack import Facts, Machine, pack
from sweeps._plan import distinct

DIGITS = Facts((1, 14, 14), 10, 10_000, 10_000)


def planned(**given: object) -> tuple[TrialConfig, ...]:
    return distinct(sensitivity.SWEEP.plan(resolve(sensitivity.SWEEP, {"scale": "paper", **given})))


def test_with_a_class_for_each_example_labels_are_arbitrary_already() -> None:
    kinds = Counter((trial.labels, trial.corruption) for trial in planned(seeds=(0, 1)))
    data = {("data", kind): 2 for kind in ("none", "randX", "randY")}
    assert kinds == data | {("example", "none"): 2, ("example", "randX"): 2}


def test_classes_that_are_not_known_are_a_line() -> None:
    _, problems = parse_arguments(sensitivity.SWEEP.flags(), ["--classes", "own"], "sensitivity", "")
    assert problems == ["--classes 'own' is not known; choose from data, example"]


def test_training_that_cannot_be_unrolled_is_refused_before_anything_starts() -> None:
    with pytest.raises(InputError, match="use --dtype float64"):
        planned(dtype="float32")


def test_cohorts_hold_no_more_trajectories_than_fit_into_memory() -> None:
    trials = [trial for trial in planned() if trial.labels == "example"]
    one = replica_bytes(trials[0], DIGITS.image, DIGITS.classes)
    assert 1.5 * GIB < one < 1.7 * GIB  # 10,001 times 20,744 weights are 1.55 GiB
    tasks = pack(trials, Machine(replace(CPU, memory_bytes=16 * GIB), 2), lambda trial: DIGITS)
    assert max(len(task.cohort.configs) for task in tasks) == 5
    assert all(task.memory_bytes < 8 * GIB for task in tasks)
    with pytest.raises(ValueError, match="one trial of mlp at width 16 needs about"):
        pack(trials, Machine(replace(CPU, memory_bytes=GIB), 2), lambda trial: DIGITS)


def test_the_cost_grows_with_the_steps_that_are_unrolled() -> None:
    def flops(**fields: object) -> float:
        (trial,) = planned(seeds=(0,), classes=("data",), levels=(0.0,), **fields)
        return trial_flops(trial, DIGITS.image, DIGITS.classes, 0)

    assert flops() > 2 * flops(measures=("loss_sensitivity",), sensitivity_class_points=1)
    assert flops() > 30 * flops(measures=())
