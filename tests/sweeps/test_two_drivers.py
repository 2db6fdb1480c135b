"""Two drivers on one store, as people start them by mistake: a laptop's file, and a server."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from many_writers import EXPECTED, runs_of, write_at_once
from mlflow import MlflowClient
from mlflow_server import Server

from sweeps._lease import PREFIX, ClientTags, Holder
from sweeps._ledger import read_ledger

Start = Callable[..., "subprocess.Popen[str]"]
Check = Callable[..., None]
NOISE = ("--scale", "smoke", "--epochs", "400", "--max-cohort", "1")
"""Five tasks of about a second each."""


def wait_for_a_result(uri: str) -> int:
    """Until the store has finished trials; how many. Unlike MLflow's client this does not create a store."""
    deadline = time.monotonic() + 240
    while not (found := len(read_ledger(uri, "noise").entries)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def started(start: Start) -> Iterator[Start]:
    """Like ``start``; what is left of the drivers afterwards is killed, and all that they have started ends with them."""
    running: list[subprocess.Popen[str]] = []

    def call(*argv: str, sweep: str, **variables: str) -> subprocess.Popen[str]:
        running.append(start(*argv, sweep=sweep, **variables))
        return running[-1]

    yield call
    for process in running:
        process.kill()
        process.communicate()


def trials_of(uri: str) -> Counter[tuple[str, str]]:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("noise")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return Counter((run.data.tags["trial"], run.info.status) for run in runs)


def leases_of(uri: str) -> list[str]:
    tags = MlflowClient(uri).get_experiment_by_name("noise").tags
    return [key for key in tags if key.startswith(PREFIX)]


GATE = """
def change(module):
    real = module.run_cohort
    def run_cohort(cohort, **options):
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.05)
        return real(cohort, **options)
    module.run_cohort = run_cohort
"""
"""Nothing is trained before a file is there."""


@pytest.fixture
def one_goes_on(started: Start, here: Path, patched: Callable[[str, str], str]) -> Check:
    """Start two drivers at once; the second must have been refused by the time that the first may train."""
    gate = here / "gate"
    variables = {"PYTHONPATH": patched("memory_study.run", GATE), "GATE": str(gate)}

    def check(uri: str, *argv: str) -> None:
        argv = ("--scale", "smoke", "--tracking-uri", uri, *argv)
        drivers = [started(*argv, sweep="noise", **variables) for _ in range(2)]
        deadline = time.monotonic() + 240
        while all(driver.poll() is None for driver in drivers):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        winner, loser = sorted(drivers, key=lambda driver: driver.poll() is not None)
        out, err = loser.communicate()
        assert loser.returncode == 2, out + err
        (line,) = err.splitlines()
        assert re.match(
            rf"error: another driver is at work on experiment 'noise': process {winner.pid} on .*, since 20",
            line,
        )
        assert "wait for its end or stop it there" in line
        gate.touch()
        out, err = winner.communicate(timeout=240)
        assert winner.returncode == 0, out + err
        assert "5 trials finished" in out
        assert sorted(trials_of(uri).values()) == [1] * 5
        assert {status for _, status in trials_of(uri)} == {"FINISHED"}
        assert not leases_of(uri)

    return check


@pytest.mark.slow
def test_of_two_drivers_on_one_file_one_goes_on(one_goes_on: Check, here: Path) -> None:
    one_goes_on(f"sqlite:///{here}/mlflow.db", "--address", "inline")


@pytest.mark.slow
def test_of_two_drivers_with_a_ray_each_one_goes_on(one_goes_on: Check, here: Path) -> None:
    one_goes_on(f"sqlite:///{here}/mlflow.db", "--cpus", "1")


@pytest.mark.slow
def test_of_two_drivers_on_one_server_one_goes_on(one_goes_on: Check, server: Server) -> None:
    one_goes_on(server.uri, "--cpus", "1")


@pytest.mark.slow
def test_a_killed_drivers_experiment_is_free_at_once(started: Start, here: Path) -> None:
    uri = f"sqlite:///{here}/mlflow.db"
    argv = (*NOISE, "--address", "inline", "--tracking-uri", uri)
    first = started(*argv, sweep="noise")
    wait_for_a_result(uri)
    first.kill()
    first.communicate()
    assert leases_of(uri)
    before = len(trials_of(uri))
    out, err = started(*argv, sweep="noise").communicate(timeout=240)
    assert f"{5 - before} trials finished ({before} more were finished before)" in out, out + err
    assert "waiting" not in out
    assert sorted(trials_of(uri).values()) == [1] * 5
    assert not leases_of(uri)


@pytest.mark.slow
def test_a_driver_that_another_took_over_stops_and_says_so(started: Start, here: Path, slower: str) -> None:
    """It was cut off from the store for so long that one elsewhere held it to be dead."""
    uri = f"sqlite:///{here}/mlflow.db"
    argv = ("--scale", "smoke", "--epochs", "200", "--max-cohort", "1", "--cpus", "1")
    driver = started(*argv, "--tracking-uri", uri, sweep="noise", PYTHONPATH=slower)
    wait_for_a_result(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("noise").experiment_id
    taker = Holder("e" * 32, "node7", 4711, "another boot", "1", time.time(), time.time(), 2, True)
    ClientTags(client, experiment).write(taker)
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 2, out + err
    (line,) = err.splitlines()
    assert "another driver took experiment 'noise' over" in line
    assert "process 4711 on node7" in line
    assert leases_of(uri) == [PREFIX + taker.token]
    assert {status for _, status in trials_of(uri)} == {"FINISHED"}


def test_a_dry_run_takes_no_lease(started: Start, here: Path) -> None:
    process = started("--scale", "smoke", "--dry-run", sweep="noise")
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
