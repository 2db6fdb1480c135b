"""The files for Ray's cluster launcher are right, and each kind of mistake in them is found."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from launcher_checks import GPUS, TOKEN, problems, variables

CLUSTER = Path(__file__).parents[2] / "cluster"
CLOUDS = ("aws", "gcp", "azure")


def read(cloud: str) -> dict[str, Any]:
    """The file with every reference (``*name``) replaced by a copy, so that a test can change one place."""
    config: dict[str, Any] = yaml.safe_load((CLUSTER / f"{cloud}.yaml").read_text())
    return {key: copy.deepcopy(value) for key, value in _apart(config).items()}


def _apart(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _apart(each) for key, each in value.items()}
    return [_apart(each) for each in value] if isinstance(value, list) else value


def node(config: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = config["available_node_types"][name]["node_config"]
    return found.get("azure_arm_parameters", found)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_file_passes_rays_schema_and_our_own_checks(cloud: str) -> None:
    assert problems(read(cloud)) == []


def in_type(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["available_node_types"][name].update(changes)


def at_top(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config.update(changes)


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        for key in path[:-1]:
            config = config[key]
        del config[path[-1]]

    return change


def in_commands(key: str, old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        assert any(old in command for command in config[key]), f"{key} has no {old}"
        config[key] = [command.replace(old, new) for command in config[key]]

    return change


def in_options(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        for key in ("run_options", "head_run_options"):
            config["docker"][key] = [option.replace(old, new) for option in config["docker"][key]]

    return change


def another_gpu(config: dict[str, Any]) -> None:
    now = variables(config)["MEMORY_STUDY_GPU"]
    other = next(name for name in GPUS if name != now)
    in_options(f"MEMORY_STUDY_GPU={now}", f"MEMORY_STUDY_GPU={other}")(config)


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a misspelt key": (at_top(idle_timeout=5), "Ray refuses it"),
    "a fraction of a GPU": (in_type("gpu-spot", resources={"CPU": 4, "GPU": 0.5}), "Ray refuses it"),
    "a head type that is not there": (at_top(head_node_type="haed"), ""),
    "a misspelt key of the provider": (lambda c: c["provider"].update(use_internal_ip=True), "no key use_internal_ip"),
    "a misspelt key of a node": (lambda c: node(c, "gpu-spot").update(Imageid="x"), "no key Imageid"),
    "no commands of one kind": (without("head_setup_commands"), "neither pinned nor safe"),
    "no maximum": (without("max_workers"), "Ray takes 2"),
    "no idle time-out": (without("idle_timeout_minutes"), "idle_timeout_minutes is missing"),
    "no maximum of a type": (without("available_node_types", "gpu-spot", "max_workers"), "max_workers None"),
    "a minimum above the maximum": (in_type("gpu-spot", min_workers=3, max_workers=2), "max_workers 2 must lie"),
    "an idle cluster that costs money": (in_type("gpu-on-demand", min_workers=1), "must be 0"),
    "training on the head": (in_type("head", resources={"CPU": 4}), "training lands on it"),
    "training on the head, by its command": (
        in_commands("head_start_ray_commands", "--num-cpus=0", ""), "lacks --num-cpus=0",
    ),
    "no on-demand type": (without("available_node_types", "gpu-on-demand"), "to fall back on"),
    "on-demand before spot": (in_type("gpu-on-demand", priority=2), "higher priority"),
    "an on-demand type that fills better": (in_type("gpu-on-demand", resources={"CPU": 4, "GPU": 4}), "offer the same"),
    "more GPUs than the machine has": (in_type("gpu-spot", resources={"CPU": 4, "GPU": 2}), "not {'CPU': 4, 'GPU': 2}"),
    "a dashboard for the world": (
        in_commands("head_start_ray_commands", "127.0.0.1", "0.0.0.0"), "--dashboard-host=127.0.0.1",
    ),
    "all interfaces": (in_commands("worker_start_ray_commands", "$RAY_HEAD_IP", "0.0.0.0"), "all interfaces"),
    "no token": (in_options("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"), "RAY_AUTH_MODE=token is missing"),
    "a token that stays on the head": (at_top(cluster_synced_files=[]), TOKEN),
    "Ray before its token": (
        lambda c: c["head_start_ray_commands"].reverse(), "services.sh must start before Ray",
    ),
    "no MPS": (in_commands("worker_start_ray_commands", "mps.sh", "true"), "mps.sh must start"),
    "no watcher": (in_commands("worker_start_ray_commands", "spot.sh", "true"), "nobody watches"),
    "the wrong cloud's watcher": (in_commands("worker_start_ray_commands", "spot.sh start", "spot.sh start x"), "nobody"),
    "no project on the workers": (at_top(worker_setup_commands=[]), "worker_setup_commands must install"),
    "public addresses": (without("provider", "use_internal_ips"), "public addresses"),
    "an image that changes": (lambda c: c["docker"].update(image="rayproject/ray:latest-gpu"), "not pinned"),
    "an image without a version": (lambda c: c["docker"].update(image="rayproject/ray"), "not pinned"),
    "two images": (lambda c: c["docker"].update(head_image="rayproject/ray:2.60.0-py311"), "share one image"),
    "another folder": (at_top(file_mounts={"/home/ray": "."}), "file_mounts must bring"),
    "checkpoints on a worker's disk": (
        in_options("MEMORY_STUDY_CHECKPOINTS=", "MEMORY_STUDY_CHECKPOINTS=/tmp/"), "for the checkpoints",
    ),
    "no type of GPU": (in_options("MEMORY_STUDY_GPU", "MEMORY_STUDY_CPU"), "MEMORY_STUDY_GPU=None is none"),
    "a GPU that sweeps do not know": (in_options("MEMORY_STUDY_GPU=", "MEMORY_STUDY_GPU=X"), "is none of the GPUs"),
    "the GPU of another machine": (another_gpu, "and MEMORY_STUDY_GPU must say so"),
    "training on the CPUs of a broken node": (in_options("MEMORY_STUDY_DEVICE=cuda", "X=y"), "MEMORY_STUDY_DEVICE=cuda"),
    "artifacts on the head's disk": (
        in_options("_MLFLOW_SERVER_ARTIFACT_ROOT=", "_MLFLOW_SERVER_ARTIFACT_ROOT=/tmp/"), "for the artifacts",
    ),
    "no backup": (in_options("MEMORY_STUDY_BACKUP=", "MEMORY_STUDY_BACKUPS="), "for the backup"),
}  # fmt: skip


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_file_is_found(cloud: str, mistake: str) -> None:
    config = read(cloud)
    change, expected = MISTAKES[mistake]
    change(config)
    if mistake == "a head type that is not there":  # nothing else can be judged then
        with pytest.raises(KeyError):
            problems(config)
        return
    assert any(expected in problem for problem in problems(config)), problems(config)


OWN = {
    ("aws", "no region"): (without("provider", "region"), "provider needs region"),
    ("gcp", "no region"): (without("provider", "region"), "provider needs region"),
    ("azure", "no location"): (without("provider", "location"), "provider needs location"),
    ("aws", "a group that Ray opens"): (lambda c: node(c, "head").pop("SecurityGroupIds"), "opens SSH to the world"),
    ("aws", "a group of the provider's"): (
        lambda c: c["provider"].update(security_group={"GroupName": "open"}), "opens SSH to the world",
    ),
    ("gcp", "Ray's network"): (lambda c: node(c, "gpu-spot").pop("networkInterfaces"), "public address"),
    ("gcp", "a public address"): (
        lambda c: node(c, "head")["networkInterfaces"][0].update(accessConfigs=[{}]), "public address",
    ),
    ("azure", "a public head"): (lambda c: c["provider"].update(use_external_head_ip=True), "public addresses"),
    ("azure", "the latest image"): (lambda c: node(c, "head").update(imageVersion="latest"), "imageVersion"),
    ("aws", "a tunnel to another region"): (
        lambda c: c["provider"].update(region="elsewhere"), "needs --region elsewhere",
    ),
    ("gcp", "a tunnel to another zone"): (
        lambda c: c["provider"].update(availability_zone="elsewhere"), "needs --zone elsewhere",
    ),
    ("gcp", "a tunnel to gcloud's own project"): (
        lambda c: c["auth"].update(ssh_proxy_command=c["auth"]["ssh_proxy_command"].replace("--project", "--x")),
        "needs --project",
    ),
    ("gcp", "a disk that the machine refuses"): (
        lambda c: node(c, "gpu-spot")["disks"][0]["initializeParams"].pop("diskType"), "not pd-standard",
    ),
    ("gcp", "a disk in another zone"): (
        lambda c: node(c, "head")["disks"][0]["initializeParams"].update(diskType="zones/elsewhere/diskTypes/pd-ssd"),
        "of the provider's zone",
    ),
    ("aws", "a spot head"): (
        lambda c: node(c, "head").update(InstanceMarketOptions={"MarketType": "spot"}), "must not be a spot",
    ),
    ("aws", "an unknown machine"): (lambda c: node(c, "gpu-spot").update(InstanceType="g6.xlrage"), "machines.py"),
    ("gcp", "an unknown machine"): (lambda c: node(c, "gpu-spot").update(machineType="g2-4"), "machines.py"),
    ("azure", "an unknown machine"): (lambda c: node(c, "gpu-spot").update(vmSize="NC24"), "machines.py"),
}  # fmt: skip


@pytest.mark.parametrize(("cloud", "mistake"), OWN)
def test_a_mistake_that_only_one_cloud_knows_is_found(cloud: str, mistake: str) -> None:
    config = read(cloud)
    change, expected = OWN[cloud, mistake]
    change(config)
    assert any(expected in problem for problem in problems(config)), problems(config)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_all_that_a_user_must_choose_stands_at_the_top(cloud: str) -> None:
    text = (CLUSTER / f"{cloud}.yaml").read_text()
    top, rest = text.split("cluster_name: *cluster_name\n")
    assert "CHOOSE" not in "\n".join(line for line in rest.splitlines() if not line.lstrip().startswith("#"))
    names = [
        line.split("&")[1].split()[0]
        for line in top.splitlines()
        if "&" in line and "#" not in line.split("&")[0]
    ]
    assert len(names) > 10
    assert [name for name in names if not re.search(rf"\*{name}\b", text)] == [], (
        "nothing refers to these choices"
    )
    for index, line in enumerate(lines := top.splitlines()):
        if "&" in line and not line.lstrip().startswith("#"):
            assert any("#" in near for near in lines[max(0, index - 5) : index + 1]), (
                f"no comment near: {line}"
            )


def test_the_three_files_differ_only_in_what_the_clouds_have_of_their_own() -> None:
    commands = {
        cloud: {key: value for key, value in read(cloud).items() if key.endswith("commands")}
        for cloud in CLOUDS
    }
    for cloud in CLOUDS:
        told = yaml.safe_dump(commands[cloud]).replace(f" {cloud}\n", " CLOUD\n")
        assert told == yaml.safe_dump(commands["aws"]).replace(" aws\n", " CLOUD\n")
