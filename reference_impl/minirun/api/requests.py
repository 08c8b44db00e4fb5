"""What all addresses read from a request and answer with: targets, flags, JSON, streams of lines."""

import contextlib
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from minirun.api.status import StatusError, invalid_options, not_found
from minirun.model.meta import Resource
from minirun.model.resources import KINDS, Kind, Namespace
from minirun.store.store import Store

JSON: Final = "application/json"
USER: Final = "minirun"  # who writes, where nobody says who asks
CALLER: Final = "minirun.caller"  # of an ASGI scope: the principal behind a request
ENCODINGS_KEPT: Final = 16_384
_BY_ADDRESS: Final = {(kind.api_version, kind.plural): kind for kind in KINDS}
_ADDRESS = re.compile(
    r"/(?:api|apis/([^/]+))/([^/]+)(?:/namespaces/([^/]+)(?=/))?/([^/]+)"
    r"(?:/([^/]+)(?:/([^/]+))?)?/?"
)


class Target(NamedTuple):
    """What an address names; `namespace` None is all of them, an empty `name` the whole collection.

    `opens`: the namespace that is made with the first object in it; without, there must be one.
    """

    kind: Kind
    namespace: str | None
    name: str
    subresource: str = ""
    opens: Namespace | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace or "", self.name


def find_target(path: str) -> Target | None:
    """The target of an address, or None when there is nothing of that kind."""
    match = _ADDRESS.fullmatch(path)
    group, version, namespace, plural, name, subresource = match.groups("") if match else [""] * 6
    kind = _BY_ADDRESS.get((f"{group}/{version}" if group else version, plural))
    if kind is None or (namespace and not kind.namespaced) or (name and kind.namespaced and not namespace):
        return None
    if subresource and subresource not in kind.subresources:
        return None
    return Target(kind, (namespace or None) if kind.namespaced else "", name, subresource)


def find_object(store: Store, target: Target) -> Resource:
    """The object that an address names. Raises StatusError (404)."""
    found = store.find(target.kind.type, *target.key)
    if found is None:
        raise not_found(target.kind, target.name)
    return found


class Encoder:
    """Objects of the store as JSON bytes, made once a version.

    A list of thousands and a write that a hundred watchers see both encode each object once: a resource
    version names one state of one object, so its bytes can be kept.
    """

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}

    def __call__(self, resource: Resource) -> bytes:
        version = resource.metadata.resource_version
        found = self._bytes.get(version)
        if found is None:
            found = self._bytes[version] = msgspec.json.encode(resource)
            if len(self._bytes) > ENCODINGS_KEPT:
                del self._bytes[next(iter(self._bytes))]
        return found


class LineStream(StreamingResponse):
    """A stream whose source is closed with it, also when the client goes away in the middle."""

    def __init__(self, source: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(source, media_type=media_type)
        self._source = source

    async def stream_response(self, send: Send) -> None:
        async with contextlib.aclosing(self._source):
            await super().stream_response(send)


def field_validation(request: Request) -> str:
    """What is to be done about unknown fields. Raises StatusError (422)."""
    said = request.query_params.get("fieldValidation", "")
    if said not in ("", "Strict", "Warn", "Ignore"):
        raise invalid_options(
            "PatchOptions" if request.method == "PATCH" else "CreateOptions",
            f'fieldValidation: Unsupported value: "{said}": supported values: "Ignore", "Warn", "Strict"',
        )
    return said


def caller(request: Request, nobody: str = USER) -> str:
    """Who asks: what the front that let the request in has found out, or nobody in particular."""
    return str(request.scope.get(CALLER, nobody))


def accepted(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The media types in an Accept header with their parameters, in the client's order."""
    for choice in accept.split(","):
        media_type, *parameters = (part.strip() for part in choice.split(";"))
        yield media_type, dict(parameter.partition("=")[::2] for parameter in parameters)


def is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name) in ("true", "1")


def is_dry_run(request: Request, *words: str) -> bool:
    """Whether a write is to be tried only: so say `words`, or `All`. Raises StatusError (400)."""
    said = request.query_params.get("dryRun", "")
    if said not in ("", "All", *words):
        raise StatusError(400, f'dryRun "{said}" is not supported; the only value is {(*words, "All")[0]}')
    return bool(said)


def whole(text: str, name: str) -> int:
    """The whole number in a query parameter. Raises StatusError (400)."""
    if not text.isascii() or not text.isdigit():
        raise StatusError(400, f'{name} "{text}" is not a whole number, 0 or more')
    return int(text)


def json_response(body: object, status: int = 200) -> Response:
    """The answer with a body, or with something that is encoded first."""
    return Response(body if isinstance(body, bytes) else msgspec.json.encode(body), status, media_type=JSON)


def written(body: object, warnings: list[str], status: int = 200) -> Response:
    """The answer to a write; kubectl prints each warning."""
    response = json_response(body, status)
    for text in warnings:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("warning", f'299 - "{quoted}"')
    return response
