"""The files for Kubernetes are right, and each kind of mistake in them is found."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kuberay_checks import autoscaling_config, problems
from kuberay_schema import OPERATOR
from launcher_checks import plan_problems

CLUSTER = Path(__file__).parents[2] / "cluster"
KINDS = ("RayCluster", "RayJob")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / f"kuberay-{name}.yaml").read_text()))


def read(kind: str) -> dict[str, Any]:
    (resource,) = documents("cluster" if kind == "RayCluster" else "job")
    apart = yaml.SafeDumper
    apart.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]
    separate: dict[str, Any] = yaml.safe_load(yaml.dump(resource, Dumper=apart))
    return separate


def spec(resource: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = resource["spec"].get("rayClusterSpec", resource["spec"])
    return found


def group(resource: dict[str, Any], index: int) -> dict[str, Any]:
    found: dict[str, Any] = spec(resource)["workerGroupSpecs"][index]
    return found


def container(part: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = part["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_resource_passes_its_schema_and_our_own_checks(kind: str) -> None:
    assert read(kind)["kind"] == kind
    assert problems(read(kind)) == []


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "README.md"])
def test_an_operator_that_knows_all_fields_is_asked_for(name: str) -> None:
    assert re.findall(r"\b(\d\.\d+) or later", (CLUSTER / name).read_text()) == [OPERATOR]


Change = Callable[[dict[str, Any]], object]

MISTAKES: dict[str, tuple[Change, str]] = {
    "a misspelt field": (lambda r: spec(r).update(rayversion="2.60.0"), "rayversion"),
    "a misspelt field of a group": (lambda r: group(r, 0).update(maxReplica=3), "maxReplica"),
    "a misspelt field of a pod": (lambda r: group(r, 0)["template"]["spec"].update(nodeSelectors={}), "nodeSelectors"),
    "a number for a string": (lambda r: spec(r)["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}), "num-cpus"),
    "no maximum": (lambda r: group(r, 0).pop("maxReplicas"), "maxReplicas"),
    "no autoscaling": (lambda r: spec(r).pop("enableInTreeAutoscaling"), "enableInTreeAutoscaling"),
    "no token": (lambda r: spec(r).pop("authOptions"), "authOptions"),
    "tokens disabled": (lambda r: spec(r).update(authOptions={"mode": "disabled"}), "authOptions.mode"),
    "a public address": (lambda r: spec(r)["headGroupSpec"].update(serviceType="LoadBalancer"), "serviceType"),
    "a privileged container": (
        lambda r: container(group(r, 0))["securityContext"].update(privileged=True), "privileged",
    ),
    "root": (lambda r: group(r, 0)["template"]["spec"]["securityContext"].update(runAsNonRoot=False), "runAsNonRoot"),
    "training on the head": (
        lambda r: spec(r)["headGroupSpec"]["rayStartParams"].pop("num-cpus"), "training lands on it",
    ),
    "no GPU": (lambda r: container(group(r, 0))["resources"]["limits"].pop("nvidia.com/gpu")
               and container(group(r, 0))["resources"]["requests"].pop("nvidia.com/gpu"), "needs GPUs"),
    "too few CPUs": (lambda r: container(group(r, 0))["resources"]["limits"].update(cpu="2"), "CPUs for each"),
    "an on-demand group that fills better": (
        lambda r: container(group(r, 1))["resources"]["limits"].update({"nvidia.com/gpu": "4", "cpu": "16"}),
        "offer the same",
    ),
    "an idle cluster that costs money": (lambda r: group(r, 1).update(minReplicas=1), "minReplicas must be 0"),
    "on-demand before spot": (lambda r: group(r, 1).update(priority=5), "higher priority"),
    "no spot group": (lambda r: group(r, 0)["template"]["spec"].pop("nodeSelector"), "to fall back on"),
    "a head wherever there is room": (
        lambda r: spec(r)["headGroupSpec"]["template"]["spec"].pop("nodeSelector"), "must choose a machine on demand",
    ),
    "a spot head": (
        lambda r: spec(r)["headGroupSpec"]["template"]["spec"].update(
            nodeSelector={"cloud.google.com/gke-provisioning": "spot"}
        ), "must choose a machine on demand",
    ),
    "a head that may be moved": (
        lambda r: spec(r)["headGroupSpec"]["template"]["metadata"].pop("annotations"), "may end it",
    ),
    "no MPS": (lambda r: container(group(r, 0)).update(args=["$KUBERAY_GEN_RAY_START_CMD"]), "mps.sh must start"),
    "no services": (
        lambda r: container(spec(r)["headGroupSpec"]).update(args=["$KUBERAY_GEN_RAY_START_CMD"]), "services.sh",
    ),
    "an image that changes": (lambda r: [
        container(part).update(image="ray:latest") for part in (spec(r)["headGroupSpec"], group(r, 0), group(r, 1))
    ], "not pinned"),
    "two images": (lambda r: container(group(r, 0)).update(image="other:1.0"), "share one image"),
    "a worker that may start and end pods": (
        lambda r: group(r, 1)["template"]["spec"].pop("automountServiceAccountToken"), "no other pod may have it",
    ),
    "an autoscaler that may not": (
        lambda r: spec(r)["headGroupSpec"]["template"]["spec"].update(automountServiceAccountToken=False),
        "autoscaler needs",
    ),
    "a pod outside of the network policy": (
        lambda r: group(r, 0)["template"]["metadata"]["labels"].update(app="x"), "NetworkPolicy",
    ),
    "a pod without an identity on AKS": (
        lambda r: group(r, 0)["template"]["metadata"]["labels"].pop("azure.workload.identity/use"), "an identity",
    ),
    "KubeRay's own command": (
        lambda r: r["metadata"]["annotations"].pop("ray.io/overwrite-container-cmd"), "overwrite-container-cmd",
    ),
    "KubeRay's own dashboard": (
        lambda r: spec(r)["headGroupSpec"]["rayStartParams"].pop("dashboard-host"), "every interface",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_resource_is_found(kind: str, mistake: str) -> None:
    resource = read(kind)
    change, expected = MISTAKES[mistake]
    change(resource)
    assert any(expected in problem for problem in problems(resource)), problems(resource)


def test_the_autoscaler_reads_what_the_file_means() -> None:
    cluster = spec(read("RayCluster"))
    derived, groups = autoscaling_config(cluster), cluster["workerGroupSpecs"]
    for meant in groups:
        found = derived["available_node_types"][meant["groupName"]]
        assert (found["min_workers"], found["max_workers"]) == (0, meant["maxReplicas"])
        assert found["resources"]["GPU"] == int(container(meant)["resources"]["limits"]["nvidia.com/gpu"])
        assert found["priority"] == meant["priority"]
    spot, on_demand = (derived["available_node_types"][name] for name in ("gpu-spot", "gpu-on-demand"))
    assert spot["priority"] > on_demand["priority"]
    assert derived["idle_timeout_minutes"] == cluster["autoscalerOptions"]["idleTimeoutSeconds"] / 60
    assert derived["max_workers"] == sum(meant["maxReplicas"] for meant in groups)


def test_the_job_brings_the_same_cluster_but_for_its_dashboard() -> None:
    cluster, job = spec(read("RayCluster")), spec(read("RayJob"))
    assert job["headGroupSpec"]["rayStartParams"].pop("dashboard-host") == "0.0.0.0"
    assert cluster["headGroupSpec"]["rayStartParams"].pop("dashboard-host") == "127.0.0.1"
    assert job == cluster


def test_the_pod_that_submits_a_sweep_has_no_rights_in_kubernetes() -> None:
    assert read("RayJob")["spec"]["submitterPodTemplate"]["spec"]["automountServiceAccountToken"] is False


OPERATORS = {
    "Helm": {
        "app.kubernetes.io/name": "kuberay-operator",
        "app.kubernetes.io/instance": "kuberay-operator",
        "app.kubernetes.io/component": "kuberay-operator",
    },
    "kustomize": {
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/component": "kuberay-operator",
    },
}
"""The labels of the operator's pod by how it was installed: ``helm-chart/kuberay-operator/templates/deployment.yaml`` and
``ray-operator/config/manager/manager.yaml`` of ray-project/kuberay.
"""


def test_what_both_need_is_declared_and_only_the_clusters_own_pods_and_the_operator_come_in() -> None:
    base = {document["kind"]: document for document in documents("base")}
    head = spec(read("RayCluster"))["headGroupSpec"]["template"]["spec"]
    assert (
        base["ConfigMap"]["metadata"]["name"] == head["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    )
    assert base["ServiceAccount"]["metadata"]["name"] == head["serviceAccountName"]
    claim = head["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert base["PersistentVolumeClaim"]["metadata"]["name"] == claim
    policy = base["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"app": "memory-study"}
    assert policy["policyTypes"] == ["Ingress"]
    ours, operator = policy["ingress"]
    assert ours["from"] == [{"podSelector": {"matchLabels": {"app": "memory-study"}}}]
    assert operator["ports"] == [{"port": 8265}]
    assert len(operator["from"]) == 1
    asked = operator["from"][0]["podSelector"]["matchLabels"].items()
    assert all(asked <= labels.items() for labels in OPERATORS.values())
    assert asked


def environment() -> dict[str, str]:
    """What the ConfigMap gives to every Ray container."""
    (found,) = (each["data"] for each in documents("base") if each["kind"] == "ConfigMap")
    return dict(found)


def test_sweeps_are_planned_for_the_gpu_that_the_workers_have() -> None:
    assert list(plan_problems(environment())) == []
    for kind in KINDS:
        for part in (spec(read(kind))["headGroupSpec"], group(read(kind), 0), group(read(kind), 1)):
            assert container(part)["envFrom"] == [{"configMapRef": {"name": "memory-study"}}]


def test_the_entrypoint_of_the_job_is_a_command_that_plans(tmp_path: Path) -> None:
    import shlex
    import subprocess
    import sys

    words = shlex.split(read("RayJob")["spec"]["entrypoint"])
    assert words[:2] == ["python", "-m"]
    done = subprocess.run(
        [sys.executable, *words[1:], "--dry-run", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"],
        cwd=CLUSTER.parent, env=os.environ | environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{environment()['MEMORY_STUDY_GPU']} hours" in done.stdout


def test_copies_of_the_resource_are_independent() -> None:
    """Or a mutation above would change more than it says."""
    resource = read("RayCluster")
    before = copy.deepcopy(group(resource, 1))
    container(group(resource, 0)).update(image="x")
    assert group(resource, 1) == before
