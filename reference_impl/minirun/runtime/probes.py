"""One try of a probe over the network, for every runtime whose containers have an address.

Counterpart: the kubelet's probers (k8s.io/kubernetes pkg/probe), with their rules: a TCP probe connects; an
HTTP probe passes on a status of 200 to 399; a gRPC probe asks grpc.health.v1.Health/Check and wants SERVING.
"""

import asyncio

from minirun.runtime.base import Probe, ProbeResult

NOT_LISTENING = ProbeResult(ok=False, listening=False, detail="connection refused")
PASSED = ProbeResult(ok=True)
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
        writer.write(http_request(probe, host) if probe.kind == "http" else grpc_request(probe, host))
        return await (read_http(reader) if probe.kind == "http" else read_grpc(reader))
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
    head = b"".join(b"\x00" + _hpack(name) + _hpack(value) for name, value in fields)
    name = probe.service.encode()
    message = b"\x0a" + bytes([len(name)]) + name if name else b""
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    settings = _frame(4, 0, 0, b"")
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + _frame(1, 4, 1, head) + _frame(0, 1, 1, body)


def _hpack(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("ascii")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def read_grpc(reader: asyncio.StreamReader) -> ProbeResult:
    """Reads frames up to the HealthCheckResponse (DATA) or the end of the stream."""
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if stream == 1 and kind == 0 and payload:
            ok = payload == _SERVING
            return ProbeResult(ok, detail="gRPC health: SERVING" if ok else "gRPC health: not SERVING")
        if kind == 7 or (stream == 1 and flags & 1):
            return ProbeResult(ok=False, detail="gRPC health: no answer from the health service")
