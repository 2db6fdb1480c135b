"""How much faster are sweeps than what a good engineer writes first, and than what one writes with speed in mind?

Run:    make bench, or python -m benchmarks [--quick]
Cost:   12 minutes for the first of three rounds, two idle CPU cores (measured 2026-11-21); --quick shows only that it works
Expect: the table in docs/performance.md

Ours, the tuned and the plain peer (see ``tuned.py``, ``plain.py``) train the demo's plan and a third of it (one seed of
three), each run a whole command with a new tracking store, in turn. Two sizes tell the fixed cost from the cost of a
trial. The plain peer is slow: it trains two even samples of the plan, and its time for the whole follows from the
line through both. The last line printed is one JSON object.
"""

from __future__ import annotations

import functools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _agreement, _plan
from benchmarks._timing import BenchmarkError, Cost, Timing, line, timed

OURS, TUNED, PLAIN = "ours", "tuned", "plain"


@dataclass(frozen=True)
class Scale:
    """What is timed: the sweep's flags for the small and the large plan, the sizes of the plain peer's two samples,
    and how often ours runs.
    """

    small: tuple[str, ...]
    large: tuple[str, ...]
    samples: tuple[int, int]
    rounds: int


FULL = Scale(("--scale", "laptop", "--seeds", "0"), ("--scale", "laptop"), (22, 43), 3)
_FEW = ("--scale", "laptop", "--epochs", "10", "--kinds", "dropout", "weight_decay",
        "--strengths", "dropout=0.5", "weight_decay=0.01")  # fmt: skip
QUICK = Scale((*_FEW, "--seeds", "0"), (*_FEW, "--seeds", *map(str, range(4))), (2, 4), 1)


class Bench:
    """Runs the contenders and keeps their times and stores."""

    def __init__(self, scale: Scale, folder: Path) -> None:
        self._scale, self._folder = scale, folder
        self.plan = _plan.plan_of(scale.large)
        self._small = _plan.plan_of(scale.small)
        self.timings: list[Timing] = []

    def run(self) -> None:
        """Everything in turn."""
        small, large = (_plan.sample(self.plan, size) for size in self._scale.samples)
        for round_number in range(self._scale.rounds):
            for flags, plan, part in (
                (self._scale.small, self._small, small),
                (self._scale.large, self.plan, large),
            ):
                self._time(OURS, len(plan), functools.partial(_ours, flags))
                if round_number == 0:
                    self._peer(TUNED, plan)
                    self._peer(PLAIN, part)

    def cost(self, contender: str) -> Cost:
        """From the medians of the smallest and the largest size that it ran."""
        sizes = sorted({t.trials for t in self.timings if t.contender == contender})
        return line(
            sizes[0], self.seconds(contender, sizes[0]), sizes[-1], self.seconds(contender, sizes[-1])
        )

    def seconds(self, contender: str, trials: int) -> float:
        """The median of its runs of that size."""
        runs = [t.seconds for t in self.timings if (t.contender, t.trials) == (contender, trials)]
        return statistics.median(runs)

    def whole(self, contender: str) -> float:
        """Seconds for the large plan: measured, or for a contender that ran samples only, from its line."""
        measured = any((t.contender, t.trials) == (contender, len(self.plan)) for t in self.timings)
        return (
            self.seconds(contender, len(self.plan)) if measured else self.cost(contender).of(len(self.plan))
        )

    def store(self, contender: str) -> Path:
        """The tracking store of its last run."""
        return self._folder / f"{contender}.db"

    def _peer(self, contender: str, plan: _plan.Plan) -> None:
        file = self._folder / "plan.json"
        _plan.write(plan, file)
        self._time(
            contender,
            len(plan),
            lambda folder: [f"benchmarks.{contender}", str(file), _uri(folder), str(folder)],
        )

    def _time(self, contender: str, trials: int, command: Callable[[Path], Sequence[str]]) -> None:
        timing = timed(contender, trials, command, self.store(contender))
        self.timings.append(timing)
        print(
            f"{contender:6} {trials:4} trials {timing.seconds:8.1f} s {3600 * trials / timing.seconds:8.0f} trials/h"
            f"   (CPUs {timing.busy:.0%} busy before it, load {os.getloadavg()[0]:.1f} after it)",
            flush=True,
        )


def _uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'results.db'}"


def _ours(flags: Sequence[str], folder: Path) -> list[str]:
    return ["sweeps.regularization", *flags, "--tracking-uri", _uri(folder)]


def _gemm(quick: bool) -> float:
    """The lowest share of any width without momentum, as the papers train."""
    command = [sys.executable, "-m", "benchmarks.gemm", *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lowest = math.inf
    for width, momentum, product, training, evaluation in json.loads(done.stdout.splitlines()[-1]):
        share = training / product
        print(
            f"MLP of width {width}, momentum {momentum:g}, one thread: training {training:.0f} GFLOP/s is {share:.0%} of a "
            f"product's {product:.0f}; evaluation adds {evaluation:.0%} to the time of an epoch"
        )
        lowest = min(lowest, share) if momentum == 0 else lowest
    return lowest


def _summary(bench: Bench) -> dict[str, float]:
    """Print the ratios; returns them by name."""
    ours, found = bench.cost(OURS), {}
    print(f"\n{len(bench.plan)} trials, the whole plan:")
    for name in (OURS, TUNED, PLAIN):
        cost, whole = bench.cost(name), bench.whole(name)
        note = " (from samples)" if name == PLAIN else ""
        print(
            f"{name:6} {whole:8.1f} s{note}, {3600 * len(bench.plan) / whole:.0f} trials/h: {cost.fixed:.1f} s fixed and "
            f"{1000 * cost.per_trial:.0f} ms a trial"
        )
        if name != OURS:
            found[f"{name}_ratio"] = whole / bench.whole(OURS)
            found[f"{name}_ratio_per_trial"] = cost.per_trial / ours.per_trial
    return found


def _agree(bench: Bench) -> bool:
    """Print how the peers' results compare to ours; False where one does not compute the same."""
    ours, holds = _agreement.results(bench.store(OURS)), True
    for name in (TUNED, PLAIN):
        for agreement in _agreement.compare(bench.plan, ours, _agreement.results(bench.store(name))):
            print(f"{name:6} {agreement}")
            holds &= agreement.holds
    return holds


def main(arguments: Sequence[str]) -> int:
    """Run it all. Returns 1 if a contender failed or a peer's results differ from ours, 2 for bad arguments."""
    if set(arguments) - {"--quick"}:
        print(f"error: {' '.join(arguments)!r} is not understood; use --quick, or nothing", file=sys.stderr)
        return 2
    quick = bool(arguments)
    bench = Bench(QUICK if quick else FULL, Path(tempfile.mkdtemp(prefix="bench-stores-")))
    # Read once before anything is timed, so that no contender pays for a cold disk.
    subprocess.run([sys.executable, "-c", "import ray.tune, torch, mlflow, sklearn.datasets"], check=True)
    try:
        bench.run()
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    agree = _agree(bench)
    found = _summary(bench)
    found["gemm_share"] = _gemm(quick)
    order = ("plain_ratio", "tuned_ratio", "plain_ratio_per_trial", "tuned_ratio_per_trial", "gemm_share")
    print(json.dumps({name: round(found[name], 3) for name in order}))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
