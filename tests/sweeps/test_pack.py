from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_study.config import TrialConfig
from sweeps._checkpoints import Kept
from sweeps._cost import CPU, DEVICES, GPU_CONTEXT_BYTES, Device, step_factor
from sweeps._pack import FRACTIONS, LEAST_ON_CPU, LONG_SECONDS, MOST_ON_CPU, Facts, Machine, bytes_of, pack

DIGITS = Facts((1, 8, 8), 10, 360, 360)
COLOUR = Facts((3, 32, 32), 10, 5000, 10_000)


def facts(config: TrialConfig) -> Facts:
    return COLOUR if config.model != "mlp" else DIGITS


CONFIGS = st.builds(
    TrialConfig,
    seed=st.integers(0, 40),
    width=st.sampled_from([32, 128, 1024]),
    model=st.sampled_from(["mlp", "mlp", "mlp", "cnn-keras"]),
    epochs=st.sampled_from([5, 60]),
    learning_rate=st.sampled_from([0.1, 0.01]),
    regularizers=st.sampled_from(
        [(), (("dropout", 0.5),), (("sam", 0.1),), (("adversarial", 0.2), ("dropout", 0.1))]
    ),
)
PLANS = st.lists(CONFIGS, min_size=1, max_size=80, unique_by=lambda c: c.id)
MACHINES = st.builds(
    Machine, st.sampled_from(list(DEVICES.values())), st.integers(1, 16), st.sampled_from([1.0, 2.0, 8.0])
)
MOST = st.none() | st.integers(1, 10)


def narrow(count: int, width: int = 128) -> list[TrialConfig]:
    return [TrialConfig(seed=seed, width=width, batch_size=50) for seed in range(count)]


@settings(max_examples=60, deadline=None)
@given(PLANS, MACHINES, MOST)
def test_packing_loses_and_repeats_nothing(
    plan: list[TrialConfig], machine: Machine, most: int | None
) -> None:
    tasks = pack(plan, machine, facts, most)
    assert Counter(c.id for t in tasks for c in t.cohort.configs) == Counter(c.id for c in plan)
    assert most is None or all(len(t.cohort.configs) <= most for t in tasks)


@settings(max_examples=60, deadline=None)
@given(PLANS, MACHINES, MOST)
def test_only_compatible_trials_stack(plan: list[TrialConfig], machine: Machine, most: int | None) -> None:
    for task in pack(plan, machine, facts, most):
        assert len({c.shared for c in task.cohort.configs}) == 1
        assert len({step_factor(c) for c in task.cohort.configs}) == 1


@settings(max_examples=60, deadline=None)
@given(PLANS, MACHINES, MOST)
def test_tasks_fit_their_share_of_the_device(
    plan: list[TrialConfig], machine: Machine, most: int | None
) -> None:
    for task in pack(plan, machine, facts, most):
        if machine.device.is_gpu:
            assert task.gpu in FRACTIONS
            assert task.memory_bytes + GPU_CONTEXT_BYTES <= task.gpu * machine.device.memory_bytes
            assert round(1 / task.gpu) * task.cpu <= max(machine.cpus_per_gpu, 0.01 / task.gpu) + 1e-9
        else:
            assert (task.gpu, task.cpu) == (0, 1)


@settings(max_examples=30, deadline=None)
@given(PLANS, MACHINES, MOST, st.randoms())
def test_packing_is_a_function_of_the_set_of_cohorts(
    plan: list[TrialConfig], machine: Machine, most: int | None, random: object
) -> None:
    assert pack(plan, machine, facts, most) == pack(list(plan), machine, facts, most)


@settings(max_examples=60, deadline=None)
@given(PLANS, MACHINES)
def test_no_slot_is_idle_while_there_are_trials_for_it(plan: list[TrialConfig], machine: Machine) -> None:
    assert len(pack(plan, machine, facts)) >= min(machine.slots, len(plan))


def test_the_longest_tasks_come_first() -> None:
    seconds = [t.seconds for t in pack(narrow(30) + narrow(5, 1024), Machine(CPU, 2), facts)]
    assert seconds == sorted(seconds, reverse=True)


def test_narrow_nets_stack_and_wide_ones_do_not_on_a_cpu() -> None:
    sizes = {
        width: max(len(t.cohort.configs) for t in pack(narrow(64, width), Machine(CPU, 1), facts))
        for width in (64, 128, 256, 1024)
    }
    assert LEAST_ON_CPU <= sizes[128] <= sizes[64] <= MOST_ON_CPU
    assert 1 < sizes[256] <= sizes[128]
    assert sizes[1024] == 1


def test_convolutions_train_alone_on_a_cpu() -> None:
    plan = [TrialConfig(model="cnn-keras", width=8, seed=seed) for seed in range(5)]
    assert [len(t.cohort.configs) for t in pack(plan, Machine(CPU, 2), facts)] == [1] * 5


def test_cohorts_of_a_plan_cost_about_the_same() -> None:
    cheap = narrow(200)
    dear = [
        TrialConfig(seed=s, batch_size=50, regularizers=(("adversarial", w),))
        for s, w in itertools.product(range(20), (0.2, 0.5))
    ]
    tasks = pack(cheap + dear, Machine(CPU, 2), facts)
    assert tasks[0].seconds < sum(t.seconds for t in tasks) / 2 / 3


def test_trials_of_one_seed_and_kind_are_neighbours() -> None:
    plan = [
        TrialConfig(seed=s, regularizers=((kind, x),), batch_size=50)
        for x in (0.1, 0.2, 0.3, 0.4)
        for s in range(4)
        for kind in ("dropout", "input_dropout")
    ]
    for task in pack(plan, Machine(CPU, 4), facts):
        assert len({tuple(kind for kind, _ in c.regularizers) for c in task.cohort.configs}) == 1


def test_small_cohorts_share_a_gpu() -> None:
    tasks = pack(narrow(256), Machine(DEVICES["H100"], 1), facts)
    assert {t.gpu for t in tasks} == {1 / 8}
    assert len(tasks) > 1


def test_a_trial_that_fits_no_device_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"needs about .* GiB, and a T4 has 15; use a smaller --width"):
        pack([TrialConfig(width=60_000)], Machine(DEVICES["T4"], 1), facts)


def test_a_cohorts_memory_counts_a_noise_bank_for_each_seed() -> None:
    real = [TrialConfig(seed=s) for s in range(4)]
    noisy = [TrialConfig(seed=s, corruption="randX", corruption_level=1.0) for s in range(4)]
    assert bytes_of(noisy, DIGITS) - bytes_of(real, DIGITS) == 4 * 64 * 1000 * 4


def test_a_lost_task_goes_on_in_halves() -> None:
    (task,) = pack(narrow(5), Machine(CPU, 1), facts, 5)
    halves = task.halves(task.cohort.configs[1:])
    assert [len(h.cohort.configs) for h in halves] == [2, 2]
    assert len(task.halves(task.cohort.configs[:1])) == 1


def test_a_trial_larger_than_the_machine_is_refused_and_many_seeds_are_not() -> None:
    machine = Machine(replace(CPU, memory_bytes=2**30), 2)
    with pytest.raises(
        ValueError, match=r"needs about .* GiB, and a machine like this has 1; use a smaller --width"
    ):
        pack([TrialConfig(width=20_000)], machine, facts)
    noise = [TrialConfig(corruption="randX", corruption_level=1, width=32, seed=seed) for seed in range(5000)]
    assert sum(len(task.cohort.configs) for task in pack(noise, machine, facts)) == 5000


def test_a_kept_cohort_goes_on_together_where_it_fits_and_only_a_gpu_takes_memory_for_itself() -> None:
    group = narrow(4)
    kept = [Kept("kept", frozenset(trial.id for trial in group), 7)]
    need = bytes_of(group, DIGITS)

    def resumed(device: Device) -> bool:
        return any(task.kept for task in pack(group, Machine(device, 1), facts, kept=kept))

    assert resumed(replace(CPU, memory_bytes=need))
    assert not resumed(replace(CPU, memory_bytes=need - 1))
    assert resumed(replace(DEVICES["T4"], memory_bytes=need + GPU_CONTEXT_BYTES))
    assert not resumed(replace(DEVICES["T4"], memory_bytes=need + GPU_CONTEXT_BYTES - 1))


def test_hours_of_work_on_a_gpu_are_cut_where_that_costs_nothing() -> None:
    wide = [
        TrialConfig(seed=seed, width=8192, dataset="mnist", train_size=50_000, epochs=1000, csr_examples=0)
        for seed in range(40)
    ]
    h200 = Machine(DEVICES["H200"], 1)
    digits = Facts((1, 28, 28), 10, 10_000, 10_000)
    tasks = pack(wide, h200, lambda config: digits)
    alone = max(task.seconds for task in pack(wide[:1], h200, lambda config: digits))
    assert all(task.seconds <= max(LONG_SECONDS, 1.01 * alone) for task in tasks)
    narrow_ones = [replace(trial, width=64) for trial in wide]
    assert len(pack(narrow_ones, h200, lambda config: digits)) == 1


def test_cohorts_of_one_kind_keep_all_slots_busy_to_the_end() -> None:
    tasks = pack(narrow(7 * LEAST_ON_CPU), Machine(CPU, 2), facts, LEAST_ON_CPU)
    assert [len(task.cohort.configs) for task in tasks] == [LEAST_ON_CPU - 1] * 8
    assert len(pack(narrow(3), Machine(CPU, 2), facts, 1)) == 3
