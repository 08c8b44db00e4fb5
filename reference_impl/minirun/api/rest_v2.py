"""The REST addresses of Cloud Run's v2 API, below /v2; what they do is in `api/cloudrun_v2.py`."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minirun.api.cloudrun import caller_of
from minirun.api.cloudrun_v2 import COLLECTIONS, CloudRunV2, mask_of, paged, parse_name
from minirun.api.google import answer, read_json
from minirun.api.requests import is_true, whole
from minirun.api.status import StatusError

WAIT_MAX_SECONDS: Final = 300.0
_COLLECTIONS: Final = ("/{a}", "/{a}/{b}/{c}", "/{a}/{b}/{c}/{d}/{e}")
_OBJECTS: Final = tuple(f"{path}/{{name}}" for path in _COLLECTIONS)
_LOCATION: Final = "/projects/{project}/locations/{region}"


class RestV2:
    """The routes."""

    def __init__(self, api: CloudRunV2) -> None:
        self._api = api
        operations = _LOCATION + "/operations"
        self.routes = [
            Route(operations, self._list_operations),
            Route(operations + "/{name}:wait", self._wait, methods=["POST"]),
            Route(operations + "/{name}", self._get_operation),
            Route(operations + "/{name}", self._delete_operation, methods=["DELETE"]),
            *(
                Route(_LOCATION + path, handler, methods=[method])
                for handler, method, paths in (
                    (self._list, "GET", _COLLECTIONS),
                    (self._create, "POST", _COLLECTIONS),
                    (self._act, "POST", [f"{path}:{{action}}" for path in _OBJECTS]),
                    (self._get, "GET", _OBJECTS),
                    (self._update, "PATCH", _OBJECTS),
                    (self._delete, "DELETE", _OBJECTS),
                )
                for path in paths
            ),
        ]

    async def _get(self, request: Request) -> Response:
        return answer(await self._api.get(_name(request)))

    async def _list(self, request: Request) -> Response:
        parent, _, collection = _name(request).rpartition("/")
        size, token = _page(request)
        return answer(await self._api.list(parent, collection, size, token))

    async def _create(self, request: Request) -> Response:
        parent, _, collection = _name(request).rpartition("/")
        row = COLLECTIONS.get(collection)
        name = request.query_params.get(row.id_parameter if row else "", "")
        made = await self._api.create(
            parent,
            collection,
            name,
            await read_json(request),
            caller=caller_of(request),
            validate_only=is_true(request, "validateOnly"),
        )
        return answer(made)

    async def _act(self, request: Request) -> Response:
        body, action = await read_json(request), request.path_params["action"]
        return answer(await self._api.act(_name(request), action, body, caller=caller_of(request)))

    async def _update(self, request: Request) -> Response:
        made = await self._api.update(
            _name(request),
            await read_json(request),
            mask=mask_of(request.query_params),
            allow_missing=is_true(request, "allowMissing"),
            validate_only=is_true(request, "validateOnly"),
            caller=caller_of(request),
        )
        return answer(made)

    async def _delete(self, request: Request) -> Response:
        etag, tried = request.query_params.get("etag", ""), is_true(request, "validateOnly")
        return answer(await self._api.delete(_name(request), etag=etag, validate_only=tried))

    async def _list_operations(self, request: Request) -> Response:
        size, token = _page(request)
        found = self._api.operations.list(parse_name(_name(request)).place)
        page, more = paged(found, lambda operation: str(operation["name"]), size, token)
        return answer({"operations": page} | ({"nextPageToken": more} if more else {}))

    async def _get_operation(self, request: Request) -> Response:
        return answer(self._api.operations.get(parse_name(_name(request)).place, request.path_params["name"]))

    async def _delete_operation(self, request: Request) -> Response:
        self._api.operations.delete(parse_name(_name(request)).place, request.path_params["name"])
        return answer({})

    async def _wait(self, request: Request) -> Response:
        text = str((await read_json(request)).get("timeout", f"{WAIT_MAX_SECONDS}s"))
        try:
            seconds = float(text.removesuffix("s"))
        except ValueError:
            raise StatusError(400, f"timeout '{text}' is no duration like 30s") from None
        place, name = parse_name(_name(request)).place, request.path_params["name"]
        return answer(await self._api.operations.wait(place, name, min(max(seconds, 0), WAIT_MAX_SECONDS)))


def _name(request: Request) -> str:
    """The resource name in an address, without a custom verb."""
    path = request.url.path.removeprefix("/v2/")
    head, slash, last = path.rpartition("/")
    return head + slash + last.partition(":")[0]


def _page(request: Request) -> tuple[int, str]:
    query = request.query_params
    return whole(query.get("pageSize", "0"), "pageSize"), query.get("pageToken", "")
