"""What an HTTP/1.1 proxy makes of message heads: pure functions from bytes to bytes.

Three groups of header fields: those that end here (hop-by-hop ones, and what an outsider may not say), those
that the proxy reads itself, and all others, which pass verbatim, case and order kept. llhttp has refused most
malformed heads before; what it lets through and a proxy must not (RFC 9112 sections 3, 6 and 11: request
smuggling) is refused here. Counterparts: Go's `httputil.ReverseProxy`, Envoy's header rules, Knative's `K-*`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from random import Random
from urllib.parse import quote

Read = dict[bytes, list[bytes]]  # lower-case name to values, of the fields that the proxy reads

HOP_BY_HOP = frozenset({b"keep-alive", b"proxy"})  # and proxy-*; `Proxy:` is httpoxy
FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})
REWRITTEN = FRAMING | {
    *(b"host", b"te", b"x-request-id", b"traceparent", b"tracestate"),
    *(b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"),
}
NOTED = frozenset(
    {b"user-agent", b"expect", b"knative-serving-tag", b"authorization", b"x-serverless-authorization"}
)
OURS = frozenset({b"knative-serving-namespace", b"knative-serving-revision", b"k-original-host"})
ALLOW = ("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})

_HOST = re.compile(rb"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the gateway itself, instead of an instance's; `text` is one sentence, or a page.

    `note` is what the request's log entry says about it.
    """

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "text/plain; charset=utf-8"
    note: str = ""

    @property
    def body(self) -> bytes:
        """What follows the head."""
        return self.text.encode() + b"\n" if self.text else b""


# The code that a client of gRPC makes of an HTTP status (grpc/doc/http-grpc-status-mapping.md), else UNKNOWN.
GRPC_CODES = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
GRPC_UNKNOWN = 2
_GRPC_TYPE = re.compile(r"application/grpc(?:\+[^;]*)?\s*(?:;.*)?", re.IGNORECASE)
_GRPC_TEXT = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # what grpc-message has as it is


def grpc_refusal(refusal: Refusal) -> Refusal:
    """The same for a client of gRPC: status and text in the head, and nothing after it ("trailers only").

    Source: grpc/doc/PROTOCOL-HTTP2.md; Envoy answers so in its own name.
    """
    code = GRPC_CODES.get(refusal.status, GRPC_UNKNOWN)
    message = quote(refusal.note or refusal.text, safe=_GRPC_TEXT)  # the text may be a page
    told = (("grpc-status", str(code)), ("grpc-message", message))
    return Refusal(200, "", refusal.headers + told, "application/grpc", refusal.note)


class RefusedError(Exception):
    """A message that is not passed on, and what its sender is told."""

    def __init__(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.refusal = Refusal(status, text, headers)


@lru_cache(4096)
def request_role(name: bytes) -> tuple[bytes | None, bool]:
    """For a request's field: (lower-case name if the proxy reads it, whether its line passes as it is)."""
    lower = name.lower()
    if lower in NOTED:
        return lower, True
    if lower in REWRITTEN:
        return lower, False
    dropped = lower in HOP_BY_HOP or lower in OURS or lower.startswith((b"k-", b"proxy-"))
    return None, not dropped


@lru_cache(4096)
def response_role(name: bytes) -> tuple[bytes | None, bool]:
    """The same for a response's field."""
    lower = name.lower()
    if lower in FRAMING:
        return lower, False
    return None, not (lower in HOP_BY_HOP or lower.startswith(b"proxy-"))


class Headers:
    """The header fields of one message while they are parsed."""

    __slots__ = ("_role", "count", "lines", "read", "size")

    def __init__(self, role: Callable[[bytes], tuple[bytes | None, bool]]) -> None:
        self._role = role
        self.clear()

    def clear(self) -> None:
        """Start the next message; lists that were taken out stay as they are."""
        self.lines: list[bytes] = []
        self.read: Read = {}
        self.count = 0
        self.size = 0

    def add(self, name: bytes, value: bytes) -> None:
        """One field, as llhttp gives it."""
        self.count += 1
        self.size += len(name) + len(value)
        read, passes = self._role(name[:64])  # no name that has a role is as long; the cache stays small
        if passes:
            self.lines.append(name + b": " + value + b"\r\n")
        if read is not None:
            self.read.setdefault(read, []).append(value)


@dataclass(slots=True)
class RequestHead:
    """A request that may be forwarded. `length` is None without Content-Length."""

    method: bytes
    target: bytes  # origin-form, or *
    host: bytes  # as the client sent it
    route_host: str
    lines: list[bytes]
    read: Read
    length: int | None
    chunked: bool
    http_1_0: bool
    keep_alive: bool
    upgrade: bytes | None
    expects_continue: bool
    traceparent: bytes = b""
    instance_host: bytes = b""  # what the instance gets as Host

    @property
    def tag(self) -> str | None:
        """The client's `Knative-Serving-Tag`."""
        values = self.read.get(b"knative-serving-tag")
        return values[0].decode("latin-1") if values else None

    @property
    def takes_trailers(self) -> bool:
        """Whether the client says that it understands trailers, as gRPC's do."""
        return b"te" in self.read and b"trailers" in _tokens(b",".join(self.read[b"te"]))

    @property
    def is_grpc(self) -> bool:
        """Whether it is a call of gRPC (not of gRPC-Web, which is another protocol)."""
        return any(_GRPC_TYPE.fullmatch(value) for value in self.values("content-type"))

    def values(self, name: str) -> list[str]:
        """The values of a header field, in their order; `name` in lower case."""
        wanted = name.encode()
        found = self.read.get(wanted)
        if found is None:
            fields = (line.split(b":", 1) for line in self.lines)
            found = [value.strip() for field, value in fields if field.lower() == wanted]
        return [value.decode("latin-1") for value in found]


@dataclass(slots=True)
class ResponseHead:
    """An instance's answer. `bodyless`: no body follows, whatever the fields say (RFC 9112 section 6.3)."""

    status: int
    status_line: bytes
    lines: list[bytes]
    length: int | None
    chunked: bool
    bodyless: bool
    keep_alive: bool
    upgrade: bytes | None

    @property
    def until_close(self) -> bool:
        """Whether the body ends where the connection ends."""
        return not self.bodyless and not self.chunked and self.length is None


@lru_cache(4096)
def host_name(host: bytes) -> str | None:
    """The name in a Host field, lower case, without port and final dot; None if it is not a host."""
    match = _HOST.fullmatch(host) if len(host) < 262 else None
    return match[1].decode().lower().removesuffix(".") if match else None


def _tokens(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip() for token in value.lower().split(b",")) - {b""}


def _connection(read: Read, lines: list[bytes]) -> tuple[frozenset[bytes], list[bytes]]:
    """The options of Connection, and the lines without the fields that it names."""
    values = read.get(b"connection")
    if values is None:
        return frozenset(), lines
    options = _tokens(b",".join(values))
    if named := options - {b"close", b"keep-alive", b"upgrade"}:
        lines = [line for line in lines if line.partition(b":")[0].lower() not in named]
    return options, lines


def _framing(read: Read, version: str) -> tuple[int | None, bool]:
    """(Content-Length, chunked); ValueError for what two parsers could read differently."""
    lengths, encodings = read.get(b"content-length"), read.get(b"transfer-encoding")
    if encodings is not None:
        if lengths is not None or version == "1.0" or [e.strip().lower() for e in encodings] != [b"chunked"]:
            raise ValueError("Transfer-Encoding must be one `chunked`, without Content-Length, in HTTP/1.1")
        return None, True
    if lengths is None:
        return None, False
    digits = lengths[0].strip(b" \t")
    if len(lengths) != 1 or not digits.isdigit() or len(digits) > 18:
        raise ValueError("Content-Length must be one decimal number of at most 18 digits")
    return int(digits), False


def _split_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """(target in origin-form, host) (RFC 9112 section 3.2): the host of an absolute-form target wins."""
    if target[:7].lower() == b"http://":
        authority = re.split(rb"[/?#]", target[7:], maxsplit=1)[0]
        rest = target[7 + len(authority) :]
        bare = b"*" if method == b"OPTIONS" else b"/"
        target, host = (rest if rest[:1] == b"/" else b"/" + rest) if rest else bare, authority
    if (target[:1] != b"/" and (target != b"*" or method != b"OPTIONS")) or b"#" in target:
        raise RefusedError(
            400, "the request target must be a path like /a?b=c, or http://HOST/PATH, without #fragment"
        )
    return target, host


def request_head(method: bytes, target: bytes, version: str, lines: list[bytes], read: Read) -> RequestHead:
    """Check a request's head.

    Raises `RefusedError` with the status (400, 405 for CONNECT, 505 for other versions) and a sentence.
    """
    if method == b"CONNECT":
        raise RefusedError(405, "CONNECT is not served here; send the request itself to this address", ALLOW)
    if version not in ("1.1", "1.0"):
        raise RefusedError(505, f"HTTP version {version} is not served here; use HTTP/1.1")
    hosts = read.get(b"host", [])
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise RefusedError(400, f"the request has {len(hosts)} Host fields; it must have exactly one")
    host = hosts[0].rstrip(b" \t") if hosts else b""
    if target[:1] != b"/" or b"#" in target:
        target, host = _split_target(method, target, host)
    route_host = host_name(host[:262]) if host or hosts else ""
    if route_host is None:
        raise RefusedError(400, "the Host field must be NAME or NAME:PORT")
    try:
        length, chunked = _framing(read, version)
    except ValueError as error:
        raise RefusedError(400, str(error)) from None
    options, lines = _connection(read, lines)
    http_1_0 = version == "1.0"
    has_body = chunked or bool(length)
    upgrade = None
    if b"upgrade" in options and not http_1_0 and not has_body:
        protocols = [p for p in read.get(b"upgrade", []) if p.strip().lower() != b"h2c"]
        upgrade = protocols[0] if protocols else None
    expect = not http_1_0 and has_body and read.get(b"expect", [b""])[0].strip().lower() == b"100-continue"
    keep_alive = b"keep-alive" in options if http_1_0 else b"close" not in options
    return RequestHead(
        method, target, host, route_host, lines, read, length, chunked, http_1_0, keep_alive, upgrade, expect
    )


@lru_cache(1024)
def _destination_lines(namespace: str, revision: str) -> bytes:
    return f"Knative-Serving-Namespace: {namespace}\r\nKnative-Serving-Revision: {revision}\r\n".encode()


@lru_cache(1024)
def _this_hop(remote_ip: str) -> tuple[bytes, bytes]:
    """The client for X-Forwarded-For (bare) and for RFC 7239 (IPv6 in brackets and quotes)."""
    node = f'"[{remote_ip}]"' if ":" in remote_ip else remote_ip
    return remote_ip.encode(), f"for={node};proto=http".encode()


_HTTP = [b"http"]
_FORWARDED_FIELDS = (
    b"%bX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nForwarded: %b\r\n"
    b"%bX-Request-Id: %b\r\ntraceparent: %b\r\n%b"
)


def forwarded_fields(head: RequestHead, namespace: str, revision: str, remote_ip: str, rng: Random) -> bytes:
    """The fields that the instance gets, but for those that frame the message in one version of HTTP.

    Sets `head.traceparent` to the trace that the request belongs to.
    """
    get = head.read.get
    ids = rng.randbytes(40).hex().encode()
    traces, request_ids, more = get(b"traceparent"), get(b"x-request-id"), b""
    if traces is not None and len(traces) == 1 and _TRACEPARENT.fullmatch(traces[0]):
        head.traceparent = traces[0]
        more = b"".join(b"tracestate: %b\r\n" % state for state in get(b"tracestate", ()))
    else:
        head.traceparent = b"00-%b-%b-01" % (ids[:32], ids[32:48])
    if head.instance_host != head.host:
        more += b"X-Forwarded-Host: %b\r\nK-Original-Host: %b\r\n" % (head.host, head.host)
    address, element = _this_hop(remote_ip)
    return _FORWARDED_FIELDS % (
        b"".join(head.lines),
        b", ".join([*get(b"x-forwarded-for", ()), address]),
        get(b"x-forwarded-proto", _HTTP)[0],
        b", ".join([*get(b"forwarded", ()), element]),
        _destination_lines(namespace, revision),
        request_ids[0] if request_ids else ids[48:],
        head.traceparent,
        more,
    )


def upstream_head(head: RequestHead, fields: bytes) -> bytes:
    """The head that an instance gets in HTTP/1.1; `fields` as `forwarded_fields` gave them."""
    framing = b""
    if head.length is not None:
        framing = b"Content-Length: %d\r\n" % head.length
    elif head.chunked:
        framing = b"Transfer-Encoding: chunked\r\n"
    if head.upgrade is not None:
        framing += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade
    elif head.takes_trailers:
        framing += b"TE: trailers\r\nConnection: TE\r\n"
    first = head.method, head.target, head.instance_host
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (*first, fields, framing)


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Sequence[bytes]) -> bytes:
    """The end of a chunked body."""
    return b"0\r\n%b\r\n" % b"".join(trailers)


@lru_cache(128)
def _status_line(status: int, reason: bytes) -> bytes:
    if not _REASON.fullmatch(reason) or not 100 <= status <= 999:
        raise ValueError("its status line has a status below 100 or a control character")
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def response_head(
    method: bytes, status: int, reason: bytes, version: str, lines: list[bytes], read: Read
) -> ResponseHead:
    """Check the head of an answer to `method`; ValueError, with half a sentence, if it may not pass."""
    if version not in ("1.1", "1.0"):
        raise ValueError(f"it speaks HTTP {version} where HTTP/1.1 was asked")
    length, chunked = _framing(read, version)
    options, lines = _connection(read, lines)
    keep_alive = b"keep-alive" in options if version == "1.0" else b"close" not in options
    bodyless = status < 200 or status == 204 or status == 304 or method == b"HEAD"
    upgrade = read[b"upgrade"][0] if status == 101 and b"upgrade" in read else None
    status_line = _status_line(status, reason)
    return ResponseHead(status, status_line, lines, length, chunked, bodyless, keep_alive, upgrade)


def client_head(head: ResponseHead, chunked: bool, http_1_0: bool, keep_alive: bool) -> bytes:
    """The head that the client gets; `chunked` says how its body will be framed."""
    framing = b""
    if head.length is not None and head.status >= 200 and head.status != 204:
        framing = b"Content-Length: %d\r\n" % head.length
    elif chunked:
        framing = b"Transfer-Encoding: chunked\r\n"
    if head.upgrade is not None:
        framing += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade
    elif head.status >= 200 and not keep_alive:
        framing += b"Connection: close\r\n"
    elif http_1_0:
        framing += b"Connection: keep-alive\r\n"
    return b"%b%b%b\r\n" % (head.status_line, b"".join(head.lines), framing)


def error_response(refusal: Refusal, keep_alive: bool, without_body: bool) -> bytes:
    """An answer of the gateway itself."""
    body = refusal.body
    head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b\r\n" % (
        *(refusal.status, HTTPStatus(refusal.status).phrase.encode()),
        *(refusal.content_type.encode(), len(body)),
        b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in refusal.headers),
        b"" if keep_alive else b"Connection: close\r\n",
    )
    return head if without_body else head + body
