"""Answers as tables: what `kubectl get` prints, from one table of columns for each kind.

A Table is a view of an answer, made after it: the objects of a list, one object, or the events of a watch
become rows of cells, with ages rendered, and clients print what is in them. Counterparts: kube-apiserver's
printers (pkg/printers/internalversion) for core kinds, `additionalPrinterColumns` of Knative's CRDs for its.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from minirun.api.requests import JSON, LineStream, accepted, json_response
from minirun.api.status import StatusError
from minirun.model import resources as kinds
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import TRUE
from minirun.model.durations import human_duration
from minirun.model.labels import CONFIGURATION, CONFIGURATION_GENERATION, EXECUTION, JOB, RUNNING_STATE
from minirun.model.meta import Resource, unix_seconds
from minirun.model.resources import Kind

META_GROUP: Final = "meta.k8s.io"
VERSIONS: Final = ("v1", "v1beta1")
INCLUDES: Final = ("", "Metadata", "Object", "None")
NONE, UNKNOWN = "<none>", "<unknown>"
R = TypeVar("R", bound=Resource)
Cell = Callable[[R, int], object]
"""The value in a column: of an object, at a time in unix seconds."""


class Column(NamedTuple):
    """`priority` 1: with `-o wide` only."""

    name: str
    cell: Callable[[Resource, int], object]
    type: str = "string"
    format: str = ""
    priority: int = 0


# --- cells ---------------------------------------------------------------------------------------------


def column(type_: type[R], name: str, cell: Cell[R], kind: str = "string") -> Column:
    """A column whose value is computed."""

    def checked(resource: Resource, now: int) -> object:
        assert isinstance(resource, type_)
        return cell(resource, now)

    return Column(name, checked, kind)


def at(name: str, path: str, kind: str = "string", missing: str | None = None) -> Column:
    """The field at a path of attributes, of each member of a list; `missing` while it is not there."""

    def cell(resource: Resource, _: int) -> object:
        value = _dig(resource, path.split("."))
        return missing if missing and not value else value

    return Column(name, cell, kind)


def _dig(value: object, path: Sequence[str]) -> object:
    if isinstance(value, list):
        return ",".join(str(_dig(each, path)) for each in value)
    return _dig(getattr(value, path[0], None), path[1:]) if path else value


def wide(*columns: Column) -> tuple[Column, ...]:
    """Columns that are shown with `-o wide` only."""
    return tuple(column._replace(priority=1) for column in columns)


def constant(name: str, value: object, kind: str = "string") -> Column:
    return Column(name, lambda resource, _: value, kind)


def labelled(name: str, label: str) -> Column:
    return Column(name, lambda resource, _: resource.metadata.labels.get(label))


def condition(name: str, type_: str, field: str) -> Column:
    """A field of one of the conditions."""

    def cell(resource: Resource, _: int) -> object:
        conditions = getattr(getattr(resource, "status", None), "conditions", ())
        return next((getattr(each, field) for each in conditions if each.type == type_), None)

    return Column(name, cell)


def since(timestamp: str | None, now: int) -> str:
    """How long ago something was, as kubectl writes it."""
    return human_duration(now - unix_seconds(timestamp)) if timestamp else UNKNOWN


def pod_status(pod: kinds.Pod, _: int) -> str:
    """What kubectl calls a pod's status: its phase, or what keeps a container from running."""
    if pod.metadata.deletion_timestamp:
        return "Terminating"
    reason = pod.status.reason or pod.status.phase
    for status in pod.status.container_statuses:
        waiting, ended = status.state.waiting, status.state.terminated
        if waiting is not None and waiting.reason:
            reason = waiting.reason
        elif ended is not None:
            reason = ended.reason or f"ExitCode:{ended.exit_code}"
    return reason


def pod_restarts(pod: kinds.Pod, now: int) -> str:
    count = sum(status.restart_count for status in pod.status.container_statuses)
    ends = [
        status.last_state.terminated.finished_at
        for status in pod.status.container_statuses
        if status.last_state is not None and status.last_state.terminated is not None
    ]
    return f"{count} ({since(max(ends), now)} ago)" if count and ends and max(ends) else str(count)


def pod_ready(pod: kinds.Pod, _: int) -> str:
    ready = sum(status.ready for status in pod.status.container_statuses)
    return f"{ready}/{len(pod.spec.containers)}"


def external_ip(service: kinds.CoreService, _: int) -> str:
    def names(ingress: list[kinds.LoadBalancerIngress]) -> str:
        return ",".join(each.ip or each.hostname for each in ingress)

    match service.spec.type:
        case "ExternalName":
            return service.spec.external_name
        case "LoadBalancer":
            return names(service.status.load_balancer.ingress) or "<pending>"
        case _:
            return NONE


def port_text(port: kinds.ServicePort) -> str:
    """`80:31380/TCP`."""
    node = f":{port.node_port}" if port.node_port else ""
    return f"{port.port}{node}/{port.protocol or 'TCP'}"


def key_values(items: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in items.items()) or NONE


def event_object(event: kinds.CoreEvent, _: int) -> str:
    about = event.involved_object
    return f"{about.kind.lower()}/{about.name}"


def node_status(node: kinds.Node, _: int) -> str:
    ready = any(each.type == "Ready" and each.status == TRUE for each in node.status.conditions)
    return ("Ready" if ready else "NotReady") + (",SchedulingDisabled" if node.spec.unschedulable else "")


def node_address(type_: str) -> Cell[kinds.Node]:
    return lambda node, _: next((a.address for a in node.status.addresses if a.type == type_), NONE)


# --- columns -------------------------------------------------------------------------------------------

NAME: Final = Column("Name", lambda resource, _: resource.metadata.name, format="name")
AGE: Final = Column("Age", lambda resource, now: since(resource.metadata.creation_timestamp, now))
_READY: Final = (condition("Ready", "Ready", "status"), condition("Reason", "Ready", "reason"))
_LATEST: Final = (
    at("LatestCreated", "status.latest_created_revision_name"),
    at("LatestReady", "status.latest_ready_revision_name"),
)
_URL: Final = at("URL", "status.url")
COLUMNS: Final[Mapping[type[Resource], tuple[Column, ...]]] = {
    kinds.Service: (NAME, _URL, *_LATEST, *_READY),
    kinds.Configuration: (NAME, *_LATEST, *_READY),
    kinds.Route: (NAME, _URL, *_READY),
    kinds.DomainMapping: (NAME, _URL, *_READY),
    kinds.Revision: (
        NAME,
        labelled("Config Name", CONFIGURATION),
        labelled("Generation", CONFIGURATION_GENERATION),
        *_READY,
        at("Actual Replicas", "status.actual_replicas", "integer"),
        at("Desired Replicas", "status.desired_replicas", "integer"),
    ),
    kinds.PodAutoscaler: (
        NAME,
        at("DesiredScale", "status.desired_scale", "integer"),
        at("ActualScale", "status.actual_scale", "integer"),
        *_READY,
    ),
    kinds.ServerlessService: (
        NAME,
        at("Mode", "spec.mode"),
        at("Activators", "spec.num_activators", "integer"),
        at("ServiceName", "status.service_name"),
        at("PrivateServiceName", "status.private_service_name"),
        *_READY,
    ),
    kinds.Ingress: (NAME, *_READY),
    kinds.Pod: (
        NAME,
        column(kinds.Pod, "Ready", pod_ready),
        column(kinds.Pod, "Status", pod_status),
        column(kinds.Pod, "Restarts", pod_restarts),
        AGE,
        *wide(
            at("IP", "status.pod_ip", missing=NONE),
            at("Node", "spec.node_name", missing=NONE),
            constant("Nominated Node", NONE),
            constant("Readiness Gates", NONE),
        ),
    ),
    kinds.Deployment: (
        NAME,
        column(kinds.Deployment, "Ready", lambda d, _: f"{d.status.ready_replicas}/{d.spec.replicas}"),
        at("Up-to-date", "status.replicas", "integer"),
        at("Available", "status.available_replicas", "integer"),
        AGE,
        *wide(
            at("Containers", "spec.template.spec.containers.name"),
            at("Images", "spec.template.spec.containers.image"),
            column(kinds.Deployment, "Selector", lambda d, _: key_values(d.spec.selector.match_labels)),
        ),
    ),
    kinds.CoreService: (
        NAME,
        at("Type", "spec.type"),
        at("Cluster-IP", "spec.cluster_ip", missing=NONE),
        column(kinds.CoreService, "External-IP", external_ip),
        column(kinds.CoreService, "Port(s)", lambda s, _: ",".join(map(port_text, s.spec.ports)) or NONE),
        AGE,
        *wide(column(kinds.CoreService, "Selector", lambda s, _: key_values(s.spec.selector))),
    ),
    kinds.CoreEvent: (
        column(kinds.CoreEvent, "Last Seen", lambda e, now: since(e.last_timestamp or e.event_time, now)),
        at("Type", "type"),
        at("Reason", "reason"),
        column(kinds.CoreEvent, "Object", event_object),
        *wide(constant("Subobject", ""), at("Source", "source.component")),
        at("Message", "message"),
        *wide(
            column(
                kinds.CoreEvent, "First Seen", lambda e, now: since(e.first_timestamp or e.event_time, now)
            ),
            at("Count", "count", "integer"),
            NAME,
        ),
    ),
    kinds.Namespace: (NAME, at("Status", "status.phase"), AGE),
    kinds.ConfigMap: (
        NAME,
        column(kinds.ConfigMap, "Data", lambda c, _: len(c.data) + len(c.binary_data or ()), "integer"),
        AGE,
    ),
    kinds.Secret: (
        NAME,
        at("Type", "type"),
        column(kinds.Secret, "Data", lambda s, _: len(s.data), "integer"),
        AGE,
    ),
    kinds.ServiceAccount: (NAME, constant("Secrets", 0, "integer"), AGE),
    kinds.Node: (
        NAME,
        column(kinds.Node, "Status", node_status),
        constant("Roles", NONE),
        AGE,
        at("Version", "status.node_info.kubelet_version"),
        *wide(
            column(kinds.Node, "Internal-IP", node_address("InternalIP")),
            column(kinds.Node, "External-IP", node_address("ExternalIP")),
            at("OS-Image", "status.node_info.os_image"),
            at("Kernel-Version", "status.node_info.kernel_version"),
            at("Container-Runtime", "status.node_info.container_runtime_version"),
        ),
    ),
    kinds.Job: (NAME, *_READY, at("Executions", "status.execution_count", "integer"), AGE),
    kinds.Execution: (
        NAME,
        labelled("Job", JOB),
        at("Running", "status.running_count", "integer"),
        column(
            kinds.Execution, "Complete", lambda e, _: f"{e.status.succeeded_count}/{e.spec.task_count or 1}"
        ),
        condition("Completed", "Completed", "status"),
        condition("Reason", "Completed", "reason"),
        AGE,
    ),
    kinds.Task: (
        NAME,
        labelled("Execution", EXECUTION),
        labelled("State", RUNNING_STATE),
        at("Retried", "status.retried", "integer"),
        AGE,
    ),
    kinds.Image: (NAME, at("Reference", "spec.reference"), *wide(at("Digest", "spec.digest")), AGE),
}
OTHERS: Final = (NAME, AGE)


# --- tables --------------------------------------------------------------------------------------------


class _List(msgspec.Struct):
    items: list[msgspec.Raw]
    metadata: dict[str, object] = {}


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


@dataclass(frozen=True, slots=True)
class TableView:
    """How a client wants its table: the version of it, and what of each object goes with its row."""

    api_version: str
    include: str
    now: int

    def of(
        self, kind: Kind, objects: Sequence[Resource], metadata: Mapping[str, object]
    ) -> dict[str, object]:
        """The table of some objects."""
        columns = COLUMNS.get(kind.type, OTHERS)
        definitions = [
            {"name": c.name, "type": c.type, "format": c.format, "description": "", "priority": c.priority}
            for c in columns
        ]
        rows = [
            {"cells": [c.cell(each, self.now) for c in columns], **self._object(each)} for each in objects
        ]
        head = {"kind": "Table", "apiVersion": self.api_version, "metadata": metadata}
        return head | {"columnDefinitions": definitions, "rows": rows}

    def _object(self, resource: Resource) -> dict[str, object]:
        if self.include == "None":
            return {}
        if self.include == "Object":
            return {"object": resource}
        partial = {"kind": "PartialObjectMetadata", "apiVersion": self.api_version}
        return {"object": partial | {"metadata": resource.metadata}}

    def apply(self, kind: Kind, answer: Response, *, single: bool) -> Response:
        """The answer to a GET as a table: of a list, of a single object, or of a watch, event by event."""
        if isinstance(answer, StreamingResponse):
            return LineStream(self._events(kind, answer), JSON)
        if single:
            object_ = msgspec.json.decode(answer.body, type=kind.type)
            table = self.of(kind, [object_], {"resourceVersion": object_.metadata.resource_version})
        else:
            listed = msgspec.json.decode(answer.body, type=_List)
            objects = [msgspec.json.decode(item, type=kind.type) for item in listed.items]
            table = self.of(kind, objects, listed.metadata)
        return json_response(table)

    async def _events(self, kind: Kind, answer: StreamingResponse) -> AsyncGenerator[bytes, None]:
        lines = answer.body_iterator
        assert isinstance(lines, AsyncGenerator)
        async with contextlib.aclosing(lines):
            async for line in lines:
                event = msgspec.json.decode(line, type=_Event)
                if event.type == "ERROR":
                    yield line
                    continue
                object_ = msgspec.json.decode(event.object, type=kind.type)
                version = {"resourceVersion": object_.metadata.resource_version}
                table = self.of(kind, [object_], version)
                yield msgspec.json.encode({"type": event.type, "object": table}) + b"\n"


def table_view(request: Request, now_unix_ns: int) -> TableView | None:
    """The table that a request asks for by Accept and `includeObject`; None if it wants the objects.

    Raises:
        StatusError: `includeObject` is something else (400).
    """
    if request.method != "GET":
        return None
    for media_type, parameters in accepted(request.headers.get("accept", "")):
        if parameters.get("as") == "Table" and parameters.get("v") in VERSIONS:
            include = request.query_params.get("includeObject", "")
            if include not in INCLUDES:
                raise StatusError(400, f'includeObject "{include}" is none of Metadata, Object, None')
            return TableView(f"{META_GROUP}/{parameters['v']}", include, now_unix_ns // SECOND_NS)
        if media_type == JSON and "as" not in parameters:
            return None
    return None
