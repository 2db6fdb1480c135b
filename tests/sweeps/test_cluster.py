"""A cluster of several nodes: where the code comes from, and what happens where it differs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from patching import write_patch, write_slower
from ray_nodes import Nodes

ROOT = Path(__file__).parents[2]
NOISE = ("-m", "sweeps.noise", "--scale", "smoke", "--checkpoint-seconds", "0")

pytestmark = pytest.mark.slow


def drive(nodes: Nodes, folder: Path, *argv: str, code: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a sweep on the cluster, with the code in ``code``."""
    environment = nodes.environment | {"PYTHONPATH": str(code)}
    command = [sys.executable, *NOISE, "--address", nodes.address, *argv]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def edited(folder: Path) -> Path:
    """A copy of the project with one more line in it."""
    for package in ("memory_study", "sweeps"):
        subprocess.run(["cp", "-r", ROOT / package, folder / package], check=True)
    with (folder / "memory_study" / "run.py").open("a") as file:
        file.write("\nEDITED = True\n")
    return folder


def test_workers_get_the_code_from_the_driver(nodes: Nodes, tmp_path: Path) -> None:
    # The nodes were started with what is installed; the driver has another copy, and sends it.
    nodes.add()
    nodes.add()
    copy = tmp_path / "copy"
    copy.mkdir()
    done = drive(nodes, tmp_path, code=edited(copy))
    assert done.returncode == 0, done.stdout + done.stderr + logs(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert store.execute("select status, count(*) from runs group by status").fetchall() == [
            ("FINISHED", 5)
        ]


def test_a_worker_with_other_code_is_an_error_before_any_trial_runs(nodes: Nodes, tmp_path: Path) -> None:
    # As under `ray job submit` without a working directory: nothing is sent, and nodes have what is installed.
    nodes.add()
    copy = tmp_path / "copy"
    copy.mkdir()
    nodes.environment["RAY_JOB_CONFIG_JSON_ENV_VAR"] = "{}"
    done = drive(nodes, tmp_path, code=edited(copy))
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("error: node ") == len(done.stderr.strip().splitlines()) > 0
    assert "install the same version" in done.stderr
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert store.execute("select count(*) from runs").fetchall() == [(0,)]


NO_DATA = """
def change(datasets):
    def load(*arguments):
        raise datasets.DataError("the disk has gone")
    datasets.load = load
"""


def test_a_node_without_the_data_leaves_its_work_to_one_that_has_it(nodes: Nodes, tmp_path: Path) -> None:
    write_patch(tmp_path / "no-data", "memory_study.datasets", NO_DATA)
    write_slower(
        tmp_path / "slower", 0.5
    )  # so that what waits would come to the other, which has done at once
    nodes.add(PYTHONPATH=str(tmp_path / "no-data"))
    nodes.add(PYTHONPATH=str(tmp_path / "slower"))
    done = drive(nodes, tmp_path, "--max-cohort", "1")
    assert done.returncode == 0, done.stdout + done.stderr + logs(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        assert store.execute("select status, count(*) from runs group by status").fetchall() == [
            ("FINISHED", 5)
        ]
    assert "cannot load the data (DataError: the disk has gone)" in logs(tmp_path) + done.stdout


def test_a_cluster_without_the_data_is_an_error_that_names_its_node(nodes: Nodes, tmp_path: Path) -> None:
    write_patch(tmp_path / "no-data", "memory_study.datasets", NO_DATA)
    nodes.add(PYTHONPATH=str(tmp_path / "no-data"))
    done = drive(nodes, tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: node ")
    assert "cannot load the data (DataError: the disk has gone)" in line


def logs(folder: Path) -> str:
    return "".join(file.read_text() for file in (folder / "logs").glob("*"))
