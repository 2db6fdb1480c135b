"""A head that is started by the very scripts: which addresses it listens on, who gets in, what survives."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from environments import install, on_top

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PREEMPTED = 3
"""``NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED``: the end of tasks on such a node is no failure of theirs."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    """What one session saw, in process and network namespaces of its own: all that it starts ends with them."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    isolated = ["unshare", "--pid", "--fork", "--mount-proc", "--net", "--kill-child"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us make no namespaces")
    user = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    folder = Path(tempfile.mkdtemp(prefix="msh-", dir="/tmp"))  # a socket's path has at most 107 characters
    os.chown(folder, user.pw_uid, user.pw_gid)
    for room in ("memory_study", "sweeps"):  # what `--working-dir .` sends
        shutil.copytree(ROOT / room, folder / "project" / room, ignore=shutil.ignore_patterns("__pycache__"))
    programs = with_dashboard(folder / "environment")
    program = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    session = " ".join(
        [*program, str(programs / "python"), str(HERE / "head_session.py"), str(folder), ADDRESS]
    )
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            [*isolated, "bash", "-c", f"{NETWORK} && {session}"],
            cwd=folder, env=environment(folder, programs), stdout=log, stderr=log, timeout=540, check=False,
        )  # fmt: skip
    seen = (folder / "report.json").read_text() if (folder / "report.json").exists() else ""
    assert done.returncode == 0, (folder / "log").read_text() + seen
    yield json.loads(seen)
    shutil.rmtree(folder)


ADDRESS = "10.99.0.1"
NETWORK = (
    f"ip link set lo up && ip link add eth0 type veth peer name eth1 && ip address add {ADDRESS}/24 dev eth0 && "
    "ip link set eth0 up && ip link set eth1 up && ip route add default via 10.99.0.254"
)
"""An address as a cloud's machine has it, behind which nobody is: else Ray would take the loopback for everything."""


def with_dashboard(folder: Path) -> Path:
    """The programs of an environment that adds to this one what the extra ``cluster`` brings.

    Without it there is no dashboard and no ``ray job``; in the environment of all tests it would cost each
    ``ray.init()`` a second.
    """
    programs = on_top(folder)
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "cluster"
    ]
    if problem := install(programs, *needs):
        pytest.skip(f"the extra cluster cannot be installed here: {problem}")
    return programs


def environment(folder: Path, programs: Path) -> dict[str, str]:
    """What aws.yaml gives the head's container, with this machine's places."""
    return {
        "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": str(folder / "r"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "secrets" / "auth_token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "MEMORY_STUDY_STORE": str(folder / "store"),
        "MEMORY_STUDY_BACKUP": f"file://{folder}/bucket/backup",
        "MEMORY_STUDY_DATA": str(folder / "data"),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": f"file://{folder}/bucket/artifacts",
        "PGPASSFILE": str(folder / "store" / "pgpass"),
        "MLFLOW_TRACKING_URI": "postgresql+psycopg2://memory_study@127.0.0.1:5432/memory_study",
    }


def test_every_step_succeeds_and_starting_twice_is_harmless(report: dict[str, Any]) -> None:
    for step in (
        "start",
        "start again",
        "head",
        "worker",
        "submit",
        "spot",
        "nodes",
        "stop",
        "start elsewhere",
    ):
        assert report[step]["code"] == 0, f"{step}: {report[step]['said']}"


def test_the_database_mlflow_and_the_dashboard_listen_on_the_loopback_only(report: dict[str, Any]) -> None:
    for port in (5432, 5000, 8265):
        found = [each for each in report["listeners"] if each["port"] == port]
        assert found, f"nothing listens on {port}"
        assert all(each["loopback"] for each in found), found


def test_only_ray_itself_listens_on_other_addresses(report: dict[str, Any]) -> None:
    """Those ports ask for the token, and a firewall keeps others away: README.md says which they are."""
    others = [each for each in report["listeners"] if not each["loopback"]]
    assert others, "the session cannot tell addresses apart"
    assert all(re.search(r"/ray/|^ray::| -m ray\.|ray\.util", each["owner"]) for each in others), others


def test_on_one_machine_a_variable_keeps_all_of_ray_on_the_loopback(report: dict[str, Any]) -> None:
    """``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0``; ``--node-ip-address=127.0.0.1`` becomes the machine's address again."""
    assert report["local head"]["code"] == 0
    assert len(report["local listeners"]) > 3
    assert [each for each in report["local listeners"] if not each["loopback"]] == []


def test_the_token_and_the_password_are_for_their_owner_alone_and_are_made_once(
    report: dict[str, Any],
) -> None:
    assert report["modes"] == {"auth_token": "0o600", "pgpass": "0o600"}
    assert report["secrets kept"]


def test_no_secret_stands_in_a_log_or_a_command_line(report: dict[str, Any]) -> None:
    assert report["leaks"] == []


def test_nobody_gets_in_without_the_token_or_the_password(report: dict[str, Any]) -> None:
    assert report["dashboard"] == {"no token": 401, "wrong token": 403, "token": 200}
    assert report["joining without the token"]["code"] != 0
    assert report["client without the token"]["code"] != 0
    assert "password" in report["database without the password"]["said"]


def test_of_what_answers_on_the_heads_own_address_only_figures_of_health_are_for_everybody(
    report: dict[str, Any],
) -> None:
    """Why README.md asks for a firewall all the same."""
    assert report["probes"] == [200, 200], "Kubernetes asks without a token whether a head is alive"
    assert report["open"] == {
        "52365/api/job_agent/jobs/": 401,
        "52365/api/healthz": 200,
        "44227/metrics": 200,
        "44217/metrics": 200,
    }


def test_a_submitted_sweep_writes_to_postgresql_and_keeps_artifacts_in_the_object_store(
    report: dict[str, Any],
) -> None:
    assert "3 trials finished" in report["submit"]["said"]
    assert report["finished"] == 3
    assert re.match(r"file:///tmp/msh-\w+/bucket/artifacts", report["artifacts"])


def test_a_notice_drains_the_node(report: dict[str, Any]) -> None:
    assert "alive" in report["nodes"]["said"]
    assert f"gone {PREEMPTED} spot notice of aws" in report["nodes"]["said"]


def test_stopping_ends_the_services_and_a_new_disk_starts_from_the_backup(report: dict[str, Any]) -> None:
    assert report["after stop"] == []
    assert report["stop"]["seconds"] < 20, (
        "nobody here clears away processes that have ended, as in many a container"
    )
    assert report["wiped"]["code"] == 0
    assert "the database starts from" in report["start elsewhere"]["said"]
    assert report["finished elsewhere"] == report["finished"] == 3


def test_there_is_a_backup_for_each_hour_and_one_can_go_back_to_each(report: dict[str, Any]) -> None:
    names = report["backups"]["said"].split()
    assert "memory_study-2001-02-03T04Z.dump" in names[0]
    assert re.fullmatch(r"memory_study-20\d\d-\d\d-\d\dT\d\dZ.dump", names[-1])
    assert report["finished, damaged"] == 0
    assert report["restore nothing"]["code"] == 1
    assert "backups lists them" in report["restore nothing"]["said"]
    assert report["restore"]["code"] == 0, report["restore"]["said"]
    assert report["finished, restored"] == 3
    assert len(report["put aside"]) == 1


def test_after_a_power_cut_everything_starts_again_and_strangers_with_old_process_ids_are_left_alone(
    report: dict[str, Any],
) -> None:
    """The numbers of processes begin anew with each boot and container: services.sh itself may have MLflow's old one."""
    assert len(report["files that name a stranger"]) == 3
    assert report["start after a power cut"]["code"] == 0, report["start after a power cut"]["said"]
    assert report["finished after a power cut"] == 3
    assert report["stop after a power cut"]["code"] == 0, report["stop after a power cut"]["said"]
    assert report["the stranger lives"]


def test_a_backup_that_cannot_be_read_is_no_reason_to_start_from_nothing(report: dict[str, Any]) -> None:
    assert report["start where the backup cannot be read"]["code"] != 0
    assert "nowhere" in report["start where the backup cannot be read"]["said"]
