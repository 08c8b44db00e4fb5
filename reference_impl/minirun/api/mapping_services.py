"""Services and Revisions in Cloud Run's v2 shapes and in v1's, which are Knative's: tables for `mapping.py`.

What crosses levels (CPU settings of containers that v1 keeps in annotations of the template) is in
`CROSSING`. Pure. Source: the v2 REST reference and its v1 counterpart, checked by round trips.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from minirun.api.mapping import (
    DURATION,
    FLAG,
    JSON,
    NUMBER,
    SAME,
    USERS,
    Codec,
    Document,
    Path,
    Row,
    Table,
    dig,
    each,
    enum,
    is_system,
    nested,
    only,
    put,
    rows,
    to_v1,
    to_v2,
)
from minirun.model.labels import RUN

SCALE: Final = "autoscaling.knative.dev/"
INGRESS: Final = enum(
    "INGRESS_TRAFFIC_",
    {
        1: ("ALL", "all"),
        2: ("INTERNAL_ONLY", "internal"),
        3: ("INTERNAL_LOAD_BALANCER", "internal-and-cloud-load-balancing"),
        4: ("NONE", "none"),
    },
)
ENVIRONMENT: Final = enum("EXECUTION_ENVIRONMENT_", {1: ("GEN1", "gen1"), 2: ("GEN2", "gen2")})
EGRESS: Final = enum(
    "", {1: ("ALL_TRAFFIC", "all-traffic"), 2: ("PRIVATE_RANGES_ONLY", "private-ranges-only")}
)
LAUNCH_STAGE: Final = enum("", {2: ("ALPHA", "ALPHA"), 3: ("BETA", "BETA"), 4: ("GA", "GA")})
SCALING_MODE: Final = enum("", {1: ("AUTOMATIC", "automatic"), 2: ("MANUAL", "manual")})
IN_MEMORY: Final = Codec(
    lambda v2: {**v2, "medium": "Memory"}, lambda v1: {**v1, "medium": "MEMORY"}
)  # the only medium that Cloud Run has
CONDITION_STATE: Final = enum(
    "CONDITION_", {2: ("RECONCILING", "Unknown"), 3: ("FAILED", "False"), 4: ("SUCCEEDED", "True")}
)
REASONS: Final = {
    "NonZeroExitCode": ("executionReason", "NON_ZERO_EXIT_CODE"),
    "Cancelled": ("executionReason", "CANCELLED"),
    "ContainerMissing": ("reason", "CONTAINER_MISSING"),
    "ProgressDeadlineExceeded": ("reason", "PROGRESS_DEADLINE_EXCEEDED"),
}
"""The member of a v2 condition that a v1 reason is, and its value."""
ALLOCATION: Final = "TRAFFIC_TARGET_ALLOCATION_TYPE_"
LATEST: Final = (1, f"{ALLOCATION}LATEST")

_PROBE: Final = nested(
    (
        *rows("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"),
        Row(("httpGet",), ("httpGet",), only("path", "port", "httpHeaders")),
        Row(("tcpSocket",), ("tcpSocket",), only("port")),
        Row(("grpc",), ("grpc",), only("port", "service")),
    )
)
ENV: Final = nested(
    (
        *rows("name", "value"),
        Row(("valueSource", "secretKeyRef", "secret"), ("valueFrom", "secretKeyRef", "name"), SAME),
        Row(("valueSource", "secretKeyRef", "version"), ("valueFrom", "secretKeyRef", "key"), SAME),
    )
)
CONTAINER: Final = nested(
    (
        *rows("name", "image", "command", "args", "workingDir"),
        Row(("env",), ("env",), each(ENV)),
        Row(
            ("resources", "limits"),
            ("resources", "limits"),
            Codec(SAME.to_v1, lambda m: {k: str(v) for k, v in m.items()}),
        ),
        Row(("ports",), ("ports",), each(only("name", "containerPort"))),
        Row(("volumeMounts",), ("volumeMounts",), each(only("name", "mountPath", "subPath"))),
        Row(("startupProbe",), ("startupProbe",), _PROBE),
        Row(("livenessProbe",), ("livenessProbe",), _PROBE),
        Row(("readinessProbe",), ("readinessProbe",), _PROBE),
    )
)
_SECRET_ITEM: Final = nested((*rows("path", "mode"), Row(("version",), ("key",), SAME)))
VOLUME: Final = nested(
    (
        *rows("name", "nfs"),
        Row(("secret", "secret"), ("secret", "secretName"), SAME),
        Row(("secret", "defaultMode"), ("secret", "defaultMode"), SAME),
        Row(("secret", "items"), ("secret", "items"), each(_SECRET_ITEM)),
        Row(("emptyDir",), ("emptyDir",), IN_MEMORY),
        Row(("gcs", "bucket"), ("csi", "volumeAttributes", "bucketName"), SAME),
        Row(("gcs", "readOnly"), ("csi", "readOnly"), SAME),
    )
)


def note(key: str) -> Path:
    """Where an annotation of Cloud Run's is in v1."""
    return "metadata", "annotations", RUN + key


def running(v2: Path, v1: Path) -> Table:
    """What an instance runs and where, of a Revision as of a Task: below `v2`, and in the spec at `v1`."""
    return (
        Row((*v2, "containers"), (*v1, "containers"), each(CONTAINER)),
        Row((*v2, "volumes"), (*v1, "volumes"), each(VOLUME)),
        Row((*v2, "serviceAccount"), (*v1, "serviceAccountName"), SAME),
        Row((*v2, "nodeSelector", "accelerator"), (*v1, "nodeSelector", f"{RUN}accelerator"), SAME),
        Row((*v2, "executionEnvironment"), note("execution-environment"), ENVIRONMENT),
        Row((*v2, "encryptionKey"), note("encryption-key"), SAME),
        Row((*v2, "vpcAccess", "connector"), note("vpc-access-connector"), SAME),
        Row((*v2, "vpcAccess", "egress"), note("vpc-access-egress"), EGRESS),
    )


LABELLED: Final[Table] = (
    Row(("labels",), ("metadata", "labels"), USERS),
    Row(("annotations",), ("metadata", "annotations"), USERS),
)
CLIENT: Final[Table] = (
    Row(("client",), note("client-name"), SAME),
    Row(("clientVersion",), note("client-version"), SAME),
    Row(("launchStage",), note("launch-stage"), LAUNCH_STAGE),
)
TEMPLATE: Final[Table] = (
    *LABELLED,
    Row(("revision",), ("metadata", "name"), SAME),
    Row(("scaling", "minInstanceCount"), ("metadata", "annotations", f"{SCALE}minScale"), NUMBER),
    Row(("scaling", "maxInstanceCount"), ("metadata", "annotations", f"{SCALE}maxScale"), NUMBER),
    Row(("timeout",), ("spec", "timeoutSeconds"), DURATION),
    Row(("maxInstanceRequestConcurrency",), ("spec", "containerConcurrency"), SAME),
    Row(("sessionAffinity",), note("sessionAffinity"), FLAG),
    Row(("vpcAccess", "networkInterfaces"), note("network-interfaces"), JSON),
    Row(("gpuZonalRedundancyDisabled",), note("gpu-zonal-redundancy-disabled"), FLAG),
    Row(("healthCheckDisabled",), note("health-check-disabled"), FLAG),
    *running((), ("spec",)),
)


# --- what crosses levels -------------------------------------------------------------------------------


def _cpu_to_v1(v2: Document, v1: Document) -> None:
    """`resources` without `cpuIdle` means instance-based billing; no `resources` means the default."""
    declared = [c["resources"] for c in v2.get("containers", ()) if "resources" in c]
    if declared:
        idle = any(resources.get("cpuIdle") for resources in declared)
        put(v1, note("cpu-throttling"), "true" if idle else "false")
        boost = any(resources.get("startupCpuBoost") for resources in declared)
        put(v1, note("startup-cpu-boost"), "true" if boost else "false")


def _cpu_to_v2(v1: Document, v2: Document) -> None:
    """`cpuIdle` is always said, so that writing back what was read does not turn the billing over."""
    notes = dig(v1, ("metadata", "annotations")) or {}
    idle = str(notes.get(f"{RUN}cpu-throttling", "true")).lower() != "false"
    for container in v2.get("containers", ()):
        container.setdefault("resources", {})["cpuIdle"] = idle
        if str(notes.get(f"{RUN}startup-cpu-boost")).lower() == "true":
            container["resources"]["startupCpuBoost"] = True


def _dependencies_to_v1(v2: Document, v1: Document) -> None:
    waits = {c.get("name", ""): c["dependsOn"] for c in v2.get("containers", ()) if c.get("dependsOn")}
    put(v1, note("container-dependencies"), JSON.to_v1(waits) if waits else None)


def _dependencies_to_v2(v1: Document, v2: Document) -> None:
    waits = JSON.to_v2(dig(v1, note("container-dependencies")) or "{}") or {}
    for container in v2.get("containers", ()):
        put(container, ("dependsOn",), waits.get(container.get("name")))


_CLOUDSQL: Final = {"name": "cloudsql", "mountPath": "/cloudsql"}


def _cloudsql_to_v1(v2: Document, v1: Document) -> None:
    found = {v["name"]: v["cloudSqlInstance"] for v in v2.get("volumes", ()) if "cloudSqlInstance" in v}
    if not found:
        return
    instances = [name for source in found.values() for name in source.get("instances", ())]
    put(v1, note("cloudsql-instances"), ",".join(instances))
    spec = v1["spec"]
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in found]
    for container in spec["containers"]:
        mounts = container.get("volumeMounts", ())
        container["volumeMounts"] = [mount for mount in mounts if mount["name"] not in found]


def _cloudsql_to_v2(v1: Document, v2: Document) -> None:
    instances = dig(v1, note("cloudsql-instances"))
    if instances:
        volume = {"name": "cloudsql", "cloudSqlInstance": {"instances": instances.split(",")}}
        v2["volumes"] = [*v2.get("volumes", ()), volume]
        for container in v2.get("containers", ())[:1]:
            container["volumeMounts"] = [*container.get("volumeMounts", ()), _CLOUDSQL]


CROSSED: Final[Table] = (
    Row(("containers", "resources", "cpuIdle"), note("cpu-throttling"), SAME),
    Row(("containers", "resources", "startupCpuBoost"), note("startup-cpu-boost"), SAME),
    Row(("containers", "dependsOn"), note("container-dependencies"), SAME),
    Row(("volumes", "cloudSqlInstance", "instances"), note("cloudsql-instances"), SAME),
)
"""What stands for what; how, say these functions."""
CROSSING: Final = (
    (_cpu_to_v1, _cpu_to_v2),
    (_dependencies_to_v1, _dependencies_to_v2),
    (_cloudsql_to_v1, _cloudsql_to_v2),
)


def template_to_v1(v2: Document) -> Document:
    """A v2 RevisionTemplate as v1's."""
    v1 = to_v1(TEMPLATE, v2)
    for cross, _ in CROSSING:
        cross(v2, v1)
    return v1


def template_to_v2(v1: Document) -> Document:
    """A v1 template, or a Revision, as v2's RevisionTemplate; a Revision has the same fields, at its top."""
    v2 = to_v2(TEMPLATE, v1)
    for _, cross in CROSSING:
        cross(v1, v2)
    return v2


def target_to_v1(v2: Document) -> Document:
    """A traffic target."""
    latest = v2.get("type") in LATEST or not v2.get("revision")
    whom = {"latestRevision": True} if latest else {"revisionName": v2["revision"].rpartition("/")[2]}
    return whom | {name: v2[name] for name in ("percent", "tag") if v2.get(name)}


def target_to_v2(v1: Document, *, resolved: bool = False) -> Document:
    """A traffic target; `resolved`: one of a status, which also says the revision and the tag's address."""
    latest = bool(v1.get("latestRevision"))
    v2 = {"type": f"{ALLOCATION}{'LATEST' if latest else 'REVISION'}"}
    put(v2, ("revision",), v1.get("revisionName") if resolved or not latest else None)
    for there, here in (("percent", "percent"), ("tag", "tag"), ("uri", "url")):
        put(v2, (there,), v1.get(here))
    return v2


TARGET: Final = Codec(target_to_v1, target_to_v2, (Row(("revision",), ("revisionName",), SAME),))
SERVICE: Final[Table] = (
    *LABELLED,
    Row(("description",), note("description"), SAME),
    Row(("ingress",), note("ingress"), INGRESS),
    *CLIENT,
    Row(("scaling", "minInstanceCount"), note("minScale"), NUMBER),
    Row(("scaling", "maxInstanceCount"), note("maxScale"), NUMBER),
    Row(("scaling", "scalingMode"), note("scalingMode"), SCALING_MODE),
    Row(("scaling", "manualInstanceCount"), note("manualInstanceCount"), NUMBER),
    Row(("invokerIamDisabled",), note("invoker-iam-disabled"), FLAG),
    Row(("defaultUriDisabled",), note("default-url-disabled"), FLAG),
    Row(("customAudiences",), note("custom-audiences"), JSON),
    Row(("template",), ("spec", "template"), Codec(template_to_v1, template_to_v2, (*TEMPLATE, *CROSSED))),
    Row(("traffic",), ("spec", "traffic"), each(TARGET)),
)
_SHOWN: Final[Table] = (
    Row(("lastModifier",), ("metadata", "annotations", "serving.knative.dev/lastModifier"), SAME),
    Row(
        ("trafficStatuses",),
        ("status", "traffic"),
        each(Codec(SAME.to_v1, partial(target_to_v2, resolved=True))),
    ),
    Row(("uri",), ("status", "url"), SAME),
    Row(("urls",), note("urls"), JSON),
)
"""What only the server says."""
MAPPED_NOTES: Final = frozenset(
    row.v1[-1] for row in (*TEMPLATE, *CROSSED, *SERVICE) if row.v1[:-1] == ("metadata", "annotations")
)
"""The annotations that v2 has fields for."""


def condition_to_v2(v1: Document) -> Document:
    """A condition."""
    v2 = {"type": v1["type"], "state": CONDITION_STATE.to_v2(v1["status"])}
    for name in ("message", "lastTransitionTime"):
        put(v2, (name,), v1.get(name))
    if v1.get("severity") == "Info":
        v2["severity"] = "INFO"
    if (reason := REASONS.get(v1.get("reason", ""))) is not None:
        v2 |= dict([reason])
    return v2


def states_to_v2(v1: Document, ready: str, *, apart: bool = False) -> Document:
    """The conditions, Ready apart from the others if so wanted, and whether there is still work to do."""
    conditions = {c["type"]: condition_to_v2(c) for c in dig(v1, ("status", "conditions")) or ()}
    v2: Document = {}
    if apart:
        state = {"state": CONDITION_STATE.to_v2(ready)}
        v2["terminalCondition"] = conditions.pop("Ready", {"type": "Ready"}) | state
    put(v2, ("conditions",), list(conditions.values()))
    put(v2, ("reconciling",), ready == "Unknown")
    return v2


# --- whole resources -----------------------------------------------------------------------------------


def service_to_v1(v2: Document, name: str, stored: Document | None = None) -> Document:
    """A v2 Service as v1's.

    Args:
        v2: what a client sent; its output-only fields are left alone.
        name: of the Service.
        stored: the v1 Service that it replaces; annotations that v2 has no field for stay.
    """
    v1 = to_v1(SERVICE, v2)
    put(v1, ("metadata", "name"), name)
    for path in (("metadata", "annotations"), ("spec", "template", "metadata", "annotations")):
        put(v1, path, unmapped(dig(stored, path) or {}))
    return v1 | {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}


def unmapped(notes: Mapping[str, str]) -> dict[str, str]:
    """The annotations in system name spaces that v2 has no field for."""
    return {k: v for k, v in notes.items() if is_system(k) and k not in MAPPED_NOTES}


def common_to_v2(v1: Document, parent: str) -> Document:
    """What every v2 resource says of itself; `parent`: what stands before the last part of its name."""
    meta, status = v1["metadata"], v1.get("status") or {}
    conditions = status.get("conditions", ())
    created = meta.get("creationTimestamp", "")
    v2: Document = {}
    for name, value in (
        ("name", f"{parent}/{meta['name']}"),
        ("uid", meta.get("uid")),
        ("generation", str(meta.get("generation", 0))),
        ("observedGeneration", str(status.get("observedGeneration", 0))),
        ("createTime", created),
        ("updateTime", max([created, *(c.get("lastTransitionTime", "") for c in conditions)])),
        ("etag", etag_of(v1)),
        ("creator", dig(meta, ("annotations", "serving.knative.dev/creator"))),
    ):
        put(v2, (name,), value)
    return v2


def etag_of(v1: Document) -> str:
    return f'"{v1["metadata"].get("resourceVersion", "")}"'


def service_to_v2(v1: Document, parent: str, ready: str) -> Document:
    """A v1 Service, as it is shown, as v2's.

    Args:
        parent: `projects/P/locations/R`.
        ready: the status of condition Ready, Unknown while the controllers are behind.
    """
    v2 = common_to_v2(v1, f"{parent}/services") | to_v2((*SERVICE, *_SHOWN), v1)
    v2.setdefault("launchStage", "GA")
    for name in ("latestReadyRevision", "latestCreatedRevision"):
        if revision := dig(v1, ("status", f"{name}Name")):
            v2[name] = f"{v2['name']}/revisions/{revision}"
    return v2 | states_to_v2(v1, ready, apart=True)


def revision_to_v2(v1: Document, parent: str, ready: str) -> Document:
    """A v1 Revision, as it is shown, as v2's; arguments as in `service_to_v2`."""
    service = dig(v1, ("metadata", "labels", "serving.knative.dev/service")) or ""
    v2 = template_to_v2(v1)
    del v2["revision"]
    v2 |= common_to_v2(v1, f"{parent}/services/{service}/revisions")
    v2 |= states_to_v2(v1, ready) | {"service": service, "launchStage": "GA"}
    put(v2, ("logUri",), dig(v1, ("status", "logUrl")))
    return v2
