"""Every command of cluster/README.md is one that its program understands, and names files that exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from launcher_checks import variables

ROOT = Path(__file__).parents[2]
README = (ROOT / "cluster" / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for block in BLOCKS for line in block.splitlines()]


def words(command: str) -> list[str]:
    """As the shell splits them; what ``$(...)`` would give is one word."""
    return shlex.split(re.sub(r"\$\([^)]*\)", "something", command))


def starting(*programs: str) -> list[str]:
    return [command for command in COMMANDS if command.split()[0] in programs]


def inner(command: str) -> Iterator[str]:
    """The sweeps that a command runs somewhere else."""
    if " -- python" in command:
        yield command.split(" -- ")[1]
    yield from (word for word in words(command)[1:] if word.startswith("python -m"))


def parse_ray(arguments: list[str]) -> None:
    """Let Ray's own parser read the words, without doing what they say. Raises click.UsageError."""
    from ray.scripts.scripts import cli

    command: click.Command = cli
    context = click.Context(cli, info_name="ray")
    while isinstance(command, click.Group):
        _, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command = found
    command.make_context(command.name, arguments, parent=context)


def test_the_readme_has_commands_and_each_is_of_a_kind_that_is_checked_here() -> None:
    assert len(COMMANDS) > 25
    assert all(line.startswith("$ ") for block in BLOCKS for line in block.splitlines())
    assert {command.split()[0] for command in COMMANDS} == {
        "ray", "python", "pip", "cp", "export", "docker", "kubectl"
    }  # fmt: skip


@pytest.mark.parametrize("command", starting("ray"))
def test_rays_own_parser_takes_the_command(command: str) -> None:
    parse_ray(words(command)[1:])


@pytest.mark.parametrize(
    "wrong", ["ray up --yess c.yaml", "ray job submitt -- x", "ray dashboard --port x c.yaml"]
)
def test_rays_own_parser_would_refuse_a_wrong_one(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parse_ray(words(wrong)[1:])


SWEEPS = sorted(
    {
        each
        for command in COMMANDS
        for each in (command, *inner(command))
        if each.startswith("python -m sweeps")
    }
)


@pytest.mark.parametrize("command", SWEEPS)
def test_a_sweep_of_the_readme_can_be_planned_and_says_what_it_costs(command: str, tmp_path: Path) -> None:
    store = ["--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    dry = [] if "--dry-run" in command else ["--dry-run"]
    on_the_head = variables(yaml.safe_load((ROOT / "cluster" / "aws.yaml").read_text()))
    environment = os.environ | (on_the_head if "--address auto" in command else {})
    done = subprocess.run(
        [sys.executable, *words(command)[1:], *dry, *store], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    gpu = on_the_head["MEMORY_STUDY_GPU"] if "--address auto" in command else "L4"
    assert f"{gpu} hours" in done.stdout
    if "--price-per-hour" in command:
        hours = float(re.findall(r"^cost +([\d.]+) L4 hours", done.stdout, re.MULTILINE)[0])
        money = float(re.findall(r"^money +([\d.]+)", done.stdout, re.MULTILINE)[0])
        price = float(words(command)[words(command).index("--price-per-hour") + 1])
        assert money == pytest.approx(hours * price, rel=0.05), "all nodes together, as the README says"


def test_sweeps_are_found_in_submitted_executed_and_plain_commands() -> None:
    assert len(SWEEPS) == 2


@pytest.mark.parametrize("command", [c for c in starting("python") if not c.startswith("python -m sweeps")])
def test_other_modules_know_their_flags(command: str) -> None:
    module = words(command)[2]
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert all(word in shown for word in words(command) if word.startswith("--"))


def test_files_of_this_repository_that_commands_name_exist() -> None:
    named = {word for command in COMMANDS for word in words(command) if re.match(r"(cluster|tests)/", word)}
    assert {"cluster/aws.yaml", "cluster/Dockerfile", "cluster/kuberay-job.yaml"} <= named
    assert all((ROOT / name).exists() for name in named if not name.startswith("cluster/dist"))
    mentioned = re.findall(r"`([\w-]+\.(?:yaml|sh)|Dockerfile)`", README)
    assert all((ROOT / "cluster" / name).exists() for name in mentioned)
    for script in (ROOT / "cluster").glob("*.sh"):
        assert f"`{script.name}`" in README


def test_paths_in_the_containers_are_those_of_the_files() -> None:
    files = "".join((ROOT / "cluster" / name).read_text() for name in ("aws.yaml", "gcp.yaml", "azure.yaml"))
    for path in re.findall(r"/home/ray/[\w./-]+", " ".join(COMMANDS)):
        assert path in files or path == "/home/ray/memory-study/services.sh"


@pytest.mark.parametrize("command", starting("docker", "kubectl"))
def test_docker_and_kubectl_know_their_flags(command: str) -> None:
    program, verb, *rest = words(command)
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    shown = subprocess.run(
        [program, verb, "--help"], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    if "Usage:" not in shown:
        pytest.skip(f"{program} does not work here")
    for flag in (word for word in rest if word.startswith("--")):
        assert re.search(rf"{flag}\b", shown), f"{program} {verb} has no {flag}"


def test_each_block_is_sound_shell() -> None:
    for block in BLOCKS:
        script = block.replace("$ ", "")
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
