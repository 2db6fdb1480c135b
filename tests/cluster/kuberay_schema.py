"""The parts of KubeRay's resource definitions that our files use, written by hand.

KubeRay's own definitions come with its operator and in no package that we could install, so this is not them: it
holds those fields that stand in our files, their types, and refuses every other. Names and enums were compared in November
2026 with ``ray-operator/apis/ray/v1/raycluster_types.go`` and ``rayjob_types.go`` of ray-project/kuberay as they are since
``priority`` (pull request 4942, June 2026). The API server checks against the real ones: ``kubectl apply
--dry-run=server``.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

OPERATOR = "1.7"
"""The first release of KubeRay that has all of these fields; ``priority`` is the newest."""


def fields(required: str = "", **properties: Any) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


STRING, BOOLEAN = {"type": "string"}, {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "array", "items": STRING}
STRINGS: Schema = {"type": "object", "additionalProperties": STRING}
QUANTITIES: Schema = {
    "type": "object",
    "additionalProperties": {"type": "string", "pattern": r"^\d+(\.\d+)?(m|k|[KMGT]i?)?$"},
}
RESOURCES = fields("requests limits", requests=QUANTITIES, limits=QUANTITIES)


def items(schema: Schema) -> Schema:
    """A list of these, with one at least."""
    return {"type": "array", "items": schema, "minItems": 1}


SECURITY = fields(allowPrivilegeEscalation={"const": False}, capabilities=fields("drop", drop=TEXTS))
CONTAINER = fields(
    "name image resources securityContext",
    name=STRING,
    image=STRING,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    command=TEXTS,
    args=TEXTS,
    env=items(fields("name", name=STRING, value=STRING, valueFrom={"type": "object"})),
    envFrom=items(fields("configMapRef", configMapRef=fields("name", name=STRING))),
    ports=items(fields("containerPort", name=STRING, containerPort=COUNT)),
    resources=RESOURCES,
    securityContext=SECURITY,
    volumeMounts=items(fields("name mountPath", name=STRING, mountPath=STRING)),
    lifecycle=fields(preStop=fields("exec", exec=fields("command", command=TEXTS))),
)
VOLUME = fields(
    "name", name=STRING, emptyDir=fields(), persistentVolumeClaim=fields("claimName", claimName=STRING)
)
TOLERATION = fields(
    "key operator", key=STRING, operator={"enum": ["Exists", "Equal"]}, value=STRING,
    effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
)  # fmt: skip
POD = fields(
    "containers restartPolicy securityContext",
    containers=items(CONTAINER),
    volumes=items(VOLUME),
    nodeSelector=STRINGS,
    tolerations=items(TOLERATION),
    serviceAccountName=STRING,
    automountServiceAccountToken=BOOLEAN,
    restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
    terminationGracePeriodSeconds=COUNT,
    securityContext=fields(
        "runAsNonRoot", runAsUser=COUNT, runAsGroup=COUNT, runAsNonRoot={"const": True}, fsGroup=COUNT,
        fsGroupChangePolicy={"enum": ["OnRootMismatch", "Always"]},
    ),
)  # fmt: skip
TEMPLATE = fields("metadata spec", metadata=fields("labels", labels=STRINGS, annotations=STRINGS), spec=POD)

CLUSTER_SPEC = fields(
    "rayVersion authOptions enableInTreeAutoscaling autoscalerOptions headGroupSpec workerGroupSpecs",
    rayVersion=STRING,
    authOptions=fields("mode", mode={"enum": ["token"]}, secretName=STRING),
    enableInTreeAutoscaling={"const": True},
    autoscalerOptions=fields(
        "version idleTimeoutSeconds",
        version={"enum": ["v2"]},
        idleTimeoutSeconds=COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        resources=RESOURCES,
    ),
    headGroupSpec=fields(
        "rayStartParams template serviceType",
        serviceType={"enum": ["ClusterIP"]},
        rayStartParams=STRINGS,
        template=TEMPLATE,
    ),
    workerGroupSpecs=items(
        fields(
            "groupName minReplicas maxReplicas rayStartParams template priority",
            groupName=STRING,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            numOfHosts=COUNT,
            idleTimeoutSeconds=COUNT,
            priority=COUNT,
            rayStartParams=STRINGS,
            template=TEMPLATE,
        )
    ),
)
METADATA = fields("name annotations", name=STRING, annotations=STRINGS)
CLUSTER = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayCluster"},
    metadata=METADATA,
    spec=CLUSTER_SPEC,
)
JOB = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=METADATA,
    spec=fields(
        "entrypoint rayClusterSpec shutdownAfterJobFinishes",
        entrypoint=STRING,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        backoffLimit=COUNT,
        activeDeadlineSeconds=COUNT,
        shutdownAfterJobFinishes={"const": True},
        ttlSecondsAfterFinished=COUNT,
        submitterPodTemplate=TEMPLATE,
        rayClusterSpec=CLUSTER_SPEC,
    ),
)
