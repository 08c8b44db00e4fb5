"""Probes over the network, against servers that answer this and that."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from minirun.runtime.base import Probe, ProbeResult
from minirun.runtime.probes import probe_network
from minirun.runtime.probing import try_probe


@asynccontextmanager
async def server(answer: bytes, heard: list[bytes] | None = None) -> AsyncIterator[int]:
    """Answers every connection's first bytes with `answer`, and closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(65536)
        if heard is not None:
            heard.append(data)
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("status", "ok"), [(199, False), (200, True), (399, True), (400, False), (503, False)]
)
async def test_an_http_probe_passes_on_200_to_399(status, ok):
    heard: list[bytes] = []
    probe = Probe("http", path="/healthz?x=1", headers=(("Host", "me"), ("X-Key", "v")))
    async with server(f"HTTP/1.1 {status} Word\r\n\r\n".encode(), heard) as port:
        assert await probe_network(probe, "127.0.0.1", port) == ProbeResult(ok, detail=f"HTTP {status}")
    assert heard[0].startswith(b"GET /healthz?x=1 HTTP/1.1\r\nHost: me\r\n")
    assert b"X-Key: v\r\n" in heard[0]


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"HTTP/1.1 ok\r\n\r\n"])
async def test_an_http_probe_fails_on_what_is_not_http(answer):
    async with server(answer) as port:
        seen = await probe_network(Probe("http"), "127.0.0.1", port)
    assert (seen.ok, seen.listening) == (False, True)


async def test_a_probe_with_a_port_of_its_own_goes_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert (await probe_network(Probe("tcp", port=port), "127.0.0.1", 1)).ok


async def test_a_probe_of_a_port_without_a_listener_says_that_nobody_listens():
    async with server(b"") as port:
        pass
    for kind in ("tcp", "http", "h2c", "grpc"):
        assert not (await probe_network(Probe(kind), "127.0.0.1", port)).listening


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


SETTINGS = frame(4, 0, 0, b"") + frame(4, 1, 0, b"")


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, b"\0\0\0\0\2\x08\x01"), True),
        (SETTINGS + frame(1, 4, 1, b"\x88") + frame(0, 0, 1, b"\0\0\0\0\2\x08\x02"), False),
        (SETTINGS + frame(1, 5, 1, b"\x88"), False),
        (SETTINGS + frame(7, 0, 0, bytes(8)), False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    ],
    ids=["serving", "not serving", "unimplemented", "goaway", "not http/2"],
)
async def test_a_grpc_probe_passes_when_the_health_service_says_serving(answer, ok):
    heard: list[bytes] = []
    async with server(answer, heard) as port:
        seen = await probe_network(Probe("grpc", service="greeter"), "127.0.0.1", port)
    assert seen.ok is ok
    assert heard[0].startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"\0\0\0\0\x09\x0a\x07greeter" in heard[0]


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (SETTINGS + frame(1, 5, 1, b"\x88"), True),
        (SETTINGS + frame(1, 4, 1, b"\x08\x03103") + frame(1, 4, 1, b"\x88"), True),
        (SETTINGS + frame(1, 4, 1, b"\x8e"), False),
        (SETTINGS + frame(1, 4, 1, b"\xff\xff\xff"), False),
        (SETTINGS + frame(3, 0, 1, bytes(4)), False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    ],
    ids=["200", "103 and 200", "500", "not hpack", "reset", "not http/2"],
)
async def test_an_http_probe_of_an_h2c_container_speaks_http2(answer, ok):
    heard: list[bytes] = []
    async with server(answer, heard) as port:
        probe = Probe("h2c", path="/healthz", headers=(("X-Mine", "1"), ("Host", "x")))
        assert (await probe_network(probe, "127.0.0.1", port)).ok is ok
    assert heard[0].startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class Scripted:
    """Answers probes from a list; waits for ever when it is used up."""

    def __init__(self, *results: ProbeResult) -> None:
        self.results = list(results)

    async def probe(self, probe: Probe) -> ProbeResult:
        if not self.results:
            await asyncio.Event().wait()
        return self.results.pop(0)


async def test_a_try_knocks_again_while_nobody_listens():
    process = Scripted(
        ProbeResult(False, listening=False), ProbeResult(False, listening=False), ProbeResult(True)
    )
    assert (await try_probe(process, Probe())).ok
    assert not process.results


async def test_a_try_takes_the_first_answer_of_one_who_listens():
    process = Scripted(ProbeResult(False, detail="HTTP 503"), ProbeResult(True))
    assert (await try_probe(process, Probe())).detail == "HTTP 503"


async def test_a_try_without_an_answer_in_time_fails():
    seen = await try_probe(Scripted(), Probe(timeout_seconds=0.01))
    assert seen == ProbeResult(False, detail="no answer within 0.01 s")
