"""Malformed and hostile HTTP: each gets the right status, its connection ends, and no instance sees it."""

import asyncio
import logging

import pytest
from gatewayworld import GET, HOST, OK, Wire, World

from minirun.gateway.base import GatewayLimits

H = HOST.encode()
# ruff: noqa: E501 - tables of bytes, one case a line
LINE = b"GET / HTTP/1.1\r\nHost: " + H + b"\r\n"
POST = b"POST / HTTP/1.1\r\nHost: " + H + b"\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED: dict[str, tuple[bytes, int]] = {
    # framing: what two parsers could read differently
    "content length and transfer encoding": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "transfer encoding and content length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two equal content lengths": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 400),
    "two different content lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", 400),
    "a list of content lengths": (POST + b"Content-Length: 2, 2\r\n\r\nhi", 400),
    "a signed content length": (POST + b"Content-Length: +2\r\n\r\nhi", 400),
    "a negative content length": (POST + b"Content-Length: -2\r\n\r\nhi", 400),
    "a hexadecimal content length": (POST + b"Content-Length: 0x2\r\n\r\nhi", 400),
    "an empty content length": (POST + b"Content-Length: \r\n\r\nhi", 400),
    "a content length with a space inside": (POST + b"Content-Length: 1 2\r\n\r\nhi", 400),
    "a content length with an underscore": (POST + b"Content-Length: 1_0\r\n\r\nhi", 400),
    "a content length beyond 64 bits": (POST + b"Content-Length: 99999999999999999999\r\n\r\nhi", 400),
    "a content length of 19 digits": (POST + b"Content-Length: 1000000000000000000\r\n\r\nhi", 400),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked, gzip": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "gzip alone": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked on two lines": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "quoted chunked": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "chunked behind a vertical tab": (POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "an empty transfer encoding": (POST + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n", 400),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: " + H + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # chunks
    "a chunk size with 0x": (CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n", 400),
    "a signed chunk size": (CHUNKED + b"+2\r\nhi\r\n0\r\n\r\n", 400),
    "a negative chunk size": (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", 400),
    "a chunk size that is no number": (CHUNKED + b"zz\r\nhi\r\n0\r\n\r\n", 400),
    "no chunk size": (CHUNKED + b"\r\nhi\r\n0\r\n\r\n", 400),
    "a chunk size beyond 64 bits": (CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nhi", 400),
    "a space after a chunk size": (CHUNKED + b"2 \r\nhi\r\n0\r\n\r\n", 400),
    "a chunk size ended by LF": (CHUNKED + b"2\nhi\r\n0\r\n\r\n", 400),
    "chunk data that is too long": (CHUNKED + b"2\r\nhi!\r\n0\r\n\r\n", 400),
    "chunk data ended by LF": (CHUNKED + b"2\r\nhi\n0\r\n\r\n", 400),
    "a chunk extension with LF": (CHUNKED + b"2;a\nb\r\nhi\r\n0\r\n\r\n", 400),
    "a chunk extension with NUL": (CHUNKED + b"2;\x00\r\nhi\r\n0\r\n\r\n", 400),
    "a trailer with a space before its colon": (CHUNKED + b"0\r\nX : y\r\n\r\n", 400),
    "a content length in the trailer": (CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n", 400),
    "a body's end with LF": (CHUNKED + b"0\r\n\n", 400),
    # fields
    "a bare LF after the request line": (b"GET / HTTP/1.1\nHost: " + H + b"\r\n\r\n", 400),
    "a bare LF after a field": (LINE + b"X: a\nY: b\r\n\r\n", 400),
    "a bare CR in a field": (LINE + b"X: a\rb\r\n\r\n", 400),
    "a NUL in a value": (LINE + b"X: a\x00b\r\n\r\n", 400),
    "a control character in a value": (LINE + b"X: a\x01b\r\n\r\n", 400),
    "a NUL in a name": (LINE + b"X\x00: a\r\n\r\n", 400),
    "a folded field": (LINE + b"X: a\r\n b\r\n\r\n", 400),
    "a folded field with a tab": (LINE + b"X: a\r\n\tb\r\n\r\n", 400),
    "a first field that begins with a space": (b"GET / HTTP/1.1\r\n Host: " + H + b"\r\n\r\n", 400),
    "a space before the colon": (LINE + b"X : a\r\n\r\n", 400),
    "an empty name": (LINE + b": a\r\n\r\n", 400),
    "no colon": (LINE + b"X\r\n\r\n", 400),
    "a bracket in a name": (LINE + b"X(: a\r\n\r\n", 400),
    "a byte above 127 in a name": (LINE + b"X\xe9: a\r\n\r\n", 400),
    # host
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (LINE + b"Host: " + H + b"\r\n\r\n", 400),
    "two different hosts": (LINE + b"Host: other\r\n\r\n", 400),
    "an empty host": (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
    "a host with a path": (b"GET / HTTP/1.1\r\nHost: " + H + b"/x\r\n\r\n", 400),
    "a host with a user": (b"GET / HTTP/1.1\r\nHost: me@" + H + b"\r\n\r\n", 400),
    "a host with a space": (b"GET / HTTP/1.1\r\nHost: a " + H + b"\r\n\r\n", 400),
    "two hosts in one": (b"GET / HTTP/1.1\r\nHost: a, " + H + b"\r\n\r\n", 400),
    "a host with a bad port": (b"GET / HTTP/1.1\r\nHost: " + H + b":8x\r\n\r\n", 400),
    "absolute form without host field": (b"GET http://" + H + b"/ HTTP/1.1\r\n\r\n", 400),
    # request line
    "an unknown method": (b"FOO / HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a lower-case method": (b"get / HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a method of RTSP": (b"DESCRIBE / HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a control character before the method": (b"\x01GET / HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a control character in the target": (b"GET /\x01 HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a byte above 127 in the target": (b"GET /\xe9 HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a relative target": (b"GET a HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a fragment": (b"GET /a#b HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "* with another method": (b"GET * HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "another scheme": (b"GET ftp://" + H + b"/ HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "absolute form without a host": (b"GET http:/// HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "absolute form with a user": (b"GET http://me@" + H + b"/ HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "CONNECT": (b"CONNECT " + H + b":80 HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 405),
    # versions
    "no version": (b"GET /\r\n\r\n", 505),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\nHost: " + H + b"\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: " + H + b"\r\n\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: " + H + b"\r\n\r\n", 505),
    "HTTP/3.0": (b"GET / HTTP/3.0\r\nHost: " + H + b"\r\n\r\n", 505),
    "a preface that is not quite HTTP/2's": (b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", 505),
    "a lower-case version": (b"GET / http/1.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a space after the version": (b"GET / HTTP/1.1 \r\nHost: " + H + b"\r\n\r\n", 400),
    "a leading zero in the version": (b"GET / HTTP/01.1\r\nHost: " + H + b"\r\n\r\n", 400),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    # sizes
    "a long target": (b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: " + H + b"\r\n\r\n", 414),
    "a long field": (LINE + b"X: " + b"a" * 65536 + b"\r\n\r\n", 431),
    "many long fields": (LINE + (b"X: " + b"a" * 8000 + b"\r\n") * 9 + b"\r\n", 431),
    "129 fields": (LINE + b"X: a\r\n" * 128 + b"\r\n", 431),
    "an endless field": (LINE + b"X: " + b"a" * 300_000, 431),
    "an endless name": (LINE + b"a" * 300_000, 431),
    "an endless target": (b"GET /" + b"a" * 300_000, 414),
}  # fmt: skip


WITHIN_HEAD = [
    name for name, (sent, _) in REFUSED.items() if len(sent) < 300 and not sent.startswith(CHUNKED)
]


@pytest.mark.parametrize("name", REFUSED)
async def test_hostile_request_is_refused_closed_and_seen_by_no_instance(world: World, name: str) -> None:
    sent, status = REFUSED[name]
    client = await world.connect()
    answer = await client.ask(sent)
    assert answer.status == status, answer
    assert answer["Connection"] == b"close"
    assert answer["Content-Type"].startswith(b"text/plain")
    assert answer.body.count(b"\n") == 1
    assert answer.body.endswith(b"\n")
    assert await client.closed() == b""
    assert world.instance.connections == 0


@pytest.mark.parametrize("name", WITHIN_HEAD)
async def test_hostile_request_is_refused_byte_by_byte_too(world: World, name: str) -> None:
    sent, status = REFUSED[name]
    client = await world.connect()
    answer = asyncio.ensure_future(client.message())
    for byte in sent:
        if answer.done() or client.writer.is_closing():
            break
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await answer).status == status
    assert world.instance.connections == 0


@pytest.mark.parametrize(
    "name", ["two hosts", "a bare LF after a field", "a signed content length", "HTTP/2.0"]
)
async def test_hostile_request_behind_a_good_one_leaves_the_good_one_its_answer(
    world: World, name: str
) -> None:
    sent, status = REFUSED[name]
    client = await world.connect()
    await client.send(GET + sent + GET)
    assert (await client.message()).body == b"ok"
    assert (await client.message()).status == status
    assert await client.closed() == b""
    assert len(world.instance.requests) == 1


async def test_bad_chunk_after_the_head_was_forwarded_is_400_and_the_instance_sees_no_end(
    world: World,
) -> None:
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(CHUNKED)
    _, upstream = await world.instance.arrived.get()
    await client.send(b"2\r\nhi\r\nX\r\n")
    assert (await client.message()).status == 400
    assert not (await upstream.closed()).endswith(b"0\r\n\r\n")
    assert await client.closed() == b""


async def test_endless_trailer_is_cut_off(world: World) -> None:
    client = await world.connect()
    await client.send(CHUNKED + b"0\r\n" + b"X: y\r\n" * 30_000)
    assert (await client.message()).status in (431, 502)
    assert world.instance.requests == []


async def test_connect_leaves_one_line_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = await world.connect()
    with caplog.at_level(logging.WARNING, "minirun.gateway"):
        answer = await client.ask(REFUSED["CONNECT"][0])
    assert b"POST" in answer["Allow"]
    assert [r.getMessage() for r in caplog.records] == ["127.0.0.1 sent CONNECT, which is not served"]


async def test_head_that_does_not_come_in_time_is_408(world: World) -> None:
    await world.restart(limits=GatewayLimits(head_timeout_seconds=0.05))
    client = await world.connect()
    answer = await client.ask(b"GET / HT")
    assert answer.status == 408
    assert await client.closed() == b""


async def test_connection_without_a_request_is_closed_without_a_word(world: World) -> None:
    await world.restart(limits=GatewayLimits(keep_alive_seconds=0.05))
    fresh, used = await world.connect(), await world.connect()
    assert (await used.ask(GET)).status == 200
    assert await fresh.closed() == b""
    assert await used.closed() == b""


async def test_limits_are_those_given(world: World) -> None:
    await world.restart(limits=GatewayLimits(head_bytes=200, header_count=3, uri_bytes=20))
    for sent, status in (
        (LINE + b"X: " + b"a" * 200 + b"\r\n\r\n", 431),
        (LINE + b"A: 1\r\nB: 2\r\nC: 3\r\n\r\n", 431),
        (LINE.replace(b"/ ", b"/" + b"a" * 20 + b" ") + b"\r\n", 414),
        (LINE + b"A: 1\r\nB: 2\r\n\r\n", 200),
    ):
        assert (await (await world.connect()).ask(sent)).status == status


BAD_ANSWERS: dict[str, bytes] = {
    "not HTTP": b"hello\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "a control character in the reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
    "a CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    "content length and transfer encoding": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two content lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a signed content length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "gzip as transfer encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a bare LF": b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\nContent-Length: 2\r\n\r\nok",
    "a space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "an upgrade that was not asked": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "101 without upgrade": b"HTTP/1.1 101 Switching\r\n\r\n",
    "an endless field": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
    "a long head": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 65536 + b"\r\nContent-Length: 2\r\n\r\nok",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_hostile_answer_is_502_and_its_connection_is_not_used_again(world: World, name: str) -> None:
    world.instance.answer = BAD_ANSWERS[name]
    client = await world.connect()
    answer = await client.ask(GET)
    assert answer.status == 502, answer
    assert b"not valid HTTP" in answer.body
    world.instance.answer = OK
    assert (await client.ask(GET)).body == b"ok"
    assert world.instance.connections == 2


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GET, OK + OK.replace(b"ok", b"no")),
        (GET, OK + b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok"),
        (GET, b"HTTP/1.1 304 Not Modified\r\n\r\nok"),
        (GET.replace(b"GET", b"HEAD"), OK),
    ],
)
async def test_bytes_after_an_answer_never_become_another_answer(
    world: World, request_: bytes, answer: bytes
) -> None:
    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(answer)
        await wire.closed()

    world.instance.serve = serve
    client = await world.connect()
    assert (await client.ask(request_)).status in (200, 204, 304)
    await world.instance.left.wait()
    world.instance.serve = world.instance.answer_all
    assert (await client.ask(GET)).body == b"ok"
    assert world.instance.connections == 2


async def test_bytes_on_an_idle_connection_end_it(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(GET)
    _, upstream = await world.instance.arrived.get()
    await upstream.send(OK)
    assert (await client.message()).body == b"ok"
    await upstream.send(OK.replace(b"ok", b"no"))
    assert await upstream.closed() == b""
    world.instance.serve = world.instance.answer_all
    assert (await client.ask(GET)).body == b"ok"
