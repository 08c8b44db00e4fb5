"""The API server's app: every address, behind the guard, with errors as Status bodies.

Addresses of kinds go to `KubernetesAPI`; a pod's log, log entries and images have rooms of their own behind
them; the rest is what clients ask a server about itself. An unknown address is a plain-text 404, which
clients tell from a missing object.
"""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from minirun.api import discovery
from minirun.api.guard import Guard
from minirun.api.images import Images, ImagesAPI
from minirun.api.kubernetes import KubernetesAPI, find_target
from minirun.api.logs import LogsAPI
from minirun.api.requests import json_response
from minirun.api.status import StatusError, not_found
from minirun.model.clock import Clock
from minirun.model.resources import KINDS, Image, Pod
from minirun.store.store import Store
from minirun.telemetry.logs import LogStore

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_POD: Final = next(kind for kind in KINDS if kind.type is Pod)


@dataclass(frozen=True, slots=True)
class Backend:
    """What the API shows.

    `metrics` gives the Prometheus text; `not_ready` why the platform is not ready, or nothing when it is.
    """

    store: Store
    logs: LogStore
    images: Images
    clock: Clock
    rng: random.Random
    metrics: Callable[[], bytes]
    not_ready: Callable[[], str]


class API:
    """The app and its end.

    Args:
        backend: what is behind it.
        token, hosts: as `Guard` has them.
    """

    def __init__(self, backend: Backend, *, token: str = "", hosts: Collection[str] = ()) -> None:
        self._backend = backend
        self._objects = KubernetesAPI(backend.store, backend.rng)
        self._logs = LogsAPI(backend.logs, backend.clock)
        self._images = ImagesAPI(backend.images)
        routes = [Route(path, _constant(body)) for path, body in discovery.documents().items()]
        routes += [
            Route("/healthz", self._health),
            Route("/livez", self._health),
            Route("/readyz", self._readiness),
            Route("/metrics", self._metrics),
            Route("/api/v1/namespaces/{namespace}/pods/{name}/log", self._pod_log),
            Route("/apis/minirun.dev/v1/logentries", self._log_entries),
            Route("/apis/minirun.dev/v1/namespaces/{namespace}/logentries", self._log_entries),
            Route("/{path:path}", self._resource, methods=METHODS),
        ]
        self.app: ASGIApp = Guard(Starlette(routes=routes, exception_handlers=_HANDLERS), token, hosts)

    def close(self) -> None:
        """Ends open watches; the server calls it when it stops."""
        self._objects.close()

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _readiness(self, request: Request) -> Response:
        reason = self._backend.not_ready()
        return PlainTextResponse(reason or "ok", 503 if reason else 200)

    async def _metrics(self, request: Request) -> Response:
        return Response(self._backend.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _pod_log(self, request: Request) -> Response:
        namespace, name = request.path_params["namespace"], request.path_params["name"]
        if self._backend.store.find(Pod, namespace, name) is None:
            raise not_found(_POD, name)
        return self._logs.pod_log(request, namespace, name)

    async def _log_entries(self, request: Request) -> Response:
        return self._logs.entries(request, request.path_params.get("namespace"))

    async def _resource(self, request: Request) -> Response:
        target = find_target(request.url.path)
        if target is None:
            return PlainTextResponse("404 page not found", 404)
        if target.kind.type is Image:
            return await self._images.handle(request, target.name)
        return await self._objects.handle(request, target)


def _constant(body: dict[str, object]) -> Callable[[Request], Response]:
    content = msgspec.json.encode(body)
    return lambda request: json_response(content)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    return json_response(msgspec.json.encode(error.body), error.code)


_HANDLERS: Final = {StatusError: _refused}
