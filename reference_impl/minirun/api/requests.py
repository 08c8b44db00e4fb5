"""What all addresses read from a request and answer with: bodies, flags, JSON, streams of lines."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from minirun.api.status import StatusError, unsupported_media_type
from minirun.model.decoding import DecodingError, parse_json

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
BODY_LIMIT: Final = 3 << 20  # kube-apiserver's


class LineStream(StreamingResponse):
    """A stream whose source is closed with it, also when the client goes away in the middle."""

    def __init__(self, source: AsyncGenerator[bytes, None], media_type: str) -> None:
        super().__init__(source, media_type=media_type)
        self._source = source

    async def stream_response(self, send: Send) -> None:
        async with contextlib.aclosing(self._source):
            await super().stream_response(send)


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The whole body, of at most `limit` bytes. Raises StatusError (413)."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise StatusError(413, f"the body is larger than {limit} bytes, the most that is accepted here")
    return bytes(body)


async def read_document(request: Request, media_type: str) -> dict[str, object]:
    """The JSON object in a body of that media type. Raises StatusError (400, 413, 415)."""
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != media_type:
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
