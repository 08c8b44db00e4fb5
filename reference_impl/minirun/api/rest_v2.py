"""The REST addresses of Cloud Run's v2 API, below /v2; what they do is in `api/cloudrun_v2.py`.

A row of `VERBS` says, as google.api.http does, how an address and a body become a request message.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minirun.api.cloudrun_v2 import Asked, CloudRunV2, row_of
from minirun.api.google import answer, read_json
from minirun.api.managed import DEFAULT_CALLER
from minirun.api.mapping import Document
from minirun.api.requests import caller, is_true, whole
from minirun.api.resource_names import parse_name

_LOCATION: Final = "/projects/{project}/locations/{region}"
_COLLECTIONS: Final = tuple(f"{_LOCATION}{path}" for path in ("/{a}", "/{a}/{b}/{c}", "/{a}/{b}/{c}/{d}/{e}"))
_OBJECTS: Final = tuple(f"{path}/{{name}}" for path in _COLLECTIONS)
_OPERATIONS: Final = f"{_LOCATION}/operations"


class Verb(NamedTuple):
    """How a method is asked for. `has_object`: the body is an object; otherwise it is the message's own."""

    http: str
    addresses: tuple[str, ...]
    has_object: bool = False


VERBS: Final = {
    "List": Verb("GET", _COLLECTIONS),
    "Create": Verb("POST", _COLLECTIONS, has_object=True),
    "Run": Verb("POST", tuple(f"{path}:run" for path in _OBJECTS)),
    "Cancel": Verb("POST", tuple(f"{path}:cancel" for path in _OBJECTS)),
    "Get": Verb("GET", _OBJECTS),
    "Update": Verb("PATCH", _OBJECTS, has_object=True),
    "Delete": Verb("DELETE", _OBJECTS),
}


def routes(api: CloudRunV2) -> list[Route]:
    """All addresses."""
    operations = (
        ("GET", _OPERATIONS, api.operations.list),
        ("POST", _OPERATIONS + "/{name}:wait", api.operations.wait),
        ("GET", _OPERATIONS + "/{name}", api.operations.get),
        ("DELETE", _OPERATIONS + "/{name}", api.operations.delete),
    )
    return [
        *(Route(path, partial(_of_operations, call), methods=[http]) for http, path, call in operations),
        *(
            Route(path, partial(_of_objects, api.verbs[name], verb), methods=[verb.http])
            for name, verb in VERBS.items()
            for path in verb.addresses
        ),
    ]


async def _of_operations(call: Callable[[Document], Awaitable[Document]], request: Request) -> Response:
    return answer(await call(_query(request) | await _body(request) | {"name": _name(request)}))


async def _of_objects(call: Callable[[Asked], Awaitable[Document]], verb: Verb, request: Request) -> Response:
    name, body, message = _name(request), await _body(request), _query(request)
    row = row_of(parse_name(name))
    if verb.has_object:
        message[row.field] = body | {"name": name}
    else:
        message |= body | {"name": name}
    message["parent"] = name.rpartition("/")[0]
    return answer(await call(Asked(row, message, caller(request, DEFAULT_CALLER))))


def _name(request: Request) -> str:
    """The resource name in an address, without a custom verb."""
    path = request.url.path.removeprefix("/v2/")
    head, slash, last = path.rpartition("/")
    return head + slash + last.partition(":")[0]


async def _body(request: Request) -> Document:
    return await read_json(request) if request.method in ("POST", "PATCH") else {}


def _query(request: Request) -> Document:
    """The members of a request message that come in the query."""
    query = request.query_params
    flags = {name: is_true(query, name) for name in ("validateOnly", "allowMissing")}
    return {**query, **flags, "pageSize": whole(query.get("pageSize", "0"), "pageSize")}
