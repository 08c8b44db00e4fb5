"""The API server's app: every address, behind the guard, with errors as Status bodies.

The host comes first: Google's names (`REGION-run.googleapis.com` and so on) lead to Cloud Run's API, however
the client got here; gcloud takes this server for its HTTP proxy. Below every other name, addresses of kinds
go to `KubernetesAPI`; a pod's log, log entries and images have rooms of their own behind them; the rest is
what clients ask a server about itself. An unknown address is a plain-text 404, which clients tell from a
missing object.
"""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from minirun.api import openapi
from minirun.api.bodies import read_document
from minirun.api.cloudrun_v2 import CloudRunV2
from minirun.api.discovery import Discovery
from minirun.api.guard import Credentials, Guard
from minirun.api.hosts import google_hosts, origin_form
from minirun.api.iam import IAM
from minirun.api.images import Images, ImagesAPI
from minirun.api.keyring import Keyring
from minirun.api.kubernetes import KubernetesAPI
from minirun.api.logs import LogsAPI
from minirun.api.managed import Managed
from minirun.api.requests import caller, find_target, json_response
from minirun.api.reviews import REVIEWS, answer
from minirun.api.status import StatusError
from minirun.api.tables import table_view
from minirun.api.tokens import TokensAPI
from minirun.model.clock import Clock
from minirun.model.resources import Image, Kind
from minirun.store.store import Store
from minirun.telemetry.logs import LogStore

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


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
        token: as `Credentials` has it.
        hosts: as `Guard` has them.
    """

    def __init__(self, backend: Backend, *, token: str = "", hosts: Collection[str] = ()) -> None:
        self._backend = backend
        self._objects = KubernetesAPI(backend.store, backend.clock, backend.rng)
        self._images = ImagesAPI(backend.images)
        logs = LogsAPI(backend.logs, backend.store, backend.clock)
        self._discovery = Discovery()
        managed = Managed(self._objects, backend.store)
        self.cloud_run = CloudRunV2(managed, backend.clock, backend.rng)
        keyring = Keyring(backend.store, backend.clock)
        tokens = TokensAPI(keyring)
        self.credentials = Credentials(token, keyring.caller)
        self.iam = IAM(backend.store)
        routes = google_hosts(managed, self.cloud_run, backend.logs, self.iam, tokens)
        routes += tokens.routes
        routes += [Route(path, json_response(body)) for path, body in self._discovery.documents.items()]
        routes += [
            Route("/api", self._root),
            Route("/apis", self._root),
            Route("/openapi/v2", Response(openapi.V2, media_type=openapi.V2_MEDIA_TYPE)),
            Route("/openapi/v3", self._schemas),
            Route("/openapi/v3/{place:path}", self._schemas),
            *(
                Route(
                    f"/apis/{kind.api_version}/{kind.plural}", partial(_review, kind=kind), methods=["POST"]
                )
                for kind in REVIEWS
            ),
            Route("/healthz", PlainTextResponse("ok"), methods=["GET"]),
            Route("/livez", PlainTextResponse("ok"), methods=["GET"]),
            Route("/readyz", self._readiness),
            Route("/metrics", self._metrics),
            Route("/api/v1/namespaces/{namespace}/pods/{name}/log", logs.pod_log),
            Route("/apis/minirun.dev/v1/logentries", logs.entries),
            Route("/apis/minirun.dev/v1/namespaces/{namespace}/logentries", logs.entries),
            Route("/{path:path}", self._resource, methods=METHODS),
        ]
        app = Starlette(routes=routes, exception_handlers={StatusError: _refused, RecursionError: _too_deep})
        self.app: ASGIApp = Guard(origin_form(app), self.credentials, hosts)

    def close(self) -> None:
        """Ends open watches; the server calls it when it stops."""
        self._objects.close()

    async def _root(self, request: Request) -> Response:
        media_type, body = self._discovery.root(request.url.path, request.headers.get("accept", ""))
        return Response(body, media_type=media_type)

    async def _schemas(self, request: Request) -> Response:
        place = request.path_params.get("place")
        body = openapi.root() if place is None else openapi.document(place)
        return json_response(body) if body else PlainTextResponse("404 page not found", 404)

    async def _readiness(self, request: Request) -> Response:
        reason = self._backend.not_ready()
        return PlainTextResponse(reason or "ok", 503 if reason else 200)

    async def _metrics(self, request: Request) -> Response:
        return Response(self._backend.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _resource(self, request: Request) -> Response:
        target = find_target(request.url.path)
        if target is None:
            return PlainTextResponse("404 page not found", 404)
        view = table_view(request, self._backend.clock.unix_ns())
        if target.kind.type is Image:
            response = await self._images.handle(request, target.name)
        else:
            response = await self._objects.handle(request, target)
        return view.apply(target.kind, response, single=bool(target.name)) if view else response


async def _review(request: Request, kind: Kind) -> Response:
    document, _ = await read_document(request)
    return json_response(answer(kind, document, caller(request)), 201)


async def _too_deep(request: Request, error: Exception) -> Response:
    return StatusError(400, "the body is nested too deeply to be an object of any kind").response()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StatusError)
    return error.response()
