"""What cohorts cost on a device: bytes and seconds, before anything is started. Pure arithmetic.

The figures of GPUs are vendors' peaks, of which training narrow nets reaches a share; they order plans and
size memory, and are estimates until somebody measures them. The CPU's figures were measured (see ``CPU``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from memory_study import regularizers
from memory_study.config import TrialConfig
from memory_study.cost import (
    LANCZOS_COPIES,
    SENSITIVITY,
    SHARPNESS,
    ImageShape,
    float_bytes,
    input_shape,
    replica_cost,
    scoring_flops,
    sensitivity_floats,
    sensitivity_flops,
)
from memory_study.record import epoch_grid

GIB = 2**30
FLOAT_BYTES = 4

SHARPNESS_EPOCHS = 25
"""Epochs of training that take as long as measuring sharpness twice (measured at width 128)."""

COPIES = 4
"""Of the weights that a step holds: weights, velocity, gradient, and room for a reordered copy."""

HARDEST = 128
"""Training examples that are asked after every epoch whether the net may have converged."""

ACTIVATION_PASSES = 8
"""Times that a training step reads or writes each activation outside the matrix products (fitted on a CPU).
"""

WEIGHT_PASSES = 5
"""Times that a step reads or writes each weight: forward, backward, and the update of weight and velocity."""

KERNELS_PER_LAYER = 14
"""Operations that a step starts for each layer."""

GPU_CONTEXT_BYTES = int(1.2 * GIB)
"""What a process takes on a GPU before it holds any tensor of its own."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or one CPU core. ``tflops`` is single precision, without TF32; ``kernel_seconds`` is the time to start a
    kernel.
    """

    name: str
    memory_bytes: float
    tflops: float
    bandwidth: float  # bytes a second
    kernel_seconds: float
    efficiency: float  # share of the peak that training reaches
    measured: bool = False

    @property
    def is_gpu(self) -> bool:
        """Whether trials on it share one memory, by fractions."""
        return self.name != "cpu"


def _gpu(name: str, gib: float, tflops: float, gigabytes_per_second: float) -> Device:
    return Device(name, gib * GIB, tflops, gigabytes_per_second * 1e9, 6e-6, 0.4)


# Fitted to cohorts of 1 to 16 MLPs of widths 32 to 1024 on one core of a 2-core x86 server with AVX-512,
# training and evaluation together: within 15 % without regularizers, up to 30 % too little with dropout or
# noise.
CPU = Device("cpu", math.inf, 0.13, 20e9, 5e-6, 1.0, measured=True)

DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        device.name: device
        for device in (
            CPU,
            _gpu("T4", 15, 8.1, 320),
            _gpu("L4", 22, 30.3, 300),
            _gpu("A10G", 22, 31.2, 600),
            _gpu("V100", 16, 15.7, 900),
            _gpu("A100-40", 39, 19.5, 1555),
            _gpu("A100-80", 79, 19.5, 2039),
            _gpu("H100", 79, 67, 3350),
            _gpu("H200", 139, 67, 4800),
        )
    }
)


def step_factor(config: TrialConfig) -> float:
    """Arithmetic of a training step under the trial's regularizers, in that of one without any."""
    return 1.0 + sum(regularizers.find(kind).cost - 1.0 for kind, _ in config.regularizers)


def replica_bytes(config: TrialConfig, image: ImageShape, classes: int) -> int:
    """What one more replica adds to a cohort's memory: weights and their copies, activations of a batch, and what
    measuring loss sensitivities and sharpness holds.
    """
    cost = replica_cost(config, image, classes)
    copies = COPIES + sum(regularizers.find(kind).copies for kind, _ in config.regularizers)
    copies += LANCZOS_COPIES if SHARPNESS in config.measures else 0
    measured = sensitivity_floats(config, image, classes) if SENSITIVITY in config.measures else 0
    return int(
        float_bytes(config) * (copies * cost.parameters + 3 * config.batch_size * cost.activations + measured)
    )


def noise_banks(configs: Sequence[TrialConfig]) -> int:
    """How many sets of random inputs a cohort holds: trials with one seed share theirs."""
    return len({c.noise_seed for c in configs if c.corruption == "randX"})


def fixed_bytes(configs: Sequence[TrialConfig], image: ImageShape, held_out: int) -> int:
    """What a cohort holds once: training and held-out inputs, and a noise bank per seed where inputs are
    random.
    """
    config = configs[0]
    pixels = math.prod(input_shape(config, image))
    banks = noise_banks(configs)
    return int(float_bytes(config) * pixels * (config.train_size * (1 + banks) + held_out))


def trial_flops(config: TrialConfig, image: ImageShape, classes: int, validation: int) -> float:
    """Arithmetic of one trial: training, the evaluations that its schedule asks for, critical samples,
    loss sensitivities, scoring the examples to be dropped (counted for each trial, though some share it).

    Of a pass over the training set between the epochs of the curves, only the hardest examples are counted.
    """
    training = replica_cost(config, image, classes).training_flops
    forward = training / 3
    on_curve = len(epoch_grid(config.epochs))
    validations = config.epochs if config.validation_schedule == "every-epoch" else on_curve
    passes = on_curve * config.train_size + config.epochs * min(HARDEST, config.train_size)
    passes += validations * min(validation, config.validation_size or validation)
    searches = 2 * config.csr_examples * (len(config.csr_epochs) + 1) * config.csr_iterations
    measured = sensitivity_flops(config, image, classes) if SENSITIVITY in config.measures else 0.0
    steps = config.epochs * config.kept_examples * step_factor(config)
    steps += config.train_size * (SHARPNESS_EPOCHS if SHARPNESS in config.measures else 0)
    steps += config.train_size * (config.scoring_epochs if config.pruned_share else 0)
    return training * (steps + searches) + forward * passes + measured + scoring_flops(config, image, classes)


def cohort_seconds(
    configs: Sequence[TrialConfig], image: ImageShape, classes: int, validation: int, device: Device
) -> float:
    """Estimated time of a cohort alone on ``device``, from arithmetic, memory traffic and starting kernels.

    ``validation`` is the number of validation examples.
    """
    config = configs[0]
    cost = replica_cost(config, image, classes)
    work = [trial_flops(c, image, classes, validation) for c in configs]
    arithmetic = sum(work) / (device.tflops * 1e12 * device.efficiency)
    passes = sum(work) / cost.training_flops * ACTIVATION_PASSES
    activations = passes * cost.activations * FLOAT_BYTES / device.bandwidth
    steps = config.epochs * math.ceil(config.train_size / config.batch_size)
    layers = config.depth + 1 if config.model == "mlp" else 8
    kernels = steps * KERNELS_PER_LAYER * layers * max(map(step_factor, configs)) * device.kernel_seconds
    if not device.is_gpu:
        return arithmetic + activations + kernels
    weights = steps * WEIGHT_PASSES * cost.parameters * FLOAT_BYTES * len(configs) / device.bandwidth
    return max(max(arithmetic, weights) + activations, kernels)  # kernels start while others run
