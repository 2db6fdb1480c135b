"""What is wrong with a file for Ray's cluster launcher: Ray's own schema, and what Ray does not look at.

Each check takes the file as read and yields sentences; :func:`problems` gathers them.
"""

from __future__ import annotations

import copy
import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from machines import MACHINES
from ray.autoscaler._private.util import prepare_config, validate_config

from sweeps._options import GPUS

Config = Mapping[str, Any]

HOME = "/home/ray/memory-study"
TOKEN = f"{HOME}/.secrets/auth_token"
CPUS_PER_GPU = 4
"""What a task on a whole GPU asks for (``sweeps._pack.Machine.cpus_per_gpu``): with fewer, GPUs stay idle."""

COMMANDS = (
    "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
    "head_start_ray_commands", "worker_start_ray_commands",
)  # fmt: skip

PROVIDER_KEYS = {
    "aws": {"region", "availability_zone", "use_internal_ips", "cache_stopped_nodes", "security_group"},
    "gcp": {"project_id", "region", "availability_zone", "use_internal_ips", "cache_stopped_nodes"},
    "azure": {
        "subscription_id", "location", "resource_group", "availability_zone", "use_internal_ips",
        "use_external_head_ip", "cache_stopped_nodes", "subnet_mask", "unique_id", "tags", "msi_name",
        "msi_resource_group",
    },
}  # fmt: skip
"""Ray passes a misspelt key by in silence. These are the ones that its providers read."""

PLACE = {"aws": "region", "gcp": "region", "azure": "location"}

_ARM = json.loads(
    (Path(ray.__file__).parent / "autoscaler/_private/_azure/azure-vm-template.json").read_text()
)

NODE_KEYS = {
    "aws": {
        "InstanceType", "InstanceMarketOptions", "ImageId", "SubnetIds", "SecurityGroupIds", "IamInstanceProfile",
        "MetadataOptions", "BlockDeviceMappings", "KeyName", "TagSpecifications", "Placement",
    },
    "gcp": {
        "machineType", "scheduling", "networkInterfaces", "serviceAccounts", "disks", "metadata",
        "guestAccelerators", "labels", "tags",
    },
    "azure": {*_ARM["parameters"], "availability_zone"},
}  # fmt: skip
"""Azure's are what the template that Ray ships takes."""


def problems(config: Config) -> list[str]:
    """All that is wrong, as sentences; empty for a file that may be used."""
    checks = (
        _schema, _keys, _counts, _types, _machines, _plans, _repeated, _start, _authentication, _network, _image, _mounts,
    )  # fmt: skip
    return [problem for check in checks for problem in check(config)]


def _schema(config: Config) -> Iterator[str]:
    logging.getLogger("ray.autoscaler").setLevel(logging.ERROR)
    try:
        validate_config(prepare_config(copy.deepcopy(dict(config))))
    except Exception as error:  # noqa: BLE001 - Ray raises many kinds, and any of them is the finding
        yield f"Ray refuses it: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def _cloud(config: Config) -> str:
    return str(config["provider"]["type"])


def _node(config: Config, name: str) -> Mapping[str, Any]:
    found = config["available_node_types"][name]["node_config"]
    return found.get("azure_arm_parameters", {}) if _cloud(config) == "azure" else found  # type: ignore[no-any-return]


def _workers(config: Config) -> list[str]:
    return [name for name in config["available_node_types"] if name != config["head_node_type"]]


def _keys(config: Config) -> Iterator[str]:
    cloud, provider = _cloud(config), config["provider"]
    for key in set(provider) - PROVIDER_KEYS[cloud] - {"type"}:
        yield f"provider has no key {key}"
    if not provider.get(PLACE[cloud]):
        yield f"provider needs {PLACE[cloud]}; Ray would choose one"
    for name in config["available_node_types"]:
        for key in set(_node(config, name)) - NODE_KEYS[cloud]:
            yield f"{name}: node_config has no key {key}"
    for key in COMMANDS:
        if key not in config:
            yield f"{key} is missing; Ray's default is neither pinned nor safe"


def _counts(config: Config) -> Iterator[str]:
    types, workers = config["available_node_types"], _workers(config)
    if "max_workers" not in config:
        yield "max_workers is missing; Ray takes 2"
    if "idle_timeout_minutes" not in config:
        yield "idle_timeout_minutes is missing"
    for name in workers:
        least, most = types[name].get("min_workers"), types[name].get("max_workers")
        if least != 0:
            yield f"{name}: min_workers must be 0, or an idle cluster costs money"
        if most is None or most < (least or 0) or most > config.get("max_workers", most):
            yield f"{name}: max_workers {most} must lie between min_workers and the whole cluster's max_workers"


def _is_spot(config: Config, name: str) -> bool:
    node = _node(config, name)
    asked = (node.get("InstanceMarketOptions"), node.get("scheduling"), node.get("priority"))
    return any(word in json.dumps(asked) for word in ('"spot"', '"preemptible": true', '"Spot"', '"SPOT"'))


def _types(config: Config) -> Iterator[str]:
    types, head = config["available_node_types"], config["head_node_type"]
    spot = [name for name in _workers(config) if _is_spot(config, name)]
    lasting = [name for name in _workers(config) if name not in spot]
    if _is_spot(config, head):
        yield "the head must not be a spot machine: losing it ends the sweep"
    if types[head].get("max_workers") != 0 or types[head]["resources"] != {"CPU": 0}:
        yield "the head must offer no CPU and no GPU (resources: {CPU: 0}, max_workers: 0), or training lands on it"
    if not spot or not lasting:
        yield "there must be a spot type and an on-demand type to fall back on"
        return
    if min(types[name].get("priority", 0) for name in spot) <= max(
        types[name].get("priority", 0) for name in lasting
    ):
        yield "spot types need the higher priority"
    if len({json.dumps(types[name]["resources"], sort_keys=True) for name in spot + lasting}) > 1:
        yield "spot and on-demand types must offer the same, or the autoscaler prefers the fuller one to the cheaper one"


def _machine(node: Mapping[str, Any]) -> str:
    return str(node.get("InstanceType") or node.get("machineType") or node.get("vmSize"))


def _machines(config: Config) -> Iterator[str]:
    for name in config["available_node_types"]:
        machine = _machine(_node(config, name))
        if machine not in MACHINES:
            yield f"{name}: what {machine} has is not in tests/cluster/machines.py; add it"
            continue
        if name == config["head_node_type"]:
            continue
        cpus, gpus, kind = MACHINES[machine]
        claimed = config["available_node_types"][name]["resources"]
        if claimed != {"CPU": cpus, "GPU": gpus}:
            yield f"{name}: {machine} has {cpus} CPUs and {gpus} GPUs, not {claimed}"
        if cpus < CPUS_PER_GPU * gpus:
            yield f"{name}: tasks ask for {CPUS_PER_GPU} CPUs a GPU; {machine} has fewer"
        if variables(config).get("MEMORY_STUDY_GPU") != kind:
            yield f"{name}: the GPU of {machine} is {kind}, and MEMORY_STUDY_GPU must say so"


def plan_problems(given: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the environment in which sweeps are planned, of a launcher's file or a ConfigMap."""
    if given.get("MEMORY_STUDY_GPU") not in GPUS:
        yield f"MEMORY_STUDY_GPU={given.get('MEMORY_STUDY_GPU')} is none of the GPUs of sweeps/_cost.py: {', '.join(GPUS)}"
    if given.get("MEMORY_STUDY_DEVICE") != "cuda":
        yield "without MEMORY_STUDY_DEVICE=cuda a node whose GPU does not work would train on its CPUs"


def _plans(config: Config) -> Iterator[str]:
    yield from plan_problems(variables(config))


def _repeated(config: Config) -> Iterator[str]:
    """What has to be said twice, because YAML does not put texts together."""
    provider, proxy = config["provider"], config["auth"].get("ssh_proxy_command", "")
    flags = {"aws": {"--region": "region"}, "gcp": {"--project": "project_id", "--zone": "availability_zone"}}
    for flag, key in flags.get(_cloud(config), {}).items():
        if proxy.startswith(("aws ", "gcloud ")) and f"{flag} {provider.get(key)} " not in f"{proxy} ":
            yield f"ssh_proxy_command needs {flag} {provider.get(key)}, the provider's {key}"
    for name in config["available_node_types"] if _cloud(config) == "gcp" else ():
        for disk in _node(config, name)["disks"]:
            place, _, kind = str(disk["initializeParams"].get("diskType")).rpartition("/diskTypes/")
            if place != f"zones/{provider.get('availability_zone')}" or kind in ("", "pd-standard"):
                yield f"{name}: diskType must be of the provider's zone, and not pd-standard, which G2 machines refuse"


def _start(config: Config) -> Iterator[str]:
    head = " && ".join(config.get("head_start_ray_commands", ()))
    workers = " && ".join(config.get("worker_start_ray_commands", ()))
    for flag in ("--dashboard-host=127.0.0.1", "--num-cpus=0", "--num-gpus=0", "--autoscaling-config="):
        if flag not in head:
            yield f"the head's ray start lacks {flag}"
    if not 0 <= head.find(f"{HOME}/services.sh start") < head.find("ray start --head"):
        yield "services.sh must start before Ray does on the head: it makes the token"
    if not 0 <= workers.find(f"{HOME}/mps.sh start") < workers.find("ray start --address="):
        yield "mps.sh must start before Ray does on a worker: a process that uses the GPU already is left out"
    if f"{HOME}/spot.sh start {_cloud(config)}" not in workers:
        yield "nobody watches for the notice of a spot machine"
    for role, commands in (("head", "head_setup_commands"), ("worker", "worker_setup_commands")):
        if f"{HOME}/setup.sh {role} {_cloud(config)}" not in config.get(commands, ()):
            yield f"{commands} must install the project with setup.sh {role} {_cloud(config)}"


def _authentication(config: Config) -> Iterator[str]:
    options = config.get("docker", {}).get("run_options", ())
    if "--env=RAY_AUTH_MODE=token" not in options:
        yield "RAY_AUTH_MODE=token is missing: anybody who reaches a port could run commands"
    if f"--env=RAY_AUTH_TOKEN_PATH={TOKEN}" not in options or TOKEN not in config.get(
        "cluster_synced_files", ()
    ):
        yield f"workers need the head's token: RAY_AUTH_TOKEN_PATH and cluster_synced_files must name {TOKEN}"


def _network(config: Config) -> Iterator[str]:
    provider = config["provider"]
    if provider.get("use_internal_ips") is not True or provider.get("use_external_head_ip"):
        yield "machines must not get public addresses (use_internal_ips: true, no use_external_head_ip)"
    if "0.0.0.0" in json.dumps(config) or '"::' in json.dumps(config):
        yield "an address of all interfaces, or of the whole world"
    if "security_group" in provider:
        yield "a security group that Ray makes opens SSH to the world; give SecurityGroupIds"
    for name in config["available_node_types"]:
        node = _node(config, name)
        if _cloud(config) == "aws" and not node.get("SecurityGroupIds"):
            yield f"{name}: without SecurityGroupIds Ray makes a group that opens SSH to the world"
        if _cloud(config) == "gcp" and not node.get("networkInterfaces"):
            yield f"{name}: without networkInterfaces Ray gives it a public address"
        if any("accessConfigs" in interface for interface in node.get("networkInterfaces", ())):
            yield f"{name}: accessConfigs give it a public address"


PINNED = re.compile(r"^[\w./:-]+:(?P<tag>[\w.-]*\d+\.\d+[\w.-]*)$|@sha256:[0-9a-f]{64}$")


def _image(config: Config) -> Iterator[str]:
    docker = config.get("docker", {})
    for key in ("image", "head_image", "worker_image"):
        if key in docker and not PINNED.match(docker[key]):
            yield f"docker {key} {docker[key]} is not pinned to a version"
    if not docker.get("image") or {"head_image", "worker_image"} & set(docker):
        yield "head and workers must share one image, or their versions may differ"
    if _cloud(config) == "azure":
        for name in config["available_node_types"]:
            if _node(config, name).get("imageVersion", "latest") == "latest":
                yield f"{name}: imageVersion is not pinned"


PLACES = {
    "MEMORY_STUDY_CHECKPOINTS": "checkpoints",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "artifacts",
    "MEMORY_STUDY_BACKUP": "backup",
}
"""Variables that name a place in an object store, and for what."""


def variables(config: Config) -> dict[str, str]:
    """The environment of the head's container, as its options give it."""
    docker = config.get("docker", {})
    options = [*docker.get("run_options", ()), *docker.get("head_run_options", ())]
    given = [option.removeprefix("--env=") for option in options if option.startswith("--env=")]
    return dict(assignment.split("=", 1) for assignment in given)


def _mounts(config: Config) -> Iterator[str]:
    if config.get("file_mounts") != {HOME: "cluster"}:
        yield f"file_mounts must bring cluster/ to {HOME}, where the commands look for it"
    given = variables(config)
    for variable, what in PLACES.items():
        if not re.match(r"(s3|gs|abfss|wasbs)://.+", given.get(variable, "")):
            yield f"{variable} must name a place in an object store for the {what}"
