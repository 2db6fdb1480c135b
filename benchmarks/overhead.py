"""What does a sweep of thousands of tiny trials cost beyond their training and beyond writing them down?

Run:    python -m benchmarks.overhead [--quick]
Cost:   about 5 minutes on two idle CPU cores; --quick shows only that it works
Expect: the table in docs/performance.md, section "Thousands of tiny trials"

Plans of 100, 1,000 and 10,000 trials run as whole commands, each with a new store. A plan with one trial for each core tells
what starting and ending cost. The same cohorts then train in plain processes, as many as there are cores, without Ray
and without a store, and the same results are written with nothing beside it, by the sweep's own writer and (a sample)
by MLflow's client. From these follow three overheads a trial, each beyond start and end and beyond training alone:

- beyond our writing:     and beyond what our writer takes alone
- beyond the client's:    and beyond what MLflow's client would take alone (negative: ours saves more than all else costs)
- beyond perfect overlap: as if cores were shared without any loss: training, plus our writing spread over all cores

Starting takes seconds that differ from run to run, more where the machine is shared, and the smaller the plan, the more its
overheads are at the mercy of that. So a fourth one, *running*, beyond training and our writing too, counts only from the
first cohort's start to the last batch written, as the store has them, less what that takes for one trial a core.

The last line printed is one JSON object.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import _tiny, _watch
from benchmarks._timing import BenchmarkError, busy_share


@dataclass(frozen=True)
class Scale:
    """Strengths and seeds of each plan, from the smallest, how often each runs, and the trials of the client's sample."""

    strengths: int
    seeds: tuple[int, ...]
    rounds: tuple[int, ...]
    sample: int
    pages: int


FULL = Scale(49, (1, 10, 100), (3, 3, 1), 200, 5)
QUICK = Scale(24, (2,), (1,), 20, 1)


@dataclass(frozen=True)
class Point:
    """One size of plan. Seconds are of the whole command, of starting and ending, of training alone, of our writing alone.

    ``running`` is the seconds from the first cohort's start to the last batch written, ``opening`` the same for one
    trial a core; ``client`` is the seconds that MLflow's client takes for one trial; ``slots`` the cores.
    """

    trials: int
    tasks: int
    wall: float
    fixed: float
    training: float
    writing: float
    client: float
    slots: int
    running: float
    opening: float

    @property
    def beyond_writing(self) -> float:
        """Milliseconds a trial beyond start, training alone and our writing alone."""
        return self._rest(self.training + self.writing)

    @property
    def beyond_client(self) -> float:
        """The same with what MLflow's client takes to write."""
        return self._rest(self.training + self.client * self.trials)

    @property
    def beyond_overlap(self) -> float:
        """The same with training and writing sharing the cores without loss; one writer uses one core at most."""
        return self._rest(max(self.writing, self.training + self.writing / self.slots))

    @property
    def while_running(self) -> float:
        """Milliseconds a trial beyond training and our writing alone, start and end left out of the measurement."""
        return 1000 * (self.running - self.opening - self.training - self.writing) / self.trials

    def _rest(self, needed: float) -> float:
        return 1000 * (self.wall - self.fixed - needed) / self.trials


def _fixed(scale: Scale, slots: int, folder: Path) -> tuple[float, float]:
    """Seconds of a whole command that trains one trial a core, and its seconds of running."""
    arguments = [*_tiny.flags(scale.strengths, 1), "--limit", str(slots)]
    runs = [_watch.watch(arguments, _new(folder)) for _ in range(scale.rounds[0])]
    print(f"start and end, {slots} trials: " + ", ".join(f"{run.seconds:.1f} s" for run in runs), flush=True)
    running = statistics.median(_watch.running_seconds(run.store) for run in runs)
    return statistics.median(run.seconds for run in runs), running


def _new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def _measure(
    arguments: Sequence[str], rounds: int, fixed: tuple[float, float], sample: int, slots: int, folder: Path
) -> tuple[Point, _watch.Watched]:
    busy = busy_share()
    runs = sorted((_watch.watch(arguments, _new(folder)) for _ in range(rounds)), key=lambda run: run.seconds)
    middle = runs[len(runs) // 2]
    cohorts = _tiny.cohorts_of(arguments)
    training, outcomes = _tiny.train_alone(cohorts, slots, folder)
    if (done := _watch.written(middle.store)) != len(outcomes):
        raise BenchmarkError(f"the store has {done} finished trials of {len(outcomes)}")
    writing = _tiny.write_alone(outcomes, _tiny.OURS, folder)
    some = outcomes[:sample]
    client = _tiny.write_alone(some, _tiny.CLIENT, folder) / len(some)
    running = _watch.running_seconds(middle.store)
    point = Point(
        len(outcomes),
        len(cohorts),
        middle.seconds,
        fixed[0],
        training,
        writing,
        client,
        slots,
        running,
        fixed[1],
    )
    print(
        f"{point.trials:6} trials in {point.tasks} tasks: "
        + ", ".join(f"{run.seconds:.1f} s" for run in runs)
        + f" (CPUs {busy:.0%} busy before them, load {os.getloadavg()[0]:.1f} after)",
        flush=True,
    )
    return point, middle


def _table(points: Sequence[Point]) -> None:
    """Milliseconds a trial, but for the first columns."""
    head = (
        "trials",
        "tasks",
        "whole s",
        "training",
        "our writing",
        "client's",
        "beyond ours",
        "beyond client's",
        "beyond overlap",
        "running",
    )
    print("\n" + "  ".join(head) + "   (ms a trial)")
    for p in points:
        values = (1000 * p.training / p.trials, 1000 * p.writing / p.trials, 1000 * p.client,
                  p.beyond_writing, p.beyond_client, p.beyond_overlap, p.while_running)  # fmt: skip
        cells = [str(p.trials), str(p.tasks), f"{p.wall:.1f}", *(f"{value:.2f}" for value in values)]
        print("  ".join(cell.rjust(len(name)) for name, cell in zip(head, cells, strict=True)))


def _large(watched: _watch.Watched, trials: int, pages: int) -> dict[str, float]:
    """Print what else the largest run showed; returns it by name."""
    found: dict[str, float] = {"overlap": _watch.overlap(watched.store)}
    print(f"\nof {trials} trials, {found['overlap']:.0%} were written while others trained")
    for process in _watch.PROCESSES:
        peak, growth = watched.memory(process, trials)
        cpu = watched.cpu_seconds(process)
        found |= {f"{process}_mib": peak, f"{process}_growth_mib": growth, f"{process}_cpu_s": cpu}
        print(
            f"{process}: {peak:.0f} MiB at most, {growth:+.1f} MiB from a tenth of the trials to the last, {cpu:.1f} CPU s"
        )
    for name, seconds in _watch.page_seconds(watched.store, pages).items():
        found[f"page_{name.replace(' ', '_')}_s"] = seconds
        print(f"MLflow's pages, {name}: {1000 * seconds:.0f} ms")
    return found


def main(arguments: Sequence[str]) -> int:
    """Run it all. Returns 1 if a part failed, 2 for bad arguments."""
    if set(arguments) - {"--quick"}:
        print(f"error: {' '.join(arguments)!r} is not understood; use --quick, or nothing", file=sys.stderr)
        return 2
    scale = QUICK if arguments else FULL
    slots = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder, points = Path(name), []
        try:
            fixed = _fixed(scale, slots, folder)
            for seeds, rounds in zip(scale.seeds, scale.rounds, strict=True):
                flags = _tiny.flags(scale.strengths, seeds)
                point, watched = _measure(flags, rounds, fixed, scale.sample, slots, folder)
                points.append(point)
            _table(points)
            found = _large(watched, points[-1].trials, scale.pages)
        except BenchmarkError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    for point in points:
        found[f"overhead_ms_{point.trials}"] = point.beyond_writing
        found[f"beyond_overlap_ms_{point.trials}"] = point.beyond_overlap
        found[f"running_ms_{point.trials}"] = point.while_running
    found |= {
        "our_writing_ms": 1000 * points[-1].writing / points[-1].trials,
        "client_ms": 1000 * points[-1].client,
    }
    print(json.dumps({name: round(value, 3) for name, value in sorted(found.items())}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
