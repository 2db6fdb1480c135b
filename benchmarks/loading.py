"""How long does reading a large store take, and how long the loop that one writes first?

Run:    python -m benchmarks.loading [--runs 10000] [--tracking-uri URI] [--quick]
Cost:   3 minutes for 10,000 runs in SQLite, two shared CPU cores (measured 2026-11-21); --quick shows only that it works
Expect: the table in docs/performance.md, section "Reading a large store"

A store is filled, through the writer of the sweeps, with trials that nobody trained: 4 curves of 64 points each. Each
reading is a process of its own, timed without the start of the interpreter: first without a cache, then as later
readings find one, then after 10 new runs. The plain loop (``search_runs`` by pages, ``get_metric_history`` for each run
and metric) reads a sample of the runs; its time for all is in proportion. Both must give the same numbers. The last line
printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis._cache import load
from analysis._store import connect, find_experiment
from memory_study import record
from memory_study.record import Tag

if TYPE_CHECKING:
    from sweeps._batch import Outcome

EXPERIMENT = "regularization"
CURVES = ("csr_validation", "train_accuracy", "train_loss", "validation_accuracy")
POINTS = 64
NEW_RUNS = 10
ROUNDS = 5
"""Of readings from the cache; the median counts."""
_BATCH = 200


def outcomes(first: int, count: int) -> Iterator[Outcome]:
    """Trials of these seeds with invented numbers, the same each time."""
    from memory_study.config import TrialConfig  # where it writes: a process that reads is to be small
    from sweeps._batch import Outcome

    epochs = record.epoch_grid(1000, POINTS)
    for seed in range(first, first + count):
        level = float(seed % 2)
        config = TrialConfig(
            seed=seed, epochs=1000, corruption="randY" if level else "none", corruption_level=level,
            regularizers={"dropout": (seed % 10) / 10},
        )  # fmt: skip
        numbers = np.random.default_rng(seed)
        curves = {key: tuple(zip(epochs, numbers.random(POINTS).tolist(), strict=True)) for key in CURVES}
        scalars = {key: float(numbers.random()) for key in record.SCALARS}
        tags = {
            Tag.KIND: "trial",
            Tag.TRIAL: config.id,
            Tag.SWEEP: EXPERIMENT,
            Tag.DEVICE: "cpu",
            Tag.CODE: "0",
        }
        yield Outcome(
            config, tags, 1_000 * seed, 1_000 * seed + 500, record.Record(config.id, scalars, curves)
        )


def fill(uri: str, first: int, count: int) -> None:
    """Write the trials of the seeds from ``first`` on as finished runs."""
    from sweeps._writers import open_writer

    writer = open_writer(uri, EXPERIMENT)
    for start in range(first, first + count, _BATCH):
        writer.write(list(outcomes(start, min(_BATCH, first + count - start))))


def read_once(uri: str, folder: str) -> dict[str, float]:
    """Read all in this process; ``folder`` is the cache's, empty for none."""
    wall, cpu = time.perf_counter(), time.process_time()
    store = connect(uri)
    frames = load(store, find_experiment(store, EXPERIMENT), CURVES, Path(folder) if folder else None)
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "trials": len(frames.trials),
        "points": len(frames.curves),
    }


def read(uri: str, folder: Path | None) -> dict[str, float]:
    """Read all in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.loading", "--read", str(folder or ""), "--tracking-uri", uri]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def plain_loop(uri: str, sample: int) -> tuple[dict[str, float], dict[str, dict[str, Any]]]:
    """Seconds of the client's paged search and of a run's histories, and those of the sampled runs by trial."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    started, runs, token = time.perf_counter(), [], None
    while token or not runs:
        page = client.search_runs(
            [experiment], "attributes.status = 'FINISHED'", max_results=1000, page_token=token
        )
        runs, token = [*runs, *page], page.token
        if not token:
            break
    searched = time.perf_counter()
    chosen = random.Random(0).sample(runs, min(sample, len(runs)))
    found = {
        run.data.tags[Tag.TRIAL]: {
            key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
            for key in CURVES
        }
        for run in chosen
    }
    per_run = (time.perf_counter() - searched) / len(chosen)
    return {"search": searched - started, "per_run": per_run, "runs": len(runs)}, found


def differing(uri: str, found: dict[str, dict[str, Any]]) -> list[str]:
    """The sampled trials of which our tables hold other numbers than the client gives."""
    store = connect(uri)
    curves = load(store, find_experiment(store, EXPERIMENT), CURVES, None).curves
    ours = curves[curves["trial"].isin(list(found))]
    table = {
        key: list(zip(part["epoch"], part["value"], strict=True))
        for key, part in ours.groupby(["trial", "metric"], observed=True)
    }
    return [
        trial
        for trial, histories in found.items()
        if any(table.get((trial, key)) != sorted(history) for key, history in histories.items())
    ]


def measure(uri: str, runs: int, sample: int, folder: Path) -> dict[str, Any]:
    """All times, printed as they come. The store has the runs already."""
    figures: dict[str, Any] = {"runs": runs}

    def note(name: str, times: Sequence[dict[str, float]]) -> None:
        figures[name] = statistics.median(each["seconds"] for each in times)
        cpu, peak = (statistics.median(each[key] for each in times) for key in ("cpu_seconds", "peak_mb"))
        print(f"{name:24} {figures[name]:9.2f} s   {cpu:8.2f} s of CPU   {peak:6.0f} MB", flush=True)

    note("without cache", [read(uri, None) for _ in range(3)])
    note("first, cache written", [read(uri, folder)])
    note("from the cache", [read(uri, folder) for _ in range(ROUNDS)])
    fill(uri, runs, NEW_RUNS)
    after = read(uri, folder)
    note(f"after {NEW_RUNS} new runs", [after])
    if after["trials"] != runs + NEW_RUNS or after["points"] != (runs + NEW_RUNS) * len(CURVES) * POINTS:
        raise SystemExit(
            f"error: {after['trials']} trials and {after['points']} points were read, others written"
        )
    loop, found = plain_loop(uri, sample)
    figures["plain loop"] = loop["search"] + loop["per_run"] * loop["runs"]
    print(
        f"{'plain loop':24} {figures['plain loop']:9.2f} s   (search {loop['search']:.1f} s, histories of "
        f"{len(found)} runs {1000 * loop['per_run']:.1f} ms a run, times {loop['runs']:.0f})"
    )
    if wrong := differing(uri, found):
        raise SystemExit(f"error: other numbers than the client's for {len(wrong)} trials, {wrong[0]} first")
    for name in ("without cache", "from the cache"):
        figures[f"{name}, times faster"] = figures["plain loop"] / figures[name]
        print(f"{name}: {figures[f'{name}, times faster']:.0f} times as fast as the plain loop")
    return figures


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__.splitlines()[0])
    made.add_argument("--runs", type=int, default=10_000, help="runs in the store (default: 10000)")
    made.add_argument("--tracking-uri", help="an empty store to fill (default: a new SQLite file)")
    made.add_argument("--quick", action="store_true", help="few runs: shows only that it works")
    made.add_argument("--read", metavar="CACHE", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run it all. Exits with 1 where the numbers read are not those written."""
    logging.disable(logging.INFO)
    options = parser().parse_args(arguments)
    if options.read is not None:
        print(json.dumps(read_once(options.tracking_uri, options.read)))
        return 0
    runs, sample = (60, 10) if options.quick else (options.runs, min(options.runs, 25))
    with tempfile.TemporaryDirectory(prefix="bench-loading-") as name:
        uri = options.tracking_uri or f"sqlite:///{name}/store.db"
        started = time.perf_counter()
        fill(uri, 0, runs)
        print(f"{'writing the store':24} {time.perf_counter() - started:9.2f} s", flush=True)
        figures = measure(uri, runs, sample, Path(name) / "cache")
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
