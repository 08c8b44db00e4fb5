"""What all addresses read from a request and answer with: targets, bodies, flags, JSON, streams of lines."""

import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from minirun.api import protobuf
from minirun.api.protobuf import PROTOBUF
from minirun.api.status import StatusError, unsupported_media_type
from minirun.model.decoding import DecodingError, parse_json
from minirun.model.meta import Resource
from minirun.model.resources import KINDS, Kind

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
BODY_LIMIT: Final = 3 << 20  # kube-apiserver's
ENCODINGS_KEPT: Final = 16_384
_BY_ADDRESS: Final = {(kind.api_version, kind.plural): kind for kind in KINDS}
_ADDRESS = re.compile(
    r"/(?:api|apis/([^/]+))/([^/]+)(?:/namespaces/([^/]+)(?=/))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?/?"
)


class Target(NamedTuple):
    """What an address names; `namespace` None is all of them, an empty `name` the whole collection."""

    kind: Kind
    namespace: str | None
    name: str

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace or "", self.name


def find_target(path: str) -> Target | None:
    """The target of an address, or None when there is nothing of that kind."""
    match = _ADDRESS.fullmatch(path)
    group, version, namespace, plural, name = match.groups("") if match else [""] * 5
    kind = _BY_ADDRESS.get((f"{group}/{version}" if group else version, plural))
    if kind is None or (namespace and not kind.namespaced) or (name and kind.namespaced and not namespace):
        return None
    return Target(kind, (namespace or None) if kind.namespaced else "", name)


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


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The whole body, `limit` bytes at most; protobuf comes as JSON. Raises StatusError (400, 413, 415)."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise StatusError(413, f"the body is larger than {limit} bytes, the most that is accepted here")
    if body and _media_type(request) == PROTOBUF:
        return msgspec.json.encode(protobuf.decode(bytes(body)))
    return bytes(body)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_document(request: Request, media_type: str) -> dict[str, object]:
    """The JSON object in a body of that type (JSON: or of protobuf). Raises StatusError (400, 413, 415)."""
    if _media_type(request) not in (media_type, PROTOBUF if media_type == JSON else ""):
        raise unsupported_media_type([media_type])
    try:
        return parse_json(await read_body(request))
    except DecodingError as error:
        raise StatusError(400, str(error)) from None


def is_true(request: Request, name: str) -> bool:
    return request.query_params.get(name) in ("true", "1")


def is_dry_run(request: Request) -> bool:
    """Whether a write is to be tried only. Raises StatusError (400)."""
    said = request.query_params.get("dryRun", "")
    if said not in ("", "All"):
        raise StatusError(400, f'dryRun "{said}" is not supported; the only value is All')
    return said == "All"


def whole(text: str, name: str) -> int:
    """The whole number in a query parameter. Raises StatusError (400)."""
    if not text.isascii() or not text.isdigit():
        raise StatusError(400, f'{name} "{text}" is not a whole number, 0 or more')
    return int(text)


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=JSON)


def written(body: bytes, warnings: list[str], status: int = 200) -> Response:
    """The answer to a write; kubectl prints each warning."""
    response = json_response(body, status)
    for text in warnings:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("warning", f'299 - "{quoted}"')
    return response
