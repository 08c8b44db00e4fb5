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
from minirun.api.managed import DEFAULT_CALLER, Managed, find_place
from minirun.api.requests import CALLER, Target, find_target
from minirun.api.status import StatusError
from minirun.model.regions import HOME_REGION, REGIONS, Place
from minirun.model.resources import KINDS, Kind

METHODS: Final = ("GET", "POST", "PUT", "DELETE")
GROUPS: Final = ("serving.knative.dev", "run.googleapis.com")
_BY_PLURAL: Final = {kind.plural: kind for kind in KINDS if kind.group in GROUPS}
_DELETED: Final = {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def caller_of(request: Request) -> str:
    """The principal behind a request of one of Google's clients."""
    return str(request.scope.get(CALLER, DEFAULT_CALLER))


def region_of(request: Request) -> str:
    """The region in the host's name; the home region on `run.googleapis.com`."""
    return str(request.path_params.get("region", HOME_REGION))


class CloudRunV1:
    """The v1 addresses."""

    def __init__(self, managed: Managed) -> None:
        self._managed = managed
        self._verbs: dict[tuple[str, bool], Callable[[Request, Target], Awaitable[Response]]] = {
            ("GET", True): self._get,
            ("GET", False): self._list,
            ("POST", False): self._create,
            ("PUT", True): self._replace,
            ("POST", True): self._act,
            ("DELETE", True): self._delete,
        }
        regional = "/v1/projects/{project}/locations"
        self.routes = [
            Route("/apis/{path:path}", self._object, methods=METHODS),
            Route(regional, self._regions),
            Route(regional + "/{location}/{plural}", self._list_everywhere),
            Route(regional + "/{location}/operations/{operation}:wait", self._wait, methods=["POST"]),
        ]

    async def _object(self, request: Request) -> Response:
        target = find_target(request.url.path)
        if target is None or target.kind.group not in GROUPS or not target.namespace:
            raise StatusError(404, f"Cloud Run has no {request.url.path}")
        verb = self._verbs.get((request.method, bool(target.name)))
        if verb is None:
            raise StatusError(400, f"{target.kind.plural} have no {request.method} at this address")
        return await verb(request, target)

    async def _get(self, request: Request, target: Target) -> Response:
        return answer(await self._managed.get(*self._place_kind(request, target), target.name))

    async def _list(self, request: Request, target: Target) -> Response:
        place, kind = self._place_kind(request, target)
        return answer(await self._managed.list(place, kind, request.query_params))

    async def _create(self, request: Request, target: Target) -> Response:
        place, kind = self._place_kind(request, target)
        created = await self._managed.create(
            place, kind, await read_json(request), caller=caller_of(request), dry_run=_is_dry_run(request)
        )
        return answer(created, 201)

    async def _replace(self, request: Request, target: Target) -> Response:
        place, kind = self._place_kind(request, target)
        document = await read_json(request)
        replaced = await self._managed.replace(
            place, kind, target.name, document, caller=caller_of(request), dry_run=_is_dry_run(request)
        )
        return answer(replaced)

    async def _act(self, request: Request, target: Target) -> Response:
        place, kind = self._place_kind(request, target)
        name, _, action = target.name.partition(":")
        document = await read_json(request)
        return answer(await self._managed.act(place, kind, name, action, document, caller=caller_of(request)))

    async def _delete(self, request: Request, target: Target) -> Response:
        await self._managed.delete(*self._place_kind(request, target), target.name)
        return answer(_DELETED)

    def _place_kind(self, request: Request, target: Target) -> tuple[Place, Kind]:
        return find_place(target.namespace or "", region_of(request)), target.kind

    async def _list_everywhere(self, request: Request) -> Response:
        """A kind in one region or (`-`) in all."""
        project, location = request.path_params["project"], request.path_params["location"]
        kind = _BY_PLURAL.get(request.path_params["plural"])
        if kind is None:
            raise StatusError(404, f"Cloud Run has no {request.url.path}")
        items: list[object] = []
        for place in self._managed.places(project, location):
            items += (await self._managed.list(place, kind, request.query_params))["items"]
        head = {"apiVersion": kind.api_version, "kind": f"{kind.kind}List", "metadata": {}}
        return answer(head | {"items": items})

    async def _regions(self, request: Request) -> Response:
        project = request.path_params["project"]
        return answer(
            {
                "locations": [
                    {
                        "name": f"projects/{project}/locations/{region}",
                        "locationId": region,
                        "displayName": region,
                    }
                    for region in REGIONS
                ]
            }
        )

    async def _wait(self, request: Request) -> Response:
        """Objects here name no operation, so nothing is left to wait for; on a 404 gcloud asks for ever."""
        return answer({"name": request.url.path.removeprefix("/v1/").removesuffix(":wait"), "done": True})


def _is_dry_run(request: Request) -> bool:
    """`dryRun=all`, in any case of letters. Raises StatusError (400)."""
    said = request.query_params.get("dryRun", "")
    if said.lower() not in ("", "all"):
        raise StatusError(400, f'dryRun "{said}" is not supported; the only value is all')
    return bool(said)
