"""Cloud Run's v2 resources and its v1 ones (Knative's shapes), each made from the other by tables.

A row says where a value is in v2, where in v1, and how it is written there (`Codec`); a table is read in
both directions. What crosses levels (CPU settings of containers that v1 keeps in annotations of the template)
is in `CROSSING`. Values that are v2's defaults are left out, as protobuf does. Pure. Source: the v2 REST
reference and its v1 counterpart, checked by round trips.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from minirun.model.labels import RUN

Document = dict[str, Any]  # JSON of an API object
Path = tuple[str, ...]

SCALE: Final = "autoscaling.knative.dev/"
SYSTEM_SPACES: Final = (
    RUN,
    "cloud.googleapis.com/",
    "serving.knative.dev/",
    "autoscaling.knative.dev/",
)
"""Labels and annotations that have fields of their own in v2; clients may not set them there as such."""


class Codec(NamedTuple):
    """How a value is written in v1 and how in v2; None is nothing."""

    to_v1: Callable[[Any], Any]
    to_v2: Callable[[Any], Any]


class Row(NamedTuple):
    v2: Path
    v1: Path
    codec: Codec


Table = tuple[Row, ...]


# --- the engine ----------------------------------------------------------------------------------------


def dig(document: Any, path: Path) -> Any:
    """The value at a path, or None."""
    for name in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document


def put(document: Document, path: Path, value: Any) -> None:
    """Sets the value at a path; objects merge. Nothing and what is empty leave no trace."""
    if value is None or value is False or value in ("", 0, [], {}):
        return
    *parents, last = path
    for name in parents:
        document = document.setdefault(name, {})
    if isinstance(value, dict) and isinstance(document.get(last), dict):
        document[last].update(value)
    else:
        document[last] = value


def to_v1(table: Table, v2: Document) -> Document:
    """The v1 form of a v2 document."""
    v1: Document = {}
    for row in table:
        if (value := dig(v2, row.v2)) is not None:
            put(v1, row.v1, row.codec.to_v1(value))
    return v1


def to_v2(table: Table, v1: Document) -> Document:
    """The v2 form of a v1 document."""
    v2: Document = {}
    for row in table:
        if (value := dig(v1, row.v1)) is not None:
            put(v2, row.v2, row.codec.to_v2(value))
    return v2


# --- how values are written ----------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _duration_seconds(text: str) -> int | None:
    number = text.removesuffix("s")
    return int(float(number)) if number.replace(".", "", 1).isdigit() else None


def _whole(text: Any) -> int | None:
    return int(text) if str(text).lstrip("-").isdecimal() else None


SAME: Final = Codec(_same, _same)
FLAG: Final = Codec(lambda on: "true" if on else None, lambda text: str(text).lower() == "true")
NUMBER: Final = Codec(str, _whole)
JSON: Final = Codec(lambda value: msgspec.json.encode(value).decode(), _json)
DURATION: Final = Codec(_duration_seconds, lambda seconds: f"{seconds}s")


def is_system(key: str) -> bool:
    """Whether a label or an annotation has a field of its own in v2."""
    return key.startswith(SYSTEM_SPACES)


USERS: Final = Codec(_same, lambda pairs: {k: v for k, v in pairs.items() if not is_system(k)})


def enum(prefix: str, values: Mapping[int, tuple[str, str]]) -> Codec:
    """An enum of v2, which clients send as a number or as a name.

    Args:
        prefix: of every name in v2.
        values: by number, the name in v2 without prefix and the text in v1.
    """
    by_name = {prefix + name: text for name, text in values.values()}
    by_number = {number: text for number, (_, text) in values.items()}
    by_text = {text.lower(): prefix + name for name, text in values.values()}

    def known(said: Any) -> str | None:
        if said == 0 or str(said).endswith("UNSPECIFIED"):
            return None
        found = by_number.get(said) if isinstance(said, int) else by_name.get(said)
        if found is None:
            raise ValueError(f"{said} is none of {', '.join(by_name)}")
        return found

    return Codec(known, lambda text: by_text.get(str(text).lower()))


def nested(table: Table) -> Codec:
    """An object with a table of its own."""
    return Codec(lambda v2: to_v1(table, v2), lambda v1: to_v2(table, v1))


def each(codec: Codec) -> Codec:
    """A list."""
    return Codec(
        lambda items: [codec.to_v1(item) for item in items],
        lambda items: [codec.to_v2(item) for item in items],
    )


def only(*names: str) -> Codec:
    """An object of which v2 has these members; v1's others are left out there."""

    def pick(value: Document) -> Document | None:
        return {name: value[name] for name in names if value.get(name) not in (None, "", 0)}

    return Codec(_same, pick)


def rows(*names: str) -> Table:
    """Members that are the same in both."""
    return tuple(Row((name,), (name,), SAME) for name in names)


# --- the tables ----------------------------------------------------------------------------------------

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
            Codec(_same, lambda m: {k: str(v) for k, v in m.items()}),
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


def _note(key: str) -> Path:
    return "metadata", "annotations", key


TEMPLATE: Final[Table] = (
    Row(("labels",), ("metadata", "labels"), USERS),
    Row(("annotations",), ("metadata", "annotations"), USERS),
    Row(("revision",), ("metadata", "name"), SAME),
    Row(("scaling", "minInstanceCount"), _note(f"{SCALE}minScale"), NUMBER),
    Row(("scaling", "maxInstanceCount"), _note(f"{SCALE}maxScale"), NUMBER),
    Row(("timeout",), ("spec", "timeoutSeconds"), DURATION),
    Row(("serviceAccount",), ("spec", "serviceAccountName"), SAME),
    Row(("maxInstanceRequestConcurrency",), ("spec", "containerConcurrency"), SAME),
    Row(("executionEnvironment",), _note(f"{RUN}execution-environment"), ENVIRONMENT),
    Row(("sessionAffinity",), _note(f"{RUN}sessionAffinity"), FLAG),
    Row(("vpcAccess", "connector"), _note(f"{RUN}vpc-access-connector"), SAME),
    Row(("vpcAccess", "egress"), _note(f"{RUN}vpc-access-egress"), EGRESS),
    Row(("vpcAccess", "networkInterfaces"), _note(f"{RUN}network-interfaces"), JSON),
    Row(("nodeSelector", "accelerator"), ("spec", "nodeSelector", f"{RUN}accelerator"), SAME),
    Row(("gpuZonalRedundancyDisabled",), _note(f"{RUN}gpu-zonal-redundancy-disabled"), FLAG),
    Row(("healthCheckDisabled",), _note(f"{RUN}health-check-disabled"), FLAG),
    Row(("encryptionKey",), _note(f"{RUN}encryption-key"), SAME),
    Row(("containers",), ("spec", "containers"), each(CONTAINER)),
    Row(("volumes",), ("spec", "volumes"), each(VOLUME)),
)
SERVICE: Final[Table] = (
    Row(("labels",), ("metadata", "labels"), USERS),
    Row(("annotations",), ("metadata", "annotations"), USERS),
    Row(("client",), _note(f"{RUN}client-name"), SAME),
    Row(("clientVersion",), _note(f"{RUN}client-version"), SAME),
    Row(("description",), _note(f"{RUN}description"), SAME),
    Row(("ingress",), _note(f"{RUN}ingress"), INGRESS),
    Row(("launchStage",), _note(f"{RUN}launch-stage"), LAUNCH_STAGE),
    Row(("scaling", "minInstanceCount"), _note(f"{RUN}minScale"), NUMBER),
    Row(("scaling", "maxInstanceCount"), _note(f"{RUN}maxScale"), NUMBER),
    Row(("scaling", "scalingMode"), _note(f"{RUN}scalingMode"), SCALING_MODE),
    Row(("scaling", "manualInstanceCount"), _note(f"{RUN}manualInstanceCount"), NUMBER),
    Row(("invokerIamDisabled",), _note(f"{RUN}invoker-iam-disabled"), FLAG),
    Row(("defaultUriDisabled",), _note(f"{RUN}default-url-disabled"), FLAG),
    Row(("customAudiences",), _note(f"{RUN}custom-audiences"), JSON),
)
_CROSSING_NOTES: Final = (
    "cpu-throttling",
    "startup-cpu-boost",
    "container-dependencies",
    "cloudsql-instances",
)
MAPPED_NOTES: Final = frozenset(
    [row.v1[-1] for row in (*TEMPLATE, *SERVICE) if row.v1[:-1] == ("metadata", "annotations")]
    + [RUN + name for name in _CROSSING_NOTES]
)
"""The annotations that v2 has fields for."""


# --- what crosses levels -------------------------------------------------------------------------------


def _cpu_to_v1(v2: Document, v1: Document) -> None:
    """`resources` without `cpuIdle` means instance-based billing; no `resources` means the default."""
    declared = [c["resources"] for c in v2.get("containers", ()) if "resources" in c]
    if declared:
        idle = any(resources.get("cpuIdle") for resources in declared)
        put(v1, _note(f"{RUN}cpu-throttling"), "true" if idle else "false")
        boost = any(resources.get("startupCpuBoost") for resources in declared)
        put(v1, _note(f"{RUN}startup-cpu-boost"), "true" if boost else "false")


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
    put(v1, _note(f"{RUN}container-dependencies"), JSON.to_v1(waits) if waits else None)


def _dependencies_to_v2(v1: Document, v2: Document) -> None:
    waits = _json(dig(v1, _note(f"{RUN}container-dependencies")) or "{}") or {}
    for container in v2.get("containers", ()):
        put(container, ("dependsOn",), waits.get(container.get("name")))


_CLOUDSQL: Final = {"name": "cloudsql", "mountPath": "/cloudsql"}


def _cloudsql_to_v1(v2: Document, v1: Document) -> None:
    found = {v["name"]: v["cloudSqlInstance"] for v in v2.get("volumes", ()) if "cloudSqlInstance" in v}
    if not found:
        return
    instances = [name for source in found.values() for name in source.get("instances", ())]
    put(v1, _note(f"{RUN}cloudsql-instances"), ",".join(instances))
    spec = v1["spec"]
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in found]
    for container in spec["containers"]:
        mounts = container.get("volumeMounts", ())
        container["volumeMounts"] = [mount for mount in mounts if mount["name"] not in found]


def _cloudsql_to_v2(v1: Document, v2: Document) -> None:
    instances = dig(v1, _note(f"{RUN}cloudsql-instances"))
    if instances:
        volume = {"name": "cloudsql", "cloudSqlInstance": {"instances": instances.split(",")}}
        v2["volumes"] = [*v2.get("volumes", ()), volume]
        for container in v2.get("containers", ())[:1]:
            container["volumeMounts"] = [*container.get("volumeMounts", ()), _CLOUDSQL]


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
    template = template_to_v1(v2.get("template") or {})
    for new, path in ((v1, ("metadata", "annotations")), (template, ("metadata", "annotations"))):
        old = stored if new is v1 else dig(stored, ("spec", "template"))
        put(new, path, unmapped(dig(old, path) or {}))
    spec: Document = {"template": template}
    put(spec, ("traffic",), list(map(target_to_v1, v2.get("traffic") or ())))
    return v1 | {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "spec": spec}


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
    status = v1.get("status") or {}
    v2 = common_to_v2(v1, f"{parent}/services") | to_v2(SERVICE, v1)
    v2.setdefault("launchStage", "GA")
    revisions = f"{v2['name']}/revisions/"
    conditions = {c["type"]: condition_to_v2(c) for c in status.get("conditions", ())}
    terminal = conditions.pop("Ready", {"type": "Ready"}) | {"state": CONDITION_STATE.to_v2(ready)}
    for name, value in (
        ("lastModifier", dig(v1, _note("serving.knative.dev/lastModifier"))),
        ("template", template_to_v2(dig(v1, ("spec", "template")))),
        ("traffic", list(map(target_to_v2, dig(v1, ("spec", "traffic")) or ()))),
        ("trafficStatuses", [target_to_v2(t, resolved=True) for t in status.get("traffic", ())]),
        ("terminalCondition", terminal),
        ("conditions", list(conditions.values())),
        ("latestReadyRevision", _under(revisions, status.get("latestReadyRevisionName"))),
        ("latestCreatedRevision", _under(revisions, status.get("latestCreatedRevisionName"))),
        ("reconciling", ready == "Unknown"),
        ("uri", status.get("url")),
        ("urls", _json(dig(v1, _note(f"{RUN}urls")) or "[]")),
    ):
        put(v2, (name,), value)
    return v2


def _under(parent: str, name: str | None) -> str | None:
    return parent + name if name else None


def revision_to_v2(v1: Document, parent: str, ready: str) -> Document:
    """A v1 Revision, as it is shown, as v2's; arguments as in `service_to_v2`."""
    service = dig(v1, ("metadata", "labels", "serving.knative.dev/service")) or ""
    v2 = template_to_v2(v1)
    del v2["revision"]
    v2 |= common_to_v2(v1, f"{parent}/services/{service}/revisions")
    conditions: Iterable[Document] = dig(v1, ("status", "conditions")) or ()
    for name, value in (
        ("service", service),
        ("launchStage", "GA"),
        ("conditions", list(map(condition_to_v2, conditions))),
        ("reconciling", ready == "Unknown"),
        ("logUri", dig(v1, ("status", "logUrl"))),
    ):
        put(v2, (name,), value)
    return v2
