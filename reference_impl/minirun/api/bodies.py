"""The bodies of requests: how many bytes they may have, and the object in them, by media type.

`BODIES` is the table of media types. Counterpart: apimachinery pkg/runtime/serializer.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec
import yaml
from starlette.requests import Request

from minirun.api import protobuf
from minirun.api.requests import JSON
from minirun.api.status import StatusError, unsupported_media_type
from minirun.model.decoding import DecodingError, duplicate_fields, parse_json
from minirun.model.manifests import Loader

T = TypeVar("T")
YAML: Final = "application/yaml"
BODY_LIMIT: Final = 3 << 20  # kube-apiserver's


def parse_yaml(body: bytes) -> dict[str, object]:
    """The object in a body of YAML, or of JSON, which is YAML.

    Raises:
        DecodingError: it is none; or it has aliases, with which a small text makes a huge object.
    """
    try:
        return parse_json(body)
    except DecodingError:
        pass
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(body, Loader=Loader)):
            raise DecodingError("the YAML has aliases (*NAME), which are not accepted here; write them out")
        return parse_json(msgspec.json.encode(yaml.load(body, Loader=Loader)))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise DecodingError(f"the body is not a YAML object: {error}") from None


BODIES: Final[dict[str, Callable[[bytes], dict[str, object]]]] = {
    JSON: parse_json,
    YAML: parse_yaml,
    protobuf.PROTOBUF: protobuf.decode,
}


class Body(NamedTuple):
    """The object in a body, and the paths of members that its text has twice."""

    document: dict[str, object]
    duplicates: tuple[str, ...] = ()


def media_type(request: Request) -> str:
    """What the body is said to be, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The whole body, of at most `limit` bytes. Raises StatusError (413)."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise StatusError(413, f"the body is larger than {limit} bytes, the most that is accepted here")
    return bytes(body)


def convert(document: Mapping[str, object], type_: type[T]) -> T:
    """What a document says as a message of some type. Raises StatusError (400)."""
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        raise StatusError(400, f"the body is no {type_.__name__}: {error}") from None


async def read_document(request: Request, *, optional: bool = False) -> Body:
    """The object in a body.

    Args:
        optional: no body at all is an empty object. One of no said media type is JSON, as in kube-apiserver.

    Raises:
        StatusError (400, 413, 415)
    """
    body = await read_body(request)
    if optional and not body:
        return Body({})
    parse = BODIES.get(media_type(request) or JSON)
    if parse is None:
        raise unsupported_media_type(BODIES)
    try:
        return Body(parse(body), duplicate_fields(body))
    except DecodingError as error:
        raise StatusError(400, str(error)) from None
