"""What a plan of tiny trials costs at the least: its training without Ray or a store, its writing without training.

Each part runs in processes of its own: python -m benchmarks._tiny train COHORTS OUTCOMES, or write OUTCOMES STORE WAY.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks._plan import Plan, plan_of
from benchmarks._timing import BenchmarkError
from memory_study import datasets
from memory_study.cohort import Cohort
from memory_study.record import Tag
from sweeps._batch import Outcome
from sweeps._cli import Question
from sweeps._job import Job, train
from sweeps._machine import this_machine
from sweeps._options import Options, Settings
from sweeps._pack import pack
from sweeps._tracking import MOST_AT_ONCE
from sweeps._writers import ClientWriter, open_writer

EXPERIMENT = "tiny"
OURS, CLIENT = "ours", "client"
"""The two ways to write: the sweep's own, and MLflow's public client."""


def flags(strengths: int, seeds: int) -> list[str]:
    """The sweep's flags for ``2 * (strengths + 1) * seeds`` trials of milliseconds each."""
    grid = ",".join(f"{(step + 1) / 10_000:g}" for step in range(strengths))
    tiny = ["--width", "8", "--train-size", "50", "--epochs", "2", "--csr-examples", "0", "--device", "cpu"]
    plan = ["--kinds", "weight_decay", "--strengths", f"weight_decay={grid}"]
    return ["--scale", "smoke", *tiny, *plan, "--seeds", *map(str, range(seeds))]


def cohorts_of(arguments: Sequence[str]) -> list[Cohort]:
    """The cohorts that the sweep makes of its plan on this machine, in its order."""
    plan: Plan = plan_of(arguments)
    info = datasets.describe(plan[0].dataset, Settings().data_dir)
    question = Question(Options(), plan, info, datasets.location(plan[0].dataset, Settings().data_dir))
    machine = this_machine(Settings(device="cpu"))
    return [task.cohort for task in pack(plan, machine, question.facts)]


def train_alone(cohorts: Sequence[Cohort], slots: int, folder: Path) -> tuple[float, list[Outcome]]:
    """Seconds that ``slots`` plain processes side by side train the cohorts, and what comes of it."""
    commands, results = [], []
    for slot in range(slots):
        share, result = folder / f"cohorts-{slot}", folder / f"outcomes-{slot}"
        share.write_bytes(pickle.dumps(cohorts[slot::slots]))
        commands.append(["train", str(share), str(result)])
        results.append(result)
    seconds = _side_by_side(commands)
    return max(seconds), [outcome for result in results for outcome in pickle.loads(result.read_bytes())]


def write_alone(outcomes: Sequence[Outcome], way: str, folder: Path) -> float:
    """Seconds that writing the outcomes to a new store takes, with nothing beside it.

    Opening the store and the first outcome are not counted.
    """
    file = folder / "to-write"
    file.write_bytes(pickle.dumps(list(outcomes)))
    with tempfile.TemporaryDirectory(dir=folder) as store:
        return _side_by_side([["write", str(file), f"sqlite:///{store}/mlflow.db", way]])[0]


def _side_by_side(commands: Sequence[Sequence[str]]) -> list[float]:
    """The seconds that each of these parts prints last."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks._tiny", *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        )
        for command in commands
    ]  # fmt: skip
    ended = [process.communicate() for process in running]
    for process, command, (_, errors) in zip(running, commands, ended, strict=True):
        if process.returncode:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            raise BenchmarkError(
                f"benchmarks._tiny {command[0]} ended with code {process.returncode}: {last}"
            )
    return [float(json.loads(output.splitlines()[-1])) for output, _ in ended]


class _Kept:
    """A sink that keeps what it is handed."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def submit(self, batch: Sequence[Outcome]) -> None:
        """See :class:`sweeps._job.Sink`."""
        self.outcomes += batch

    def beat(self, cohort: str, epoch: int) -> None:
        """Nobody watches."""


def _train(cohorts_file: str, outcomes_file: str) -> float:
    import torch

    torch.set_num_threads(1)
    cohorts: list[Cohort] = pickle.loads(Path(cohorts_file).read_bytes())
    job = Job(
        Path(), "cpu", False, "", "", {Tag.SWEEP: "regularization", Tag.CODE: "0" * 40, Tag.DIRTY: "false"}
    )
    # What a worker does once, importing and loading the data, is part of a command's fixed cost.
    train(Cohort(cohorts[0].configs[:1]), job, _Kept(), gpu=0)
    kept, started = _Kept(), time.perf_counter()
    for cohort in cohorts:
        train(cohort, job, kept, gpu=0)
    seconds = time.perf_counter() - started
    Path(outcomes_file).write_bytes(pickle.dumps(kept.outcomes))
    return seconds


def _write(outcomes_file: str, uri: str, way: str) -> float:
    from mlflow import MlflowClient

    outcomes: list[Outcome] = pickle.loads(Path(outcomes_file).read_bytes())
    ours, client = open_writer(uri, EXPERIMENT), MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    writer = {OURS: ours, CLIENT: ClientWriter(client, experiment)}[way]
    writer.write(outcomes[:1])  # so that what is imported and compiled once is not counted
    started = time.perf_counter()
    for first in range(1, len(outcomes), MOST_AT_ONCE):
        writer.write(outcomes[first : first + MOST_AT_ONCE])
    return time.perf_counter() - started


PARTS: Mapping[str, Callable[..., float]] = {"train": _train, "write": _write}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
