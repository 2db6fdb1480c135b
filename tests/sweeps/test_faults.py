"""Stores that go away, disks that fill up, workers that keep dying."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow_server import Server

Start = Callable[..., "subprocess.Popen[str]"]
Patched = Callable[[str, str], str]

SMOKE = ("--scale", "smoke")
SPARE = 90 * 2**20
"""A disk of this size passes the check before a sweep."""


@pytest.mark.slow
def test_a_server_that_is_away_for_a_while_costs_no_result(start: Start, server: Server) -> None:
    from mlflow import MlflowClient

    argv = (
        *SMOKE,
        "--epochs",
        "300",
        "--address",
        "inline",
        "--max-cohort",
        "1",
        "--tracking-uri",
        server.uri,
    )
    process = start(*argv)
    client = MlflowClient(server.uri)
    deadline = time.monotonic() + 120
    while not (experiment := client.get_experiment_by_name("regularization")) or not client.search_runs(
        [experiment.experiment_id]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.stop()
    time.sleep(10)
    server.start()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 8
    assert len({run.data.tags["trial"] for run in runs}) == 8
    again, err = start(*argv).communicate(timeout=120)
    assert "8 more were finished before" in again, err


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    """A file system of its own, with little room."""
    folder = here / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SPARE}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_holds_results_back_until_there_is_room(start: Start, small_disk: Path) -> None:
    import sqlite3

    store = small_disk / "mlflow.db"
    argv = (
        *SMOKE,
        "--epochs",
        "300",
        "--address",
        "inline",
        "--max-cohort",
        "1",
        "--log-dir",
        str(small_disk / "logs"),
    )
    process = start(*argv, "--tracking-uri", f"sqlite:///{store}")

    def finished() -> int:
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(store) as connection:
            return int(
                connection.execute("select count(*) from runs where status = 'FINISHED'").fetchone()[0]
            )
        return 0

    deadline = time.monotonic() + 120
    while not finished():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    assert shutil.disk_usage(small_disk).free < 64 * 1024
    time.sleep(8)
    held_back = finished()
    assert held_back < 8
    assert process.poll() is None
    (small_disk / "filler").unlink()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    assert finished() == 8


def test_a_disk_that_is_full_from_the_start_is_told_at_once(start: Start, small_disk: Path) -> None:
    with (small_disk / "filler").open("wb") as filler:
        filler.write(bytes(SPARE - 20 * 2**20))
    process = start(*SMOKE, "--log-dir", str(small_disk))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "MiB are free at" in err
    assert len(err.splitlines()) == 1


DEADLY = """
def change(module):
    real = module.run_cohort
    def run_cohort(cohort, **options):
        if any(dict(c.regularizers).get("dropout") == 0.5 and c.corruption == "none" for c in cohort.configs):
            os._exit(1)
        return real(cohort, **options)
    module.run_cohort = run_cohort
"""
"""One trial takes its process down."""

LOST = """
def change(module):
    real = module.Folder.write
    def write(self, name, trials, epoch, state, gpu):
        real(self, name, trials, epoch, state, gpu)
        with open(os.environ["DEATHS"], "a+") as deaths:
            deaths.seek(0)
            if len(deaths.readlines()) < 5:
                print(epoch, file=deaths, flush=True)
                os._exit(1)
    module.Folder.write = write
"""
"""The first five processes that keep the state of a training die of it."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_that_takes_its_worker_down_every_time_fails_alone(
    here: Path, start: Start, patched: Patched
) -> None:
    import sqlite3

    path = patched("memory_study.run", DEADLY)
    process = start(*SMOKE, "--cpus", "2", "--max-cohort", "4", PYTHONPATH=path)
    out, err = process.communicate(timeout=800)
    assert process.returncode == 1, out + err
    assert "dropout 0.5 · real · seed 0: its worker died 3 times" in out
    with sqlite3.connect(here / "mlflow.db") as connection:
        counts = dict(connection.execute("select status, count(*) from runs group by status"))
    assert counts == {"FINISHED": 7, "FAILED": 1}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_whose_machines_are_lost_one_after_the_other_goes_on_where_each_left_it(
    here: Path, start: Start, patched: Patched
) -> None:
    import sqlite3

    process = start(
        *SMOKE, "--cpus", "1", "--limit", "1", "--epochs", "400", "--checkpoint-seconds", "0.01",
        PYTHONPATH=patched("sweeps._checkpoints", LOST), DEATHS=str(here / "deaths"),
    )  # fmt: skip
    out, err = process.communicate(timeout=800)
    assert process.returncode == 0, out + err
    epochs = [int(line) for line in (here / "deaths").read_text().split()]
    assert len(epochs) == 5, "more often than the retries of one round"
    assert epochs == sorted(set(epochs))
    with sqlite3.connect(here / "mlflow.db") as connection:
        ((resumed,),) = connection.execute("select value from latest_metrics where key = 'resumed_epoch'")
    assert resumed >= epochs[-1]
