"""Stores that go away, disks that fill up, workers that keep dying."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow_server import Server

Start = Callable[..., "subprocess.Popen[str]"]

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


DEADLY = '''
import sys
from importlib.machinery import PathFinder

class Patch:
    """Wraps run_cohort, in whatever process imports it, so that one trial takes its process down."""

    def find_spec(self, name, path, target=None):
        if name != "memory_study.run":
            return None
        spec = PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            real = module.run_cohort
            def run_cohort(cohort, **options):
                if any(dict(c.regularizers).get("dropout") == 0.5 and c.corruption == "none" for c in cohort.configs):
                    import os
                    os._exit(1)
                return real(cohort, **options)
            module.run_cohort = run_cohort
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Patch())
'''


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trial_that_takes_its_worker_down_every_time_fails_alone(
    here: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    site = here / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(DEADLY)
    root = Path(__file__).parents[2]
    process = start(*SMOKE, "--cpus", "2", "--max-cohort", "4", PYTHONPATH=f"{site}{os.pathsep}{root}")
    out, err = process.communicate(timeout=800)
    assert process.returncode == 1, out + err
    assert "dropout 0.5 · real · seed 0: its worker died 3 times" in out
    with sqlite3.connect(here / "mlflow.db") as connection:
        counts = dict(connection.execute("select status, count(*) from runs group by status"))
    assert counts == {"FINISHED": 7, "FAILED": 1}
