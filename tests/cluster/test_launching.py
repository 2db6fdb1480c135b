"""What Ray's launcher would do to a new worker, told by its own code: no cloud, and every command only written down."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from launcher_checks import HOME, TOKEN
from ray.autoscaler._private.command_runner import DockerCommandRunner
from ray.autoscaler._private.updater import NodeUpdater
from ray.autoscaler._private.util import prepare_config
from test_launcher import CLOUDS, read

ANSWERS = {
    "printenv HOME": b"/home/ray",
    ".Config.Env": b'["HOME=/home/ray"]',
    "command -v docker": b"/usr/bin/docker",
}


class Machine:
    """Stands for the processes that would talk to the machine: writes down, and says what a new one would."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def check_call(self, command: list[str], *_: Any, **__: Any) -> None:
        self.commands.append(" ".join(command))

    def check_output(self, command: list[str], *_: Any, **__: Any) -> bytes:
        self.check_call(command)
        return next((answer for question, answer in ANSWERS.items() if question in self.commands[-1]), b"")


class Provider:
    """One machine, which keeps its tags."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}

    def get_command_runner(
        self, prefix: str, node: str, auth: Any, name: str, runner: Any, internal: bool, docker: Any
    ) -> Any:
        return DockerCommandRunner(
            docker, log_prefix=prefix, node_id=node, provider=self, auth_config=auth, cluster_name=name,
            process_runner=runner, use_internal_ip=internal,
        )  # fmt: skip

    provider_config = None

    def set_node_tags(self, _: str, tags: dict[str, str]) -> None:
        self.tags |= tags

    def node_tags(self, _: str) -> dict[str, str]:
        return self.tags

    def internal_ip(self, _: str) -> str:
        return "10.0.0.7"

    def is_terminated(self, _: str) -> bool:
        return False


def launch(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All commands by which the head would make a machine a worker. The head has the project and the token."""
    config, machine = prepare_config(config), Machine()
    monkeypatch.setattr("os.path.exists", lambda path: True)  # the files are on the head, not here
    monkeypatch.setattr("os.path.isdir", lambda path: not str(path).endswith("auth_token"))
    updater = NodeUpdater(
        node_id="worker", provider_config=config["provider"] | {"type": "external"}, provider=Provider(),
        auth_config={"ssh_user": "ubuntu"}, cluster_name=config["cluster_name"],
        file_mounts={where: where for where in config["file_mounts"]},  # on the head they are where they came to
        initialization_commands=config["initialization_commands"], setup_commands=config["worker_setup_commands"],
        ray_start_commands=config["worker_start_ray_commands"], runtime_hash="x", file_mounts_contents_hash="y",
        is_head_node=False, cluster_synced_files=config["cluster_synced_files"], process_runner=machine,
        use_internal_ip=True, docker_config=config["docker"],
    )  # fmt: skip
    updater.do_update()
    monkeypatch.undo()
    return machine.commands


@pytest.fixture
def commands(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return launch(read(request.param), monkeypatch)


def seen_inside(commands: list[str], file: str) -> list[str]:
    """Where a file that the head copies to the machine is seen in the container."""
    place = shlex.split(commands[index(commands, "rsync", "-avz", file)])[-1].rpartition(":")[2]
    mounts = re.findall(r"-v (\S+?):(\S+)", commands[index(commands, "docker run")])
    hosts = [(str(Path(host)), container) for host, container in mounts]
    return [place.replace(host, container) for host, container in hosts if place.startswith(host)]


def index(commands: list[str], *parts: str) -> int:
    found = [number for number, command in enumerate(commands) if all(part in command for part in parts)]
    assert found, f"no command with {parts} in\n" + "\n".join(commands)
    return found[0]


@pytest.mark.parametrize("commands", CLOUDS, indirect=True)
def test_a_worker_has_the_token_before_ray_starts_and_at_the_place_where_its_ray_looks(
    commands: list[str],
) -> None:
    assert seen_inside(commands, TOKEN) == [TOKEN]
    run = commands[index(commands, "docker run")]
    assert f"--env=RAY_AUTH_TOKEN_PATH={TOKEN}" in run
    assert "--env=RAY_AUTH_MODE=token" in run
    assert "--privileged" not in run
    assert (
        index(commands, "rsync", TOKEN)
        < index(commands, "docker run")
        < index(commands, "ray start --address=")
    )


@pytest.mark.parametrize("commands", CLOUDS, indirect=True)
def test_a_worker_is_set_up_in_its_container_in_this_order(commands: list[str]) -> None:
    inside = ("docker exec", "memory_study")
    order = [
        index(commands, "docker run"),
        index(commands, *inside, f"{HOME}/setup.sh worker"),
        index(commands, *inside, "ray stop"),
        index(commands, *inside, f"{HOME}/mps.sh start"),
        index(commands, *inside, "ray start --address="),
        index(commands, *inside, f"{HOME}/spot.sh start"),
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("commands", CLOUDS, indirect=True)
def test_the_users_id_is_looked_at_on_the_machine_itself(commands: list[str]) -> None:
    assert "docker" not in commands[index(commands, 'test "$(id -u)" = 1000')]


def test_a_token_outside_of_the_mounted_folder_would_not_get_into_the_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why it is not at Ray's own place, ~/.ray/auth_token: Ray copies it to the machine, and no further."""
    elsewhere = "/home/ray/.ray/auth_token"
    commands = launch(read("aws") | {"cluster_synced_files": [elsewhere]}, monkeypatch)
    assert seen_inside(commands, elsewhere) == []
