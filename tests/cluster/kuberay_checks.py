"""What is wrong with the files for KubeRay: types and fields, what the autoscaler makes of them, and what neither sees."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
from kuberay_schema import CLUSTER, JOB
from launcher_checks import CPUS_PER_GPU, HOME, PINNED

Resource = Mapping[str, Any]

SPOT = {
    "eks.amazonaws.com/capacityType": "SPOT",
    "karpenter.sh/capacity-type": "spot",
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-provisioning": "spot",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
"""The labels by which clouds mark spot machines."""


STAY = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
"""By which the usual autoscalers of machines leave a pod where it is."""


def problems(resource: Resource) -> list[str]:
    """All that is wrong with a RayCluster or a RayJob, as sentences."""
    errors = jsonschema.Draft202012Validator(JOB if resource["kind"] == "RayJob" else CLUSTER).iter_errors(
        resource
    )
    found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]
    if found:
        return found  # the checks below take the fields for granted
    spec = resource["spec"]["rayClusterSpec"] if resource["kind"] == "RayJob" else resource["spec"]
    checks = (_autoscaler, _groups, _pods, _head)
    found += [problem for check in checks for problem in check(spec)]
    return [*found, *_dashboard(resource, spec), *_commands(resource)]


def autoscaling_config(spec: Resource) -> dict[str, Any]:
    """What Ray's autoscaler reads from a RayCluster with this spec. Raises what it raises."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    metadata = {"name": "any", "namespace": "any"}
    derived: dict[str, Any] = _derive_autoscaling_config_from_ray_cr(
        copy.deepcopy({"metadata": metadata, "spec": dict(spec)})
    )
    return derived


def _autoscaler(spec: Resource) -> Iterator[str]:
    try:
        types = autoscaling_config(spec)["available_node_types"]
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        yield f"Ray's autoscaler refuses it: {error}"
        return
    if types["headgroup"]["resources"]["CPU"] != 0 or types["headgroup"]["resources"].get("GPU"):
        yield "the head must offer no CPU and no GPU, or training lands on it"
    workers = [each for name, each in types.items() if name != "headgroup"]
    for each in workers:
        resources = each["resources"]
        if not resources.get("GPU") or resources["CPU"] < CPUS_PER_GPU * resources["GPU"]:
            yield f"a worker needs GPUs, and {CPUS_PER_GPU} CPUs for each; it has {resources}"
    if len({str(sorted(each["resources"].items())) for each in workers}) > 1:
        yield "spot and on-demand groups must offer the same, or the autoscaler prefers the fuller one"


def _is_spot(group: Resource) -> bool:
    return any(SPOT.get(key) == value for key, value in _pod(group).get("nodeSelector", {}).items())


def _groups(spec: Resource) -> Iterator[str]:
    groups = spec["workerGroupSpecs"]
    cheap, lasting = [g for g in groups if _is_spot(g)], [g for g in groups if not _is_spot(g)]
    if not cheap or not lasting:
        yield "there must be a spot group and an on-demand group to fall back on"
    elif min(g["priority"] for g in cheap) <= max(g["priority"] for g in lasting):
        yield "spot groups need the higher priority"
    for group in groups:
        if group["minReplicas"] != 0 or group["maxReplicas"] < 1:
            yield f"{group['groupName']}: minReplicas must be 0 and maxReplicas more"
        if (
            f"{HOME}/mps.sh start && exec $KUBERAY_GEN_RAY_START_CMD"
            not in _pod(group)["containers"][0]["args"][0]
        ):
            yield f"{group['groupName']}: mps.sh must start before Ray"


def _pod(group: Resource) -> Resource:
    pod: Resource = group["template"]["spec"]
    return pod


def _pods(spec: Resource) -> Iterator[str]:
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    images = {container["image"] for group in groups for container in _pod(group)["containers"]}
    if len(images) > 1:
        yield "head and workers must share one image, or their versions may differ"
    for image in images:
        if not PINNED.match(image):
            yield f"image {image} is not pinned to a version"
    for group in groups:
        with_rights = _pod(group).get("automountServiceAccountToken", True)
        if with_rights != (group is spec["headGroupSpec"]):
            yield "the head's autoscaler needs the service account's token, and no other pod may have it"
        if group["template"]["metadata"]["labels"].get("app") != "memory-study":
            yield "each pod needs the label by which the NetworkPolicy finds it"
        if group["template"]["metadata"]["labels"].get("azure.workload.identity/use") != "true":
            yield 'AKS gives an identity only to pods with the label azure.workload.identity/use: "true"'


def _head(spec: Resource) -> Iterator[str]:
    if (
        f"{HOME}/services.sh start && exec $KUBERAY_GEN_RAY_START_CMD"
        not in _pod(spec["headGroupSpec"])["containers"][0]["args"][0]
    ):
        yield "services.sh must start before Ray on the head"
    if not _pod(spec["headGroupSpec"]).get("nodeSelector") or _is_spot(spec["headGroupSpec"]):
        yield "the head's nodeSelector must choose a machine on demand: losing it ends the sweep"
    if not STAY.items() <= spec["headGroupSpec"]["template"]["metadata"].get("annotations", {}).items():
        yield f"the head needs the annotations {STAY}, or autoscalers of machines may end it"


def _dashboard(resource: Resource, spec: Resource) -> Iterator[str]:
    host = spec["headGroupSpec"]["rayStartParams"].get("dashboard-host")
    if host != "127.0.0.1" and not (resource["kind"] == "RayJob" and host == "0.0.0.0"):
        yield f"the dashboard's host is {host}: KubeRay's default is every interface; only a RayJob needs that"


def _commands(resource: Resource) -> Iterator[str]:
    if resource["metadata"]["annotations"].get("ray.io/overwrite-container-cmd") != "true":
        yield "without ray.io/overwrite-container-cmd KubeRay does not run the containers' commands as they are"
