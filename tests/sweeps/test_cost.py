from __future__ import annotations

from dataclasses import replace

import pytest

from memory_study.config import TrialConfig
from memory_study.cost import replica_cost
from sweeps._cost import CPU, DEVICES, cohort_seconds, fixed_bytes, replica_bytes, step_factor, trial_flops
from sweeps._pack import Facts, bytes_of

IMAGE, CLASSES = (1, 8, 8), 10


def seconds(config: TrialConfig, count: int = 1, device: str = "cpu") -> float:
    return cohort_seconds([config] * count, IMAGE, CLASSES, 360, DEVICES[device])


def test_measured_cohorts_are_predicted_within_a_factor_of_one_and_a_half() -> None:
    # Seconds of processor time for 20 epochs of 1000 digits in batches of 50, one core (measured).
    for width, count, measured in (
        (32, 8, 0.16),
        (64, 8, 0.24),
        (128, 8, 0.49),
        (256, 8, 1.21),
        (1024, 1, 1.79),
    ):
        config = TrialConfig(width=width, batch_size=50, epochs=20, csr_examples=0)
        assert measured / 1.5 < seconds(config, count) < measured * 1.5


def test_adversarial_training_costs_many_times_more() -> None:
    plain = TrialConfig(csr_examples=0)
    adversarial = TrialConfig(csr_examples=0, regularizers=(("adversarial", 0.5),))
    ratio = trial_flops(adversarial, IMAGE, CLASSES, 0) / trial_flops(plain, IMAGE, CLASSES, 0)
    assert 5 < ratio < 10


def test_two_gradients_a_step_cost_twice_and_hold_more_copies_of_the_weights() -> None:
    plain = TrialConfig(csr_examples=0, epochs=60, width=1024)
    sam = TrialConfig(csr_examples=0, epochs=60, width=1024, regularizers=(("sam", 0.1),))
    both = TrialConfig(csr_examples=0, regularizers=(("sam", 0.1), ("adversarial", 0.5)))
    ratio = trial_flops(sam, IMAGE, CLASSES, 0) / trial_flops(plain, IMAGE, CLASSES, 0)
    assert 1.7 < ratio < 2
    assert replica_bytes(sam, IMAGE, CLASSES) > 1.4 * replica_bytes(plain, IMAGE, CLASSES)
    assert (step_factor(plain), step_factor(sam)) == (1, 2)
    assert step_factor(both) > 9


def test_cost_is_training_and_the_passes_that_the_schedule_asks_for() -> None:
    def cost(**fields: object) -> float:
        return trial_flops(TrialConfig(csr_examples=0, **fields), IMAGE, CLASSES, 360)  # type: ignore[arg-type]

    step = replica_cost(TrialConfig(), IMAGE, CLASSES).training_flops
    sixty_epochs = 60 * (1000 + (128 + 360) / 3)
    assert cost(epochs=120) - cost(epochs=60) == pytest.approx(sixty_epochs * step, rel=0.01)
    seldom = cost(epochs=60, validation_schedule="curve")
    assert cost(epochs=60) - seldom == pytest.approx((60 - 32) * 360 / 3 * step, rel=0.01)
    less = cost(epochs=60, validation_schedule="curve", validation_size=60)
    assert seldom - less == pytest.approx(32 * 300 / 3 * step, rel=0.01)
    assert trial_flops(TrialConfig(csr_examples=10), IMAGE, CLASSES, 360) > cost()


def test_narrow_nets_on_a_gpu_wait_for_kernels_so_a_stack_costs_no_more() -> None:
    config = TrialConfig(width=64, csr_examples=0)
    assert seconds(config, 16, "H200") == pytest.approx(seconds(config, 1, "H200"))


def test_sharpness_holds_vectors_as_long_as_the_weights_and_graphs_of_gradients() -> None:
    plain = TrialConfig(width=4096, train_size=50_000, csr_examples=0)
    sharp = replace(plain, measures=("sharpness",))
    weights = replica_cost(plain, IMAGE, CLASSES).parameters
    assert replica_bytes(sharp, IMAGE, CLASSES) == replica_bytes(plain, IMAGE, CLASSES) + 9 * 4 * weights
    facts = Facts(IMAGE, CLASSES, 360, 360)
    for count in (1, 3):
        apart = count * (replica_bytes(sharp, IMAGE, CLASSES) - replica_bytes(plain, IMAGE, CLASSES))
        assert bytes_of([sharp] * count, facts) == bytes_of([plain] * count, facts) + apart + 2**29


def test_a_cnn_on_a_gpu_is_no_faster_than_single_precision_without_tf32() -> None:
    config = TrialConfig(model="cnn-keras", width=200, train_size=45_000, csr_examples=0)
    image = (3, 28, 28)
    for name, tflops in (("A100-80", 19.5), ("H200", 67)):
        flops = trial_flops(config, image, 10, 5000)
        assert cohort_seconds([config], image, 10, 5000, DEVICES[name]) > flops / (tflops * 1e12)


def test_a_stacks_memory_is_the_data_once_and_weights_for_each() -> None:
    config = TrialConfig(width=4096)
    assert replica_bytes(config, IMAGE, CLASSES) > 3 * 4 * 4096 * 4096
    assert fixed_bytes([config, config], IMAGE, 700) == 4 * 64 * 1700


def test_the_table_says_what_is_measured() -> None:
    assert CPU.measured
    assert not any(device.measured for device in DEVICES.values() if device.is_gpu)
