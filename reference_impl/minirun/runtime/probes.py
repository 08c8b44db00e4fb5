"""One try of a probe over the network, for every runtime whose containers have an address.

Counterpart: the kubelet's probers (k8s.io/kubernetes pkg/probe), with their rules: a TCP probe connects; an
HTTP probe passes on a status of 200 to 399; a gRPC probe asks grpc.health.v1.Health/Check and wants SERVING.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from hpack import Decoder, Encoder, HPACKError

from minirun.runtime.base import Probe, ProbeResult

NOT_LISTENING = ProbeResult(ok=False, listening=False, detail="connection refused")
PASSED = ProbeResult(ok=True)
_END_STREAM, _END_HEADERS = 1, 4
_SERVING = b"\x00\x00\x00\x00\x02\x08\x01"


async def probe_network(probe: Probe, host: str, port: int) -> ProbeResult:
    """Tries `probe` (http, tcp or grpc) once; `port` is used where the probe names none."""
    try:
        reader, writer = await asyncio.open_connection(host, probe.port or port)
    except OSError:
        return NOT_LISTENING
    try:
        if probe.kind == "tcp":
            return PASSED
        request, read = _CONVERSATIONS[probe.kind]
        writer.write(request(probe, host))
        return await read(reader)
    except (OSError, EOFError, ValueError) as error:
        return ProbeResult(ok=False, detail=f"the answer broke off ({type(error).__name__})")
    finally:
        writer.transport.abort()


def http_request(probe: Probe, host: str) -> bytes:
    """The request of an HTTP probe, on a connection of its own."""
    headers = {"Host": host, "User-Agent": "kube-probe/1.32", "Accept": "*/*", "Connection": "close"}
    headers.update(probe.headers)
    lines = [f"GET {probe.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def read_http(reader: asyncio.StreamReader) -> ProbeResult:
    """Reads the status line and judges it."""
    _, status_text, *_ = (await reader.readline()).split(None, 2)
    status = int(status_text)
    return ProbeResult(ok=200 <= status < 400, detail=f"HTTP {status}")


def grpc_request(probe: Probe, host: str) -> bytes:
    """A whole HTTP/2 conversation in advance: preface, SETTINGS, and the HealthCheckRequest on stream 1."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", host),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )
    name = probe.service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    return _http2_request(fields, _END_HEADERS) + _frame(0, _END_STREAM, 1, body)


def h2c_request(probe: Probe, host: str) -> bytes:
    """An HTTP probe in HTTP/2, in advance as well."""
    pseudo = ((":method", "GET"), (":scheme", "http"), (":path", probe.path), (":authority", host))
    headers = ((name.lower(), value) for name, value in probe.headers if name.lower() != "host")
    return _http2_request((*pseudo, ("user-agent", "kube-probe/1.32"), *headers), _END_HEADERS | _END_STREAM)


def _http2_request(fields: Iterable[tuple[str, str]], flags: int) -> bytes:
    head = Encoder().encode(fields)
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + _frame(1, flags, 1, head)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """The next frame: its kind, flags, stream and payload."""
    head = await reader.readexactly(9)
    payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
    return head[3], head[4], int.from_bytes(head[5:], "big"), payload


async def read_grpc(reader: asyncio.StreamReader) -> ProbeResult:
    """Reads frames up to the HealthCheckResponse (DATA) or the end of the stream."""
    while True:
        kind, flags, stream, payload = await _read_frame(reader)
        if stream == 1 and kind == 0 and payload:
            ok = payload == _SERVING
            return ProbeResult(ok, detail="gRPC health: SERVING" if ok else "gRPC health: not SERVING")
        if kind == 7 or (stream == 1 and flags & 1):
            return ProbeResult(ok=False, detail="gRPC health: no answer from the health service")


async def read_h2c(reader: asyncio.StreamReader) -> ProbeResult:
    """Reads frames up to the head of the answer and judges its status."""
    decoder = Decoder()
    while True:
        kind, flags, stream, payload = await _read_frame(reader)
        if stream == 1 and kind == 1 and not flags & ~(_END_STREAM | _END_HEADERS):
            try:
                fields = dict(decoder.decode(payload, raw=True))
            except HPACKError as error:
                raise ValueError("its head is not valid") from error
            status = int(fields.get(b":status", b"0"))
            if status >= 200:
                return ProbeResult(ok=status < 400, detail=f"HTTP {status}")
        elif kind == 7 or (stream == 1 and kind != 1):
            return ProbeResult(ok=False, detail="no answer in HTTP/2 to an HTTP probe")


_CONVERSATIONS: Final[
    dict[str, tuple[Callable[[Probe, str], bytes], Callable[[asyncio.StreamReader], Awaitable[ProbeResult]]]]
] = {
    "http": (http_request, read_http),
    "h2c": (h2c_request, read_h2c),
    "grpc": (grpc_request, read_grpc),
}
