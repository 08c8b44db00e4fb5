"""Cloud Run's v1 API, as gcloud uses it: Knative's addresses on `REGION-run.googleapis.com`.

The region is in the host's name, the project where Knative has the namespace; the verbs are the ordinary
ones (`api/managed.py`), errors have Google's form. `run.googleapis.com` has the lists over all regions and
the regions themselves. gcloud polls with plain GETs, because no answer names an operation.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minirun.api.google import answer, read_json
from minirun.api.managed import DEFAULT_CALLER, Managed, Where
from minirun.api.requests import caller, find_target, is_dry_run
from minirun.api.resource_names import find_place
from minirun.api.status import StatusError
from minirun.model.regions import HOME_REGION, REGIONS
from minirun.model.resources import KINDS, Kind

METHODS: Final = ("GET", "POST", "PUT", "DELETE")
GROUPS: Final = ("serving.knative.dev", "run.googleapis.com")
_BY_PLURAL: Final = {kind.plural: kind for kind in KINDS if kind.group in GROUPS}
_DELETED: Final = {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def region_of(request: Request) -> str:
    """The region in the host's name; the home region on `run.googleapis.com`."""
    return str(request.path_params.get("region", HOME_REGION))


class CloudRunV1:
    """The v1 addresses: Knative's, and those under /v1/projects."""

    def __init__(self, managed: Managed) -> None:
        self._managed = managed
        self._verbs: dict[tuple[str, bool], Callable[[Request, Where], Awaitable[Response]]] = {
            ("GET", True): self._get,
            ("GET", False): self._list,
            **dict.fromkeys([("POST", False), ("PUT", True), ("POST", True)], self._write),
            ("DELETE", True): self._delete,
        }
        regional = "/v1/projects/{project}/locations"
        self.routes = [
            Route("/apis/{path:path}", self._knative, methods=METHODS),
            Route(regional, self._regions),
            Route(regional + "/{location}/operations/{operation}:wait", self._wait, methods=["POST"]),
            Route(regional + "/-/{plural}", self._list_everywhere),
            Route(regional + "/{location}/{plural}", self._placed, methods=METHODS),
            Route(regional + "/{location}/{plural}/{name}", self._placed, methods=METHODS),
        ]

    async def _knative(self, request: Request) -> Response:
        """/apis/GROUP/VERSION/namespaces/PROJECT/PLURAL[/NAME]; the host names the region."""
        target = find_target(request.url.path)
        if target is None or target.kind.group not in GROUPS or not target.namespace:
            raise StatusError(404, f"Cloud Run has no {request.url.path}")
        place = find_place(target.namespace, region_of(request))
        return await self._object(request, Where(place, target.kind, target.name))

    async def _placed(self, request: Request) -> Response:
        """/v1/projects/PROJECT/locations/REGION/PLURAL[/NAME]."""
        parts = request.path_params
        place = find_place(parts["project"], parts["location"])
        return await self._object(request, Where(place, _kind(request), parts.get("name", "")))

    async def _object(self, request: Request, where: Where) -> Response:
        verb = self._verbs.get((request.method, bool(where.name)))
        if verb is None:
            raise StatusError(400, f"{where.kind.plural} have no {request.method} at this address")
        return await verb(request, where)

    async def _get(self, request: Request, where: Where) -> Response:
        return answer(await self._managed.get(where))

    async def _list(self, request: Request, where: Where) -> Response:
        return answer(await self._managed.list(where, request.query_params))

    async def _write(self, request: Request, where: Where) -> Response:
        """Creates (POST), replaces (PUT), or does what `NAME:ACTION` says (POST)."""
        acts = request.method == "POST" and where.name
        write = self._managed.act if acts else self._managed.write
        document, tried = await read_json(request), is_dry_run(request, "all")
        made = await write(where, document, caller=caller(request, DEFAULT_CALLER), dry_run=tried)
        return answer(made, 200 if where.name else 201)

    async def _delete(self, request: Request, where: Where) -> Response:
        await self._managed.delete(where)
        return answer(_DELETED)

    async def _list_everywhere(self, request: Request) -> Response:
        """A kind in all regions."""
        kind, items = _kind(request), []
        for place in self._managed.places(request.path_params["project"], "-"):
            items += (await self._managed.list(Where(place, kind), request.query_params))["items"]
        head = {"apiVersion": kind.api_version, "kind": f"{kind.kind}List", "metadata": {}}
        return answer(head | {"items": items})

    async def _regions(self, request: Request) -> Response:
        locations = f"projects/{request.path_params['project']}/locations"
        shown = [{"name": f"{locations}/{r}", "locationId": r, "displayName": r} for r in REGIONS]
        return answer({"locations": shown})

    async def _wait(self, request: Request) -> Response:
        """Objects here name no operation, so nothing is left to wait for; on a 404 gcloud asks for ever."""
        return answer({"name": request.url.path.removeprefix("/v1/").removesuffix(":wait"), "done": True})


def _kind(request: Request) -> Kind:
    """The kind that an address names. Raises StatusError (404)."""
    found = _BY_PLURAL.get(request.path_params["plural"])
    if found is None:
        raise StatusError(404, f"Cloud Run has no {request.url.path}")
    return found
