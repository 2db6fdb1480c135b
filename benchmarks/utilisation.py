"""How busy does a sweep keep 4, 16 and 64 nodes, and where does handing out tasks become the limit?

Run:    python -m benchmarks.utilisation [--quick]
Cost:   some 24 minutes on two CPU cores, 15 of them for 64 nodes (2026-11-22 and 27); --quick shows only that it works
Expect: a line for each number of nodes and length of task

Simulated: one Ray of this machine declares a GPU for each node, and a task holds one and sleeps as long as a cohort would
train. Everything else is what a sweep does: Ray Tune, placement, the tracker, one run a trial in a SQLite store. *Whole* is
the share of the nodes' time, from the first task's start to the last one's end, in which tasks ran. On this machine all
nodes start their processes on the same few cores, which takes 40 s for 64 and is no property of a cluster; *steady*
leaves that and the end out: from when every node has had a task until the last task is handed out. *Processes* is how
many trained: as many as nodes, unless some were ended before their first task, or none of a node's came so far.

The last line printed is one JSON object.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from memory_study.cohort import Cohort
from memory_study.config import TrialConfig
from memory_study.record import Record, Tag
from sweeps._batch import outcomes
from sweeps._job import Job
from sweeps._log import quiet, silence_ray
from sweeps._pack import Task

SHORT = ((1.0, 40), (3.0, 15), (10.0, 6))
WORK = {4: SHORT, 16: ((0.25, 120), (0.5, 60), *SHORT), 64: ((10.0, 6), (30.0, 6), (60.0, 5))}
"""By number of nodes, seconds of a task and how many each node gets. Shorter tasks than the start of all processes takes
fill no 64 nodes of one machine: see docs/reliability.md."""
QUICK = {4: ((0.5, 20),)}
EXPERIMENT = "utilisation"
Interval = tuple[float, float]
_RUNS = """
select start_time, end_time, t.value from runs r join tags t on t.run_uuid = r.run_uuid and t.key = :device
"""


def asleep(config: Mapping[str, Any], job: Job, tracker: Any, assigned: None) -> None:
    """In place of training: hold the node for as long as the task is said to take."""
    import ray

    from sweeps._worker import ActorSink

    task, left = ray.get(tracker.task.remote(config["task"]["number"]))
    start = int(time.time() * 1000)
    time.sleep(task.seconds)
    records = [Record(trial.id, {}, {}) for trial in left]
    end = int(time.time() * 1000)
    tags = {**job.tags, Tag.DEVICE: f"process {os.getpid()}"}
    ActorSink(tracker).submit(outcomes(Cohort(left), records, [], tags, (start, end)))


def measure(nodes: int, seconds: float, tasks_a_node: int, folder: Path) -> tuple[list[Interval], int]:
    """When each task began and ended, in seconds of the epoch, and the number of processes that trained."""
    import ray

    from sweeps import _launch
    from sweeps._desk import Desk
    from sweeps._writers import open_writer

    store = folder / f"{nodes}-{seconds}.db"
    job = Job(Path(), "cpu", False, f"sqlite:///{store}", EXPERIMENT, {})
    desk = Desk(open_writer(job.tracking_uri, EXPERIMENT))
    cohorts = [Cohort((TrialConfig(seed=seed),)) for seed in range(nodes * tasks_a_node)]
    tasks = [Task(cohort, 1.0, 1.0, 0, seconds) for cohort in cohorts]
    ray.init(num_cpus=nodes, num_gpus=nodes, include_dashboard=False, log_to_driver=False)
    try:
        tracker = _launch._start_tracker(job, desk.place)
        with mock.patch.object(_launch, "run_task", asleep):
            lost = _launch._fit(tasks, job, tracker)
        tally = ray.get(tracker.close.remote(60.0))
    finally:
        ray.shutdown()
    assert not lost
    assert tally.finished == len(tasks)
    with sqlite3.connect(store) as connection:
        rows = connection.execute(_RUNS, {"device": str(Tag.DEVICE)}).fetchall()
    return [(start / 1000, end / 1000) for start, end, _ in rows], len({process for _, _, process in rows})


def utilisation(intervals: Sequence[Interval], nodes: int) -> tuple[float, float, float]:
    """Busy shares of the nodes' time, whole and steady, and tasks handed out a second while steady."""
    starts = sorted(start for start, _ in intervals)
    whole = (starts[0], max(end for _, end in intervals))
    steady = (starts[nodes - 1], starts[-1])
    rate = len(starts[nodes:]) / (steady[1] - steady[0])
    return _busy(intervals, whole, nodes), _busy(intervals, steady, nodes), rate


def _busy(intervals: Sequence[Interval], window: Interval, nodes: int) -> float:
    low, high = window
    inside = sum(max(0.0, min(end, high) - max(start, low)) for start, end in intervals)
    return inside / (nodes * (high - low))


def main(arguments: Sequence[str]) -> int:
    """Measure every number of nodes with every length of task, print the table."""
    quick = "--quick" in arguments
    silence_ray()
    results = {}
    print("nodes  task    tasks  processes   whole  steady  tasks/s  at most")
    with tempfile.TemporaryDirectory() as name:
        for nodes, work in (QUICK if quick else WORK).items():
            for seconds, tasks in work:
                with quiet(Path(name) / "log"):
                    intervals, processes = measure(nodes, seconds, tasks, Path(name))
                whole, steady, rate = utilisation(intervals, nodes)
                print(
                    f"{nodes:5}  {seconds:3g} s  {len(intervals):6}  {processes:9}  {whole:6.1%}  {steady:6.1%}  "
                    f"{rate:7.2f}  {nodes / seconds:7.2f}",
                    flush=True,
                )
                row = {"processes": processes, "whole": whole, "steady": steady, "tasks_s": rate}
                results[f"{nodes} nodes, {seconds:g} s"] = row
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
