"""Two drivers on one store, as people start them by mistake: a laptop's file, and a server."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from many_writers import EXPECTED, runs_of, write_at_once
from mlflow import MlflowClient
from mlflow_server import Server

from sweeps._lease import PREFIX

Start = Callable[..., "subprocess.Popen[str]"]
NOISE = ("--scale", "smoke", "--epochs", "400", "--max-cohort", "1")
"""Five tasks of about a second each."""


def trials_of(uri: str) -> Counter[tuple[str, str]]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("noise")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return Counter((run.data.tags["trial"], run.info.status) for run in runs)


def leases_of(uri: str) -> list[str]:
    tags = MlflowClient(uri).get_experiment_by_name("noise").tags
    return [key for key in tags if key.startswith(PREFIX)]


def one_goes_on(start: Start, uri: str, *argv: str) -> None:
    drivers = [start(*NOISE, *argv, "--tracking-uri", uri, sweep="noise") for _ in range(2)]
    told = {driver.pid: driver.communicate(timeout=240) for driver in drivers}
    codes = {driver.pid: driver.returncode for driver in drivers}
    assert sorted(codes.values()) == [0, 2], told
    winner, loser = sorted(codes, key=codes.__getitem__)
    assert "5 trials finished" in told[winner][0]
    (line,) = told[loser][1].splitlines()
    assert re.match(
        rf"error: another driver is at work on experiment 'noise': process {winner} on .*, since 20", line
    )
    assert "wait for its end or stop it there" in line
    assert sorted(trials_of(uri).values()) == [1] * 5
    assert {status for _, status in trials_of(uri)} == {"FINISHED"}
    assert not leases_of(uri)


@pytest.mark.slow
def test_of_two_drivers_on_one_file_one_goes_on(start: Start, here: Path) -> None:
    one_goes_on(start, f"sqlite:///{here}/mlflow.db", "--address", "inline")


@pytest.mark.slow
def test_of_two_drivers_with_a_ray_each_one_goes_on(start: Start, here: Path) -> None:
    one_goes_on(start, f"sqlite:///{here}/mlflow.db", "--cpus", "1")


@pytest.mark.slow
def test_of_two_drivers_on_one_server_one_goes_on(start: Start, server: Server) -> None:
    one_goes_on(start, server.uri, "--cpus", "1")


@pytest.mark.slow
def test_a_killed_drivers_experiment_is_free_at_once(start: Start, here: Path) -> None:
    uri = f"sqlite:///{here}/mlflow.db"
    argv = (*NOISE, "--address", "inline", "--tracking-uri", uri)
    first = start(*argv, sweep="noise")
    deadline = time.monotonic() + 120
    while not trials_of(uri):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.kill()
    first.communicate()
    assert leases_of(uri)
    before = len(trials_of(uri))
    out, err = start(*argv, sweep="noise").communicate(timeout=240)
    assert f"{5 - before} trials finished ({before} more were finished before)" in out, out + err
    assert "waiting" not in out
    assert sorted(trials_of(uri).values()) == [1] * 5
    assert not leases_of(uri)


def test_a_dry_run_takes_no_lease(start: Start, here: Path) -> None:
    process = start("--scale", "smoke", "--dry-run", sweep="noise")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not (here / "mlflow.db").exists()


@pytest.mark.slow
def test_four_processes_write_a_new_file_at_once(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    write_at_once(uri)
    assert runs_of(uri) == EXPECTED


@pytest.mark.slow
def test_four_processes_write_through_a_server_at_once(server: Server) -> None:
    write_at_once(server.uri)
    assert runs_of(server.uri) == EXPECTED
