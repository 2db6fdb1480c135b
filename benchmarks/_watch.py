"""A sweep's command watched from outside, and the pages of MLflow on what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._timing import SETTLING_SECONDS, BenchmarkError

BESIDE = {"tracker": "ray::TrackerActor", "keeper": "-m sweeps._keeper"}
"""Processes that a driver starts for itself, and what stands in their command lines."""
PROCESSES = ("driver", *BESIDE)
SAMPLE_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
"""For a server to start."""


@dataclass(frozen=True)
class Sample:
    """What a process held when ``trials`` were in the store."""

    trials: int
    mebibytes: float
    cpu_seconds: float


@dataclass(frozen=True)
class Watched:
    """A command that ended well: its seconds, its store, and the samples of its processes while it ran."""

    seconds: float
    store: Path
    samples: dict[str, list[Sample]]

    def memory(self, process: str, trials: int) -> tuple[float, float]:
        """Peak in MiB, and the growth from the first tenth of ``trials`` on to that peak."""
        samples = self.samples[process]
        late = [s.mebibytes for s in samples if s.trials >= trials / 10]
        return max(s.mebibytes for s in samples), max(late) - late[0] if late else 0.0

    def cpu_seconds(self, process: str) -> float:
        """Up to the last sample."""
        return max((s.cpu_seconds for s in self.samples[process]), default=0.0)


def watch(arguments: Sequence[str], folder: Path) -> Watched:
    """Run ``python -m sweeps.regularization ARGUMENTS`` with a new store in ``folder``. Raises BenchmarkError."""
    time.sleep(SETTLING_SECONDS)
    store, samples = folder / "results.db", {name: [] for name in PROCESSES}
    environment = {**os.environ, "RAY_TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("RAY_ADDRESS", None)
    command = [
        sys.executable,
        "-m",
        "sweeps.regularization",
        *arguments,
        "--tracking-uri",
        f"sqlite:///{store}",
    ]
    with (folder / "output.log").open("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            _sample(process.pid, store, samples)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
    if process.returncode:
        raise BenchmarkError(f"the sweep ended with code {process.returncode}; its output is in {log.name}")
    return Watched(seconds, store, samples)


def _sample(driver: int, store: Path, samples: dict[str, list[Sample]]) -> None:
    trials = written(store)
    for name in PROCESSES:
        pid = _descendant(driver, BESIDE[name]) if name in BESIDE else driver
        with contextlib.suppress(OSError):  # it has just ended
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            memory = int(stat[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
            cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
            samples[name].append(Sample(trials, memory, cpu))


def _descendant(ancestor: int, title: str) -> int:
    """The process under ``ancestor`` whose command line has ``title`` in it; 0 where there is none."""
    parents: dict[int, int] = {}
    titled = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if title in (folder / "cmdline").read_text().replace("\0", " "):
                    titled.append(int(folder.name))
    for pid in titled:
        above = pid
        while above in parents and above != ancestor:
            above = parents[above]
        if above == ancestor:
            return pid
    return 0


def query(store: Path, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a store, which is not written to."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=20)) as connection:
        return connection.execute(statement).fetchall()


def written(store: Path) -> int:
    """Finished trials in a store; 0 before its tables are there."""
    with contextlib.suppress(sqlite3.Error):
        return int(query(store, "select count(*) from runs where status = 'FINISHED'")[0][0])
    return 0


def overlap(store: Path) -> float:
    """Share of the trials whose writing began while others still trained."""
    runs = query(store, "select run_uuid, end_time from runs")
    trained = max(end for _, end in runs)
    return sum(_begun(run_id) < trained for run_id, _ in runs) / len(runs)


def running_seconds(store: Path) -> float:
    """From the start of the first cohort to the last batch that was written."""
    runs = query(store, "select run_uuid, start_time from runs")
    return (max(_begun(run_id) for run_id, _ in runs) - min(start for _, start in runs)) / 1000


def _begun(run_id: str) -> float:
    """When a run's batch began to be written, in milliseconds: the first half of its id, in nanoseconds."""
    return int(run_id[:16], 16) / 1e6


def page_seconds(store: Path, times: int) -> dict[str, float]:
    """Median seconds of the requests that MLflow's list of runs makes, once its server is warm."""
    uri, logs = f"sqlite:///{store}", store.with_suffix(".server.log")
    experiment = str(
        query(store, "select experiment_id from experiments where name = 'regularization'")[0][0]
    )
    newest = {"experiment_ids": [experiment], "max_results": 100, "order_by": ["attributes.start_time DESC"]}
    best = {**newest, "order_by": ["metrics.validation_accuracy DESC"]}
    requests: dict[str, tuple[str, dict[str, Any] | None]] = {
        "experiments": ("experiments/search?max_results=100", None),
        "runs": ("runs/search", newest),
        "runs by accuracy": ("runs/search", best),
    }
    with _server(uri, logs) as address:
        found = {}
        for name, (path, body) in requests.items():
            seconds = [_request(f"{address}/ajax-api/2.0/mlflow/{path}", body) for _ in range(times + 1)]
            found[name] = statistics.median(seconds[1:])
    return found


def _request(url: str, body: dict[str, Any] | None) -> float:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        if not json.load(answer):
            raise BenchmarkError(f"{url} has nothing to show")
    return time.perf_counter() - started


@contextlib.contextmanager
def _server(uri: str, logs: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", uri]
    without_jobs = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes less
    with logs.open("w") as log:
        # A session of its own, because the server has processes of its own that end with it.
        process = subprocess.Popen(
            command, env=without_jobs, stdout=log, stderr=log, cwd=logs.parent, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"MLflow's server did not start; its output is in {logs}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
