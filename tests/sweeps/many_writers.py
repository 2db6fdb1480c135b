"""Several processes that write different and overlapping outcomes to one store at the same time, a new one at that.

Run as a command it is one of them: python many_writers.py URI EXPERIMENT FIRST LAST. It says "ready" before it opens the
store and before it writes, and goes on when it is given a line.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Mapping

from mlflow import MlflowClient

from memory_study.config import TrialConfig
from memory_study.record import Record, Tag
from sweeps._batch import Outcome
from sweeps._tracking import Tracker
from sweeps._writers import open_writer

EXPERIMENT = "many"
SPANS = ((0, 60), (0, 80), (40, 100), (0, 100))
"""Seeds of the trials that each process writes. Each trial is written by two to four of them."""
ERRORS = ("database is locked", "deadlock", "OperationalError", "Traceback")


def outcome(seed: int) -> Outcome:
    """The same from whoever writes it, but for the time when it ended."""
    config = TrialConfig(seed=seed, epochs=10)
    curve = tuple((epoch, (seed + epoch) / 100) for epoch in range(1, 11))
    now = int(time.time() * 1000)
    tags = {Tag.KIND: "trial", Tag.TRIAL: config.id, Tag.SWEEP: EXPERIMENT}
    scalars = {"best_validation_accuracy": 0.5, "diverged": 0.0}
    return Outcome(config, tags, now, now, Record(config.id, scalars, {"train_accuracy": curve}))


def write(uri: str, experiment: str, first: int, last: int) -> None:
    """Write the trials with these seeds through a tracker, in batches."""
    tracker = Tracker(lambda: open_writer(uri, experiment))
    wait()
    tracker.open()
    wait()
    for start in range(first, last, 10):
        tracker.submit([outcome(seed) for seed in range(start, start + 10)])
    tally = tracker.close(120)
    assert (tally.finished, tally.lost, tally.waiting) == (last - first, (), 0), tally


def wait() -> None:
    """Until all the others are as far."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def write_at_once(*uris: str, experiment: str = EXPERIMENT) -> None:
    """Let all processes write, each in one of these ways to the store; raises AssertionError if one had trouble."""
    spans = [
        (uri, experiment, str(first), str(last))
        for uri, (first, last) in zip(itertools.cycle(uris), SPANS, strict=False)
    ]
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen([sys.executable, __file__, *span], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for span in spans
    ]
    for _ in range(2):
        for writer in writers:
            assert writer.stdout is not None
            if writer.stdout.readline() != "ready\n":
                raise AssertionError(writer.communicate(timeout=60)[1])
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
    ended = [(*writer.communicate(timeout=300), writer.returncode) for writer in writers]
    for _, told, code in ended:
        assert code == 0, told
        assert not any(error in told for error in ERRORS), told


def runs_of(uri: str, experiment: str = EXPERIMENT) -> Mapping[str, str]:
    """Status by trial of the runs that are not in the trash. Raises AssertionError if a trial has two."""
    client = MlflowClient(uri)
    found_experiment = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found_experiment.experiment_id], max_results=1000)
    found = {run.data.tags[Tag.TRIAL]: str(run.info.status) for run in runs}
    assert len(found) == len(runs)
    return found


EXPECTED = {TrialConfig(seed=seed, epochs=10).id: "FINISHED" for seed in range(100)}


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
