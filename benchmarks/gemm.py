"""Which share of the machine's own matrix-product rate the training of a wide MLP reaches, on one CPU thread.

Counted are only the products that training cannot do without: forward, backward to the activations, backward to the
weights. Through :class:`memory_study.train.Training`, the product's own way, with a cohort of one. Products and
training are timed in turn, so that a change of the machine's speed meets both. Run: python -m benchmarks.gemm
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.cost import replica_cost
from memory_study.datasets import Splits
from memory_study.train import Training

IMAGE, CLASSES = (1, 28, 28), 10
SIZES = (1024, 2048, 4096)
"""Of the square matrices whose product sets the mark: the best of them."""
WIDTHS = (1024, 2048, 4096)
MOMENTA = (0.0, 0.9)
"""The papers' MLP has none."""


class Share(NamedTuple):
    """What a training reaches. Rates are in GFLOP/s; ``evaluation`` is its seconds per second of training."""

    width: int
    momentum: float
    product_rate: float
    training_rate: float
    evaluation: float

    @property
    def share(self) -> float:
        """Of the product rate, in [0, 1]."""
        return self.training_rate / self.product_rate


def seconds(work: Callable[[], object]) -> float:
    """CPU time of ``work`` in this, its only thread: other programs' turns on the core do not count."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def random_splits(examples: int) -> Splits:
    """Data shaped like MNIST. As many validation examples as a fifth of the training examples, as in the papers."""
    generator = torch.Generator().manual_seed(0)

    def some(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.rand(count, *IMAGE, generator=generator)
        return images, torch.randint(CLASSES, (count,), generator=generator)

    others = max(1, examples // 5)
    names = tuple(map(str, range(CLASSES)))
    return Splits(*some(examples), *some(others), *some(others), (0.5,), (0.3,), names)


def product_timers(sizes: tuple[int, ...]) -> dict[int, Callable[[], float]]:
    """By size of the matrices: times one product and gives its GFLOP/s."""

    def timer(size: int) -> Callable[[], float]:
        a, b, out = torch.rand(size, size), torch.rand(size, size), torch.empty(size, size)
        return lambda: 2e-9 * size**3 / seconds(lambda: torch.mm(a, b, out=out))

    return {size: timer(size) for size in sizes}


def measure(width: int, momentum: float, steps: int, rounds: int, sizes: tuple[int, ...]) -> Share:
    """Medians over ``rounds`` of epochs of ``steps`` steps, each beside products."""
    config = TrialConfig(dataset="mnist", width=width, momentum=momentum, train_size=128 * steps, epochs=1000)
    splits = random_splits(config.train_size)
    flops = replica_cost(config, IMAGE, CLASSES).training_flops * config.train_size
    products = product_timers(sizes)
    product_rates: dict[int, list[float]] = {size: [] for size in sizes}
    training_rates, evaluations = [], []
    with torch.no_grad():
        training = Training(Cohort((config,)), splits, torch.device("cpu"))
        for epoch in range(1, rounds + 2):
            rates = {size: timer() for size, timer in products.items()}
            trained = seconds(lambda epoch=epoch: training.train_epoch(epoch))  # type: ignore[misc]
            evaluated = seconds(lambda epoch=epoch: training.evaluate(epoch))  # type: ignore[misc]
            if epoch > 1:  # the first meets cold caches and unallocated memory
                for size, rate in rates.items():
                    product_rates[size].append(rate)
                training_rates.append(1e-9 * flops / trained)
                evaluations.append(evaluated / trained)
    mark = max(statistics.median(rates) for rates in product_rates.values())
    return Share(width, momentum, mark, statistics.median(training_rates), statistics.median(evaluations))


def shares(quick: bool) -> list[Share]:
    """All widths and momenta on one thread; ``quick`` only the smallest, shortly."""
    torch.set_num_threads(1)
    if quick:
        return [measure(WIDTHS[0], 0.0, steps=8, rounds=3, sizes=SIZES[:1])]
    return [
        measure(width, momentum, steps=max(8, 64 * 1024 // width), rounds=5, sizes=SIZES)
        for width in WIDTHS
        for momentum in MOMENTA
    ]


if __name__ == "__main__":
    print(json.dumps(shares("--quick" in sys.argv)))
