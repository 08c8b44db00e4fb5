"""Stored log entries, as clients ask for them: text for `kubectl logs`, objects for everybody else.

`pods/NAME/log` is core/v1's log subresource. `logentries` of minirun.dev/v1 has the same entries with
severity, payload and trace; it is listed and watched as a kind is, selected by the labels in `LABELS`.
Counterparts: the kubelet's log endpoint; Cloud Logging behind Cloud Run.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from minirun.api.listoptions import timeout_seconds
from minirun.api.requests import JSON, LineStream, is_true, json_response, whole
from minirun.api.selectors import parse_selector
from minirun.api.status import StatusError, not_found
from minirun.model.clock import SECOND_NS, Clock
from minirun.model.labels import CONFIGURATION, EXECUTION, JOB, REVISION, SERVICE
from minirun.model.meta import rfc3339
from minirun.model.resources import KIND_OF, MINIRUN, Pod
from minirun.store.store import Store
from minirun.telemetry.logs import LogEntry, LogStore, Selection

LABELS: Final[Mapping[str, str]] = {
    SERVICE: "service",
    CONFIGURATION: "configuration",
    REVISION: "revision",
    JOB: "job",
    EXECUTION: "execution",
    "pod": "pod",
}


FOLLOW_SECONDS: Final = 4 * 3600.0  # a log is followed for as long as the kubelet lets it


class LogsAPI:
    """The log addresses."""

    def __init__(self, logs: LogStore, store: Store, clock: Clock) -> None:
        self._logs = logs
        self._store = store
        self._clock = clock

    async def pod_log(self, request: Request) -> Response:
        """The lines of a container: `container`, `tailLines`, `sinceSeconds`, `timestamps`, `follow`."""
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        pod = self._store.find(Pod, namespace, name)
        if pod is None:
            raise not_found(KIND_OF[Pod], name)
        asked = request.query_params.get("container", "")
        selection = self._selection(request, {"pod": name} | _container_of(pod, asked))
        line = partial(_text, stamped=is_true(request.query_params, "timestamps"))
        if is_true(request.query_params, "follow"):
            return LineStream(self._follow(namespace, selection, line, FOLLOW_SECONDS), "text/plain")
        return Response(b"".join(map(line, self._logs.read(namespace, **selection))), media_type="text/plain")

    async def entries(self, request: Request) -> Response:
        """A list of LogEntry objects; with `watch=true` a stream of those there are and those that come."""
        namespace = request.path_params.get("namespace")
        labels: dict[str, str] = {}
        for requirement in parse_selector(request.query_params).labels:
            name = LABELS.get(requirement.key)
            if name is None or not requirement.wanted or len(requirement.values or ()) != 1:
                raise StatusError(
                    400, f"log entries are selected by KEY=VALUE with one of {', '.join(LABELS)}"
                )
            labels[name] = next(iter(requirement.values or ()))
        selection = self._selection(request, labels)
        if is_true(request.query_params, "watch"):
            return LineStream(
                self._follow(namespace, selection, _added, timeout_seconds(request.query_params)), JSON
            )
        items = list(map(_object, self._logs.read(namespace, **selection)))
        body = {"kind": "LogEntryList", "apiVersion": MINIRUN, "metadata": {}, "items": items}
        return json_response(body)

    def _selection(self, request: Request, labels: dict[str, str]) -> Selection:
        query = request.query_params
        selection: Selection = {}
        selection.update(labels)  # type: ignore[typeddict-item]  # the keys are those of LABELS
        if "tailLines" in query:
            selection["tail"] = whole(query["tailLines"], "tailLines")
        if "sinceSeconds" in query:
            since_ns = whole(query["sinceSeconds"], "sinceSeconds") * SECOND_NS
            selection["since_unix_ns"] = self._clock.unix_ns() - since_ns
        return selection

    async def _follow(
        self, namespace: str | None, selection: Selection, line: Callable[[LogEntry], bytes], seconds: float
    ) -> AsyncGenerator[bytes, None]:
        end = asyncio.get_running_loop().time() + seconds
        async with contextlib.aclosing(self._logs.follow(namespace, **selection)) as entries:
            with contextlib.suppress(TimeoutError):
                while True:
                    async with asyncio.timeout_at(end):
                        entry = await anext(entries)
                    yield line(entry)


def _container_of(pod: Pod, asked: str) -> dict[str, str]:
    """Which of several containers is wanted. Raises StatusError (400), as kube-apiserver says it."""
    name, names = pod.metadata.name, [container.name for container in pod.spec.containers]
    if not asked and len(names) > 1:
        choice = f"choose one of: [{' '.join(names)}]"
        raise StatusError(400, f"a container name must be specified for pod {name}, {choice}")
    if asked and asked not in names:
        raise StatusError(400, f"container {asked} is not valid for pod {name}")
    return {"container": asked} if len(names) > 1 else {}


def timestamp(unix_ns: int) -> str:
    return f"{rfc3339(unix_ns)[:-1]}.{unix_ns % SECOND_NS:09d}Z"


def _text(entry: LogEntry, stamped: bool) -> bytes:
    text = f"{timestamp(entry.timestamp_unix_ns)} {entry.text}" if stamped else entry.text
    return text.encode() + b"\n"


def _added(entry: LogEntry) -> bytes:
    return msgspec.json.encode({"type": "ADDED", "object": _object(entry)}) + b"\n"


def _object(entry: LogEntry) -> dict[str, object]:
    labels = {label: value for label, name in LABELS.items() if (value := getattr(entry, name))}
    return {
        "kind": "LogEntry",
        "apiVersion": MINIRUN,
        "metadata": {"name": "", "namespace": entry.namespace, "labels": labels | entry.labels},
        "timestamp": timestamp(entry.timestamp_unix_ns),
        "severity": entry.severity,
        "stream": entry.stream,
        **({"message": entry.message} if entry.json_payload is None else {"jsonPayload": entry.json_payload}),
        **({"trace": entry.trace} if entry.trace else {}),
        **({"spanId": entry.span_id} if entry.span_id else {}),
    }
