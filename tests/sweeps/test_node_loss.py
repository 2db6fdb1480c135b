"""A sweep on three nodes, of which one is lost, or cut off and comes back: nothing lost, nothing twice."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from patching import write_slower
from ray_nodes import Nodes

ROOT = Path(__file__).parents[2]
SWEEP = ("-m", "sweeps.noise", "--scale", "smoke", "--seeds", "0", "1", "--epochs", "75", "--max-cohort", "2",
         "--csr-examples", "0", "--validation-schedule", "curve")  # fmt: skip
"""Ten trials in five tasks."""

pytestmark = pytest.mark.slow


@pytest.fixture
def add(nodes: Nodes, tmp_path: Path) -> Callable[[], subprocess.Popen[bytes]]:
    """Add a node, on which each of the five tasks takes some seconds."""
    write_slower(tmp_path / "slower", 0.04)
    return lambda: nodes.add(PYTHONPATH=str(tmp_path / "slower"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What the sweep measures where nothing goes wrong, in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([sys.executable, *SWEEP, "--address", "inline", "--cpus", "1"], cwd=folder, check=True)
    return measured(folder)


def measured(folder: Path) -> list[tuple[object, ...]]:
    """Every number of every finished run but those that the clock decides, each as often as it is there."""
    query = """select t.value, m.key, m.step, m.value
               from metrics m join runs r using (run_uuid) join tags t using (run_uuid)
               where t.key = 'trial' and r.status = 'FINISHED' and r.lifecycle_stage = 'active'
               and m.key not like '%seconds' and m.key <> 'resumed_epoch'"""
    with sqlite3.connect(folder / "mlflow.db") as store:
        return sorted(store.execute(query).fetchall())


def start(nodes: Nodes, folder: Path) -> subprocess.Popen[str]:
    """The sweep, with checkpoints where all nodes find them."""
    command = [
        *SWEEP,
        "--address",
        nodes.address,
        "--checkpoint-dir",
        str(folder / "kept"),
        "--checkpoint-seconds",
        "0.3",
    ]
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=nodes.environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def when(true: Callable[[], bool], driver: subprocess.Popen[str], seconds: float = 120) -> None:
    """Return when something has become true, while the sweep goes on."""
    deadline = time.monotonic() + seconds
    while not true():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def epochs_kept(folder: Path) -> dict[str, int]:
    """By cohort, the epochs in its checkpoint."""
    found = {}
    for file in folder.glob("kept/*/*.json"):
        try:
            found[file.stem] = json.loads(file.read_text())["epoch"]
        except FileNotFoundError:  # its cohort has just ended
            continue
    return found


def goes_on(before: dict[str, int], now: dict[str, int]) -> bool:
    """A cohort that is held on a frozen node runs elsewhere, or has ended there; where none is held, another one runs."""
    return any(now.get(name, sys.maxsize) > epoch for name, epoch in before.items()) or bool(
        now and not before
    )


def check(driver: subprocess.Popen[str], folder: Path, undisturbed: list[tuple[object, ...]]) -> list[float]:
    """The sweep ends well and measured what it would have anyway; where its trials were resumed."""
    out, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, out + "".join(log.read_text() for log in folder.glob("logs/*"))
    assert "10 trials finished" in out
    with sqlite3.connect(folder / "mlflow.db") as store:
        runs = store.execute("select status, lifecycle_stage, count(*) from runs group by 1, 2").fetchall()
        resumed = store.execute("select value from latest_metrics where key = 'resumed_epoch'").fetchall()
    assert runs == [("FINISHED", "active", 10)]
    assert measured(folder) == undisturbed
    return [epoch for (epoch,) in resumed]


def test_a_lost_node_costs_what_it_had_not_kept_and_no_result(
    nodes: Nodes,
    add: Callable[[], subprocess.Popen[bytes]],
    tmp_path: Path,
    undisturbed: list[tuple[object, ...]],
) -> None:
    first = add()
    driver = start(nodes, tmp_path)
    when(lambda: any(epoch > 10 for epoch in epochs_kept(tmp_path).values()), driver)
    (kept,) = epochs_kept(tmp_path).values()  # one node, one CPU: one cohort at a time
    nodes.kill(first)
    add()
    add()
    resumed = check(driver, tmp_path, undisturbed)
    assert len(resumed) == 2
    assert all(epoch >= kept for epoch in resumed)


def test_a_node_that_was_cut_off_and_comes_back_writes_nothing_twice(
    nodes: Nodes,
    add: Callable[[], subprocess.Popen[bytes]],
    tmp_path: Path,
    undisturbed: list[tuple[object, ...]],
) -> None:
    first = add()
    driver = start(nodes, tmp_path)
    when(lambda: any(epoch > 10 for epoch in epochs_kept(tmp_path).values()), driver)
    nodes.freeze(first)
    before = epochs_kept(tmp_path)
    add()
    when(lambda: goes_on(before, epochs_kept(tmp_path)), driver)
    nodes.thaw(first)
    assert check(driver, tmp_path, undisturbed)
