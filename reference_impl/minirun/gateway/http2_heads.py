"""HTTP/2 header lists to heads and back: pure functions, over the same heads as HTTP/1.1.

Both versions meet in `RequestHead` and `ResponseHead`, whose fields are HTTP/1.1 lines; so every rule of
`heads` (what passes, what is added, what is refused) holds for both. What only HTTP/2 can get wrong is
checked here (RFC 9113 section 8), above all bytes that would be framing in HTTP/1.1.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus

from minirun.gateway.base import GatewayLimits
from minirun.gateway.heads import (
    Headers,
    RefusedError,
    RequestHead,
    ResponseHead,
    request_head,
    request_role,
    response_head,
    response_role,
)

Field = tuple[bytes, bytes]
Role = Callable[[bytes], tuple[bytes | None, bool]]

_REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_RESPONSE_PSEUDO = frozenset({b":status"})
_OF_CONNECTIONS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PSEUDO_VALUE = re.compile(rb"[\x21-\x7e\x80-\xff]*")


@lru_cache(4096)
def _is_name(name: bytes) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _OF_CONNECTIONS


def _sort(fields: Iterable[Field], known: frozenset[bytes], headers: Headers) -> dict[bytes, bytes]:
    """Give the regular fields to `headers`; the pseudo-fields. ValueError if the list is malformed."""
    pseudo: dict[bytes, bytes] = {}
    cookies: list[bytes] = []
    for name, value in fields:
        if name[:1] == b":":
            if name not in known or name in pseudo or headers.count or not _PSEUDO_VALUE.fullmatch(value):
                raise ValueError(f"the field {name!r} is unknown, twice, out of place or has a bad value")
            pseudo[name] = value
        elif len(name) > 256 or not _is_name(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"the field {name[:64]!r} may not be in HTTP/2, or its value may not")
        elif name == b"cookie":
            cookies.append(value)
        else:
            headers.add(name, value)
    if cookies:
        headers.add(b"cookie", b"; ".join(cookies))  # RFC 9113 section 8.2.3
    return pseudo


def request_of(fields: Iterable[Field], ended: bool, limits: GatewayLimits) -> RequestHead:
    """The head of a request; `ended` says that no body follows.

    Raises:
        RefusedError: it is not served; the status and a sentence.
        ValueError: the list is malformed (RFC 9113 section 8.1.1): a stream error.
    """
    headers = Headers(request_role)
    pseudo = _sort(fields, _REQUEST_PSEUDO, headers)
    method, target = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    read = headers.read
    authority = pseudo.get(b":authority")
    if authority and read.setdefault(b"host", [authority]) != [authority]:
        raise ValueError("the fields :authority and host differ")
    has_path = target[:1] == b"/" or target == b"*"
    if method != b"CONNECT" and not (_METHOD.fullmatch(method) and has_path and pseudo.get(b":scheme")):
        raise ValueError("the request lacks a good :method, :scheme or :path")
    if [value.strip().lower() for value in read.get(b"te", ())] not in ([], [b"trailers"]):
        raise ValueError("the field te may only be trailers")
    if len(target) > limits.uri_bytes:
        raise RefusedError(414, f"the request target is longer than {limits.uri_bytes} bytes")
    if headers.count > limits.header_count or headers.size + len(target) > limits.head_bytes:
        raise RefusedError(431, f"a head may have {limits.header_count} fields and {limits.head_bytes} bytes")
    if not ended and b"content-length" not in read:
        read[b"transfer-encoding"] = [b"chunked"]  # what a body without a length is in HTTP/1.1
    return request_head(method, target, "1.1", headers.lines, read)


def response_of(method: bytes, fields: Iterable[Field]) -> ResponseHead:
    """The head of an answer to `method`; ValueError, with half a sentence, if it may not pass."""
    headers = Headers(response_role)
    status = _sort(fields, _RESPONSE_PSEUDO, headers).get(b":status", b"")
    if not re.fullmatch(rb"[1-9][0-9][0-9]", status) or status == b"101":
        raise ValueError("it has no :status that HTTP/2 knows")
    return response_head(method, int(status), _reason(int(status)), "1.1", headers.lines, headers.read)


@lru_cache(128)
def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


def trailers_of(fields: Iterable[Field], role: Role) -> list[bytes]:
    """The trailers that pass, as lines; ValueError if the list is malformed."""
    headers = Headers(role)
    _sort(fields, frozenset(), headers)
    return headers.lines


def fields_of(lines: Iterable[bytes]) -> list[Field]:
    """HTTP/1.1 lines as an HTTP/2 header list."""
    parts = (line.partition(b":") for line in lines)
    return [(name.lower(), value.strip()) for name, _, value in parts]


def request_fields(head: RequestHead, forwarded: bytes) -> list[Field]:
    """What an instance gets in HTTP/2; `forwarded` as `forwarded_fields` gave them."""
    fields = [
        (b":method", head.method),
        (b":scheme", b"http"),
        (b":path", head.target),
        (b":authority", head.instance_host),
        *fields_of(forwarded.splitlines()),
    ]
    if head.length is not None:
        fields.append((b"content-length", b"%d" % head.length))
    if head.takes_trailers:
        fields.append((b"te", b"trailers"))
    return fields


def response_fields(head: ResponseHead) -> list[Field]:
    """What a client gets in HTTP/2."""
    fields = [(b":status", b"%d" % head.status), *fields_of(head.lines)]
    if head.length is not None and head.status >= 200 and head.status != 204:
        fields.append((b"content-length", b"%d" % head.length))
    return fields
