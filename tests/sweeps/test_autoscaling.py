"""A cluster that grows and shrinks: workers come when a sweep waits for them, are filled, and go when it is over.

The nodes are real Ray nodes of this machine that declare a GPU, started by Ray's own autoscaler through its provider for
tests, in place of a cloud.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patching import write_slower
from ray_nodes import Nodes

ROOT = Path(__file__).parents[2]
HEAD = "f" * 51 + "00000"
"""The provider wants to know the head's id beforehand."""
LISTS = (
    "cluster_synced_files rsync_exclude rsync_filter initialization_commands setup_commands head_setup_commands "
    "worker_setup_commands head_start_ray_commands worker_start_ray_commands"
)
IDLE_MINUTES = 0.1

pytestmark = pytest.mark.slow


def autoscaling(address: str) -> dict[str, Any]:
    """No worker at first, at most two, of two CPUs and a GPU each."""
    return {
        "cluster_name": "fake", "max_workers": 2, "head_node_type": "ray.head.default", "idle_timeout_minutes": IDLE_MINUTES,
        "upscaling_speed": 1.0, "auth": {}, "docker": {}, "file_mounts": {}, "file_mounts_sync_continuously": False,
        "provider": {
            "type": "external", "gcs_address": address, "head_node_id": HEAD, "launch_multiple": True,
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True, "disable_node_updaters": True, "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu_spot": {
                "resources": {"CPU": 2, "GPU": 1, "object_store_memory": 10**8}, "node_config": {},
                "min_workers": 0, "max_workers": 2,
            },
        },
        **{name: [] for name in LISTS.split()},
    }  # fmt: skip


class Growing(Nodes):
    """A head alone, with an autoscaler; on its nodes an epoch takes a twentieth of a second longer."""

    def head_arguments(self) -> list[str]:
        file = self.folder / "autoscaling.json"
        file.write_text(json.dumps(autoscaling(self.address)))
        self.environment |= {
            "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
            "PYTHONPATH": str(self.folder / "slower"),
        }  # fmt: skip
        write_slower(self.folder / "slower", 0.05)
        return [*super().head_arguments(), f"--autoscaling-config={file}"]


@pytest.fixture
def growing() -> Iterator[Growing]:
    running = Growing()
    for name in ("RAY_FAKE_CLUSTER", "RAY_CLOUD_INSTANCE_ID", "RAY_OVERRIDE_NODE_ID_FOR_TESTING"):
        del running.environment[name]  # the head's alone
    yield running
    running.end()


@pytest.fixture
def seen(growing: Growing, tmp_path: Path) -> Iterator[Path]:
    """What the cluster looked like, a line of JSON twice a second."""
    path = tmp_path / "seen"
    command = [sys.executable, str(Path(__file__).with_name("watch_cluster.py")), growing.address]
    with path.open("w") as file:
        watching = subprocess.Popen(command, env=growing.environment, stdout=file, stderr=subprocess.STDOUT)
    yield path
    watching.kill()
    watching.wait()


def lines(seen: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seen.read_text().splitlines()[:-1]]


def test_a_sweep_brings_up_gpu_nodes_fills_them_and_lets_them_go(
    growing: Growing, seen: Path, tmp_path: Path
) -> None:
    argv = ["--scale", "smoke", "--seeds", "0", "1", "2", "3", "4", "5", "--epochs", "60", "--max-cohort", "1",
            "--csr-examples", "0", "--gpu", "T4", "--address", growing.address]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.noise", *argv], cwd=tmp_path, capture_output=True, text=True, timeout=500,
        env=growing.environment | {"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    ended = time.time()
    assert done.returncode == 0, done.stdout + done.stderr + seen.read_text()[-2000:]
    while lines(seen)[-1]["nodes"] > 1:
        assert time.time() - ended < 60 * IDLE_MINUTES + 60, lines(seen)[-1]
        time.sleep(0.5)
    history = lines(seen)
    assert history[0]["nodes"] == 1, "no worker before there is work"
    assert max(line["gpus"] for line in history) == 2
    # Eight tasks at once, each with an eighth of a GPU and half a CPU: four on each node.
    assert max(line["used"]["GPU"] for line in history) == pytest.approx(1.0)
    assert max(line["used"]["CPU"] for line in history) == pytest.approx(4.0)
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        runs = store.execute("select status, count(*) from runs group by status").fetchall()
        trials = store.execute("select count(distinct value) from tags where key = 'trial'").fetchone()
    assert runs == [("FINISHED", 30)]
    assert trials == (30,)
    assert os.environ.get("RAY_ADDRESS") is None
