"""HTTP/2 clients and HTTP/2 instances: every pair of versions, through the same exchange."""

import asyncio
import socket
from typing import Any

import pytest
from gatewayworld import GET, HOST, OK, Message, Wire, World
from http2wire import Http2Wire, Received, echo, http2_server, request_fields

from minirun.gateway.base import GatewayLimits

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED, CANCEL, CALM = 0, 1, 2, 7, 8, 11
TRAILERS = [(b"grpc-status", b"0"), (b"x-last", b"1")]


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


# ---- an HTTP/2 client, an HTTP/1.1 instance


async def test_http2_request_reaches_an_http1_instance_like_any_other(world: World) -> None:
    world.instance.answer = head(b"HTTP/1.1 200 OK", b"Content-Length: 2", b"X-Case: Kept") + b"ok"
    client = await Http2Wire.connect(world)
    more = (("user-agent", "me"), ("cookie", "a=1"), ("cookie", "b=2"), ("x-mine", "Yes"), ("k-evil", "1"))
    answer = await client.ask(request_fields("GET", "/path?q=1", *more))
    assert (answer.status, answer["content-length"], answer["x-case"]) == (200, b"2", b"Kept")
    assert answer.body == b"ok"
    got = world.instance.requests[0]
    assert got.first_line == b"GET /path?q=1 HTTP/1.1"
    assert (got["Host"], got["X-Forwarded-For"]) == (HOST.encode(), b"127.0.0.1")
    assert (got["cookie"], got["x-mine"]) == (b"a=1; b=2", b"Yes")
    assert (got["Knative-Serving-Revision"], "k-evil" in got) == (b"hello-00001", False)
    record = await world.record()
    assert (record.method, record.path, record.status, record.bytes_out) == ("GET", "/path?q=1", 200, 2)
    assert (record.user_agent, record.remote_ip, world.path.running) == ("me", "127.0.0.1", 0)


async def test_http2_body_is_framed_for_http1_with_its_length_or_in_chunks(world: World) -> None:
    client = await Http2Wire.connect(world)
    await client.ask(request_fields("POST", "/", ("content-length", "5")), b"hello")
    await client.ask(request_fields("POST"), b"hello")
    known, unknown = world.instance.requests
    assert (known["Content-Length"], known.body) == (b"5", b"hello")
    assert (unknown["Transfer-Encoding"], unknown.body) == (b"chunked", b"hello")


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_answers_without_a_body_end_with_their_head(world: World, status: int) -> None:
    world.instance.answer = (
        head(b"HTTP/1.1 %d X" % status, b"Content-Length: 7") if status != 204 else head(b"HTTP/1.1 204 X")
    )
    client = await Http2Wire.connect(world)
    answer = await client.ask(request_fields("HEAD"))
    assert (answer.status, answer.body) == (status, b"")
    assert (await client.ask(request_fields("HEAD"))).status == status


async def test_interim_answers_streaming_and_trailers_pass_to_an_http2_client(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await Http2Wire.connect(world)
    stream = await client.request(request_fields("POST", "/", ("te", "trailers")), b"a", end=False)
    _, upstream = await world.instance.arrived.get()
    assert await upstream.chunk() == b"a"
    await upstream.send(head(b"HTTP/1.1 103 Early Hints", b"Link: x"))
    await upstream.send(head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked") + b"1\r\nA\r\n")
    await client.until(lambda: client.streams.get(stream, Received()).body == b"A")
    client.h2.send_data(stream, b"b")
    client.h2.send_headers(stream, [(b"x-sum", b"2")], end_stream=True)
    await client.send()
    assert await upstream.chunk() == b"b"
    assert await upstream.chunk() == b""
    assert upstream.trailers == [b"x-sum: 2"]
    await upstream.send(b"0\r\nGrpc-Status: 0\r\nX-Last: 1\r\n\r\n")
    answer = await client.answer(stream)
    assert [fields[0] for fields in answer.interim] == [(b":status", b"103")]
    assert answer.trailers == TRAILERS


async def test_http2_client_that_waits_is_told_to_go_on(world: World) -> None:
    client = await Http2Wire.connect(world)
    stream = await client.request(request_fields("POST", "/", ("expect", "100-continue")), end=False)
    await client.until(lambda: stream in client.streams and client.streams[stream].interim)
    client.h2.send_data(stream, b"x", end_stream=True)
    await client.send()
    assert (await client.answer(stream)).status == 200


async def test_curl_speaks_http2_with_prior_knowledge(world: World) -> None:
    host, port = next(iter(world.addresses.values()))
    command = ["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version}", "-H", f"Host: {HOST}"]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, "-d", "hello", f"http://{host}:{port}/", stdout=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        pytest.skip("curl is not installed")
    assert (await process.communicate())[0] == b"ok2"
    assert world.instance.requests[0].body == b"hello"


# ---- an HTTP/1.1 client, an HTTP/2 instance


async def h2c(world: World, **settings: Any) -> list[Http2Wire]:
    """The world's instance speaks HTTP/2 and echoes; its connections."""
    await world.restart(h2c=True, **settings)
    connections: list[Http2Wire] = []
    world.instance.serve = http2_server(echo, connections)
    return connections


async def test_http1_requests_share_one_connection_to_an_http2_instance(world: World) -> None:
    connections = await h2c(world)
    clients = [await world.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        text = b"n%d" % number
        await client.send(
            head(b"POST /x HTTP/1.1", b"Host: " + HOST.encode(), b"Content-Length: %d" % len(text)) + text
        )
    answers = [await client.message() for client in clients]
    assert [(a.status, a.body) for a in answers] == [(200, b"n%d" % number) for number in range(20)]
    assert world.instance.connections == 1
    got = connections[0].streams[1]
    assert (got[":method"], got[":path"], got[":authority"]) == (b"POST", b"/x", HOST.encode())
    assert (got["x-forwarded-for"], got["knative-serving-revision"]) == (b"127.0.0.1", b"hello-00001")
    assert "connection" not in dict(got.fields)
    world.timeouts["rewrite_host"] = b"inside"
    await clients[0].ask(head(b"GET / HTTP/1.1", b"Host: " + HOST.encode()))
    got = next(reversed(connections[0].streams.values()))
    assert (got[":authority"], got["x-forwarded-host"]) == (b"inside", HOST.encode())


async def test_http1_head_and_chunks_reach_an_http2_instance(world: World) -> None:
    await h2c(world)
    client = await world.connect()
    answer = await client.ask(GET.replace(b"GET", b"HEAD"))
    assert (answer.status, answer["Content-Length"]) == (200, b"0")
    request = head(b"POST / HTTP/1.1", b"Host: " + HOST.encode(), b"Transfer-Encoding: chunked")
    answer = await client.ask(request + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert answer.body == b"abcde"


async def test_http2_instance_streams_to_an_http1_client_with_interim_answer_and_trailers(
    world: World,
) -> None:
    async def stream_back(peer: Http2Wire, stream: int, received: Received) -> None:
        peer.h2.send_headers(stream, [(b":status", b"103"), (b"link", b"x")])
        peer.h2.send_headers(stream, [(b":status", b"200")])
        peer.h2.send_data(stream, b"abc")
        peer.h2.send_headers(stream, TRAILERS, end_stream=True)
        await peer.send()

    await world.restart(h2c=True)
    world.instance.serve = http2_server(stream_back)
    client = await world.connect()
    await client.send(GET)
    assert (await client.head()).status == 103
    answer = await client.message()
    assert (answer.status, answer.body) == (200, b"abc")
    assert client.trailers == [b"grpc-status: 0", b"x-last: 1"]
    assert world.path.running == 0


async def test_an_upgrade_to_an_http2_instance_is_refused_and_the_connection_stays(world: World) -> None:
    await h2c(world)
    client = await world.connect()
    upgrade = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = await client.ask(upgrade)
    assert (answer.status, b"h2c" in answer.body) == (501, True)
    assert (await client.ask(GET)).status == 200


# ---- HTTP/2 on both sides


async def test_both_directions_stream_at_once_and_a_head_that_ends_a_stream_stays_one(world: World) -> None:
    async def talk(peer: Http2Wire, stream: int, received: Received) -> None:
        if received[":path"] == b"/trailers-only":
            peer.h2.send_headers(stream, [(b":status", b"200"), *TRAILERS], end_stream=True)
            return await peer.send()
        peer.h2.send_headers(stream, [(b":status", b"200")])
        said = 0
        while not received.ended or said < len(received.body):
            if said < len(received.body):
                peer.h2.send_data(stream, received.body[said:].upper())
                said = len(received.body)
                await peer.send()
            await asyncio.sleep(0)
        peer.h2.send_headers(stream, TRAILERS, end_stream=True)
        return await peer.send()

    await world.restart(h2c=True)
    world.instance.serve = http2_server(talk)
    client = await Http2Wire.connect(world)
    stream = await client.request(request_fields("POST"), b"a", end=False)
    for number, letter in enumerate((b"b", b"c", b""), start=1):
        await client.until(lambda n=number: len(client.streams.get(stream, Received()).body) == n)
        client.h2.send_data(stream, letter, end_stream=not letter)
        await client.send()
    answer = await client.answer(stream)
    assert (answer.body, answer.trailers) == (b"ABC", TRAILERS)
    answer = await client.ask(request_fields("POST", "/trailers-only"), b"")
    assert (answer.fields[1:], answer.trailers, answer.body) == (TRAILERS, [], b"")


async def test_many_streams_at_once(world: World) -> None:
    await h2c(world)
    client = await Http2Wire.connect(world)
    streams = [await client.request(request_fields("POST"), b"n%d" % number) for number in range(100)]
    answers = [await client.answer(stream) for stream in streams]
    assert [answer.body for answer in answers] == [b"n%d" % number for number in range(100)]
    assert (world.instance.connections, world.path.running) == (1, 0)


# ---- backpressure


@pytest.mark.parametrize("h2c", [False, True])
async def test_slow_http2_client_stops_its_instance_and_no_other_stream(world: World, h2c: bool) -> None:
    sent = 0

    async def flood_http1(wire: Wire) -> None:
        nonlocal sent
        while True:
            message = await wire.message()
            if message.first_line.startswith(b"GET /small"):
                await wire.send(OK)
                continue
            await wire.send(head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"))
            while True:
                await wire.send(b"2000\r\n" + bytes(0x2000) + b"\r\n")
                sent += 0x2000

    async def flood_http2(peer: Http2Wire, stream: int, received: Received) -> None:
        nonlocal sent
        peer.h2.send_headers(stream, [(b":status", b"200")])
        if received[":path"] == b"/small":
            peer.h2.send_data(stream, b"ok", end_stream=True)
            return await peer.send()
        while True:
            while peer.h2.local_flow_control_window(stream) >= 8192:
                peer.h2.send_data(stream, bytes(8192))
                await peer.send()
                sent += 8192
            await asyncio.sleep(0)

    await world.restart(h2c=h2c)
    world.instance.serve = http2_server(flood_http2) if h2c else flood_http1
    client = await Http2Wire.connect(world, taking=False)
    client.h2.increment_flow_control_window(1 << 20)
    stream = await client.request()
    await client.until(lambda: len(client.streams.get(stream, Received()).body) == 65535)
    for _ in range(3):
        small = await client.ask(request_fields("GET", "/small"))
        assert small.body == b"ok"
    before = sent
    for _ in range(3):
        await client.ask(request_fields("GET", "/small"))
    assert sent == before, "its instance waits"
    assert sent < 16 * 1024 * 1024
    client.taking = True
    client.h2.acknowledge_received_data(65535, stream)
    await client.send()
    await client.until(lambda: len(client.streams[stream].body) > 300_000)


@pytest.mark.parametrize("h2c", [False, True])
async def test_slow_instance_stops_its_http2_client(world: World, h2c: bool) -> None:
    go_on = asyncio.Event()

    async def count(peer: Http2Wire, stream: int, received: Received) -> None:
        while not received.ended:  # noqa: ASYNC110 - the reader of this connection sets no event
            await asyncio.sleep(0)
        peer.h2.send_headers(stream, [(b":status", b"200")])
        peer.h2.send_data(stream, b"%d" % len(received.body), end_stream=True)
        await peer.send()

    async def sluggish(wire: Wire) -> None:
        await go_on.wait()
        await (http2_server(count) if h2c else world.instance.answer_all)(wire)

    await world.restart(h2c=h2c)
    world.instance.serve = sluggish
    client = await Http2Wire.connect(world)
    size = 32 * 1024 * 1024 if not h2c else 1024 * 1024  # the kernel's buffers take some megabytes
    stream = await client.request(request_fields("POST"), b"", end=False)
    left = size

    async def push() -> None:
        nonlocal left
        room = min(client.h2.local_flow_control_window(stream), 16384, left)
        if room:
            client.h2.send_data(stream, bytes(room), end_stream=room == left)
            left -= room
            await client.send()

    try:
        async with asyncio.timeout(0.5):
            while left:
                await push()
                if not client.h2.local_flow_control_window(stream):
                    await client.step()
        pytest.fail("nothing stopped the client")
    except TimeoutError:
        assert left > size // 4
    go_on.set()
    while left:
        await push()
        if left and not client.h2.local_flow_control_window(stream):
            await client.step()
    answer = await client.answer(stream)
    assert answer.status == 200
    assert answer.body == (b"%d" % size if h2c else b"ok")


# ---- ends of all kinds


@pytest.mark.parametrize("h2c", [False, True])
async def test_reset_stream_ends_the_work_and_frees_the_slot(world: World, h2c: bool) -> None:
    await world.restart(h2c=h2c, container_concurrency=1)
    peers: list[Http2Wire] = []

    async def silent(peer: Http2Wire, stream: int, received: Received) -> None:
        peers.append(peer)

    world.instance.serve = http2_server(silent) if h2c else world.instance.hand_over
    client = await Http2Wire.connect(world)
    stream = await client.request()
    if h2c:
        await world.until(lambda: bool(peers))
    else:
        _, upstream = await world.instance.arrived.get()
    client.h2.reset_stream(stream, CANCEL)
    await client.send()
    assert (await world.record()).status == 499
    assert world.path.running == 0
    if h2c:
        await world.until(lambda: peers[0].streams[1].reset == CANCEL)
    else:
        assert await upstream.closed() == b""


async def test_client_that_leaves_ends_all_its_streams(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await Http2Wire.connect(world)
    for _ in range(3):
        await client.request()
        await world.instance.arrived.get()
    assert world.path.running == 3
    client.wire.close()
    assert [(await world.record()).status for _ in range(3)] == [499] * 3
    assert world.path.running == 0


async def test_answer_that_breaks_off_resets_its_stream_only(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await Http2Wire.connect(world)
    stream = await client.request()
    _, upstream = await world.instance.arrived.get()
    await upstream.send(head(b"HTTP/1.1 200 OK", b"Content-Length: 9") + b"half")
    upstream.reset()
    answer = await client.answer(stream)
    assert (answer.status, answer.ended, answer.reset) == (200, False, INTERNAL_ERROR)
    world.instance.serve = world.instance.answer_all
    assert (await client.ask()).body == b"ok"


async def test_no_answer_in_time_is_504_for_the_stream(world: World) -> None:
    await world.restart(response_start_timeout_seconds=0.05)
    world.instance.serve = world.instance.hand_over
    client = await Http2Wire.connect(world)
    answer = await client.ask()
    assert (answer.status, answer.body) == (504, b"request timeout\n")
    world.instance.serve = world.instance.answer_all
    assert (await client.ask()).status == 200


async def test_early_answer_tells_the_client_to_stop_sending(world: World) -> None:
    client = await Http2Wire.connect(world)
    fields = [*request_fields("POST")[:3], (b":authority", b"nobody.example.com")]
    stream = await client.request(fields, b"x", end=False)
    await client.until(lambda: stream in client.streams and client.streams[stream].reset is not None)
    answer = client.streams[stream]
    assert (answer.status, answer.ended, answer.reset) == (404, True, NO_ERROR)


async def test_closing_says_so_and_lets_a_running_stream_finish(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await Http2Wire.connect(world)
    stream = await client.request()
    _, upstream = await world.instance.arrived.get()
    closing = asyncio.create_task(world.gateway.close(30))
    await client.until(lambda: client.goaways)
    assert client.goaways == [NO_ERROR]
    await upstream.send(OK)
    rest = await client.wire.closed()
    assert b"ok" in rest, "h2 reads nothing after GOAWAY, but the answer came"
    assert rest[3:9] == b"\x01\x04" + stream.to_bytes(4, "big"), "first its head"
    await closing


async def test_idle_connection_is_closed_with_goaway(world: World) -> None:
    await world.restart(limits=GatewayLimits(keep_alive_seconds=0.05))
    client = await Http2Wire.connect(world)
    assert (await client.ask()).status == 200
    await client.closed()
    assert client.goaways == [NO_ERROR]


# ---- limits


async def test_stream_over_the_limit_is_refused_and_others_go_on(world: World) -> None:
    await world.restart(limits=GatewayLimits(concurrent_streams=2))
    world.instance.serve = world.instance.hand_over
    client = await Http2Wire.connect(world)
    assert not client.h2.remote_settings.get(3)  # it opens its streams before it knows the limit
    first, _, third = [await client.request() for _ in range(3)]
    assert (await client.answer(third)).reset == REFUSED
    assert client.h2.remote_settings.max_concurrent_streams == 2
    _, upstream = await world.instance.arrived.get()
    await upstream.send(OK)
    await client.answer(first)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (request_fields("GET", "/" + "x" * 17_000), 414),
        (request_fields("GET", "/", *[(f"x-{n}", "1") for n in range(130)]), 431),
        (request_fields("GET", "/", ("x-long", "y" * 70_000)), 431),
        (request_fields("GET", "/", ("content-length", "5,5")), 400),
        (request_fields("GET", "/#fragment"), 400),
        ([(b":method", b"CONNECT"), (b":authority", HOST.encode())], 405),
    ],
)
async def test_what_is_too_much_or_not_served_is_an_answer_like_in_http1(
    world: World, fields: list[tuple[bytes, bytes]], status: int
) -> None:
    client = await Http2Wire.connect(world)
    if status == 400 and fields[-1][0] == b"content-length":
        pytest.skip("h2 itself ends the connection")
    assert (await client.ask(fields)).status == status
    assert (await client.ask()).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        request_fields("GET", "/", ("x-a", "1\r\nHost: evil")),
        request_fields("GET", "/", ("x-a\r\nHost", "evil")),
        request_fields("GET", "/", ("x" * 300 + "\r\nHost", "evil")),
        request_fields("GET", "/", ("x-a", "1\0")),
        request_fields("GET", "/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /"),
        request_fields("GET /x", "/"),
        request_fields("GET", "http://evil/"),
        request_fields("GET", "/", ("X-Upper", "1")),
        request_fields("GET", "/", ("x:y", "1")),
        request_fields("GET", "/", ("connection", "close")),
        request_fields("GET", "/", ("transfer-encoding", "chunked")),
        request_fields("GET", "/", ("upgrade", "websocket")),
        request_fields("GET", "/", ("te", "gzip")),
        request_fields("GET", "/", ("host", "evil")),
        request_fields("GET", "/", (":status", "200")),
        request_fields("GET", "/", ("x-a", "1"), (":path", "/again")),
        request_fields("GET", "/", (":path", "/again")),
        request_fields()[1:],
        request_fields()[:1] + request_fields()[2:],
        request_fields()[:2] + request_fields()[3:],
    ],
)
async def test_malformed_request_resets_its_stream_and_reaches_no_instance(
    world: World, fields: list[tuple[bytes, bytes]]
) -> None:
    client = await Http2Wire.connect(world)
    client.h2.config.normalize_outbound_headers = False
    assert (await client.ask(fields)).reset == PROTOCOL_ERROR
    assert not world.instance.requests
    assert (await client.ask()).status == 200


async def test_endless_head_ends_the_connection(world: World) -> None:
    client = await Http2Wire.connect(world)
    await client.request(request_fields("GET", "/", *[("x-a", "y" * 8000) for _ in range(30)]))
    await client.closed()
    assert client.goaways == [CALM]


async def test_rapid_resets_end_the_connection(world: World) -> None:
    await world.restart(limits=GatewayLimits(premature_resets=50))
    client = await Http2Wire.connect(world)
    for _ in range(60):
        stream = await client.request()
        client.h2.reset_stream(stream, CANCEL)
    await client.send()
    await client.closed()
    assert client.goaways == [CALM]
    assert (world.path.running, world.path.waiting) == (0, 0)


async def test_client_that_asks_and_never_reads_is_cut_off(world: World) -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, world.addresses[socket.AF_INET])
    client = Http2Wire(Wire(*await asyncio.open_connection(sock=sock, limit=1)))
    client.h2.ping(b"12345678")
    await client.send()
    ping = b"\0\0\x08\x06\0\0\0\0\0" + b"12345678"

    async def flood() -> None:
        while True:
            await client.wire.send(ping * 1000)

    with pytest.raises(ConnectionError):
        await flood()


# ---- instances that misbehave, or go


async def test_stream_that_the_instance_refused_is_sent_again_whatever_its_method(world: World) -> None:
    calls = 0

    async def refuse_first(peer: Http2Wire, stream: int, received: Received) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            peer.h2.reset_stream(stream, REFUSED)
            return await peer.send()
        return await echo(peer, stream, received)

    await world.restart(h2c=True)
    world.instance.serve = http2_server(refuse_first)
    client = await Http2Wire.connect(world)
    answer = await client.ask(request_fields("POST"), b"once")
    assert (answer.status, answer.body, calls) == (200, b"once", 2)


async def test_stream_that_the_instance_resets_is_502(world: World) -> None:
    async def reset(peer: Http2Wire, stream: int, received: Received) -> None:
        peer.h2.reset_stream(stream, INTERNAL_ERROR)
        await peer.send()

    await world.restart(h2c=True)
    world.instance.serve = http2_server(reset)
    client = await world.connect()
    answer = await client.ask(GET)
    assert (answer.status, b"INTERNAL_ERROR" in answer.body) == (502, True)


async def test_instance_that_goes_away_finishes_its_streams_and_the_next_connects_anew(world: World) -> None:
    connections = await h2c(world)
    client = await Http2Wire.connect(world)
    stream = await client.request(request_fields("POST"), b"a", end=False)
    await world.until(lambda: bool(connections) and 1 in connections[0].streams)
    goaway = b"\0\0\x08\x07\0\0\0\0\0" + (1).to_bytes(4, "big") + bytes(4)
    await connections[0].wire.send(goaway)
    while len(connections) == 1:
        assert (await client.ask(request_fields("POST"), b"new")).body == b"new"
    client.h2.send_data(stream, b"b", end_stream=True)
    await client.send()
    assert (await client.answer(stream)).body == b"ab"
    assert world.instance.connections == 2


async def test_instance_that_takes_few_streams_gets_more_connections(world: World) -> None:
    async def few(wire: Wire) -> None:
        server = http2_server(echo, connections)
        await server(wire)

    connections: list[Http2Wire] = []
    await world.restart(h2c=True)
    world.instance.serve = few
    client = await Http2Wire.connect(world)
    assert (await client.ask(request_fields("POST"), b"x")).body == b"x"
    connections[0].h2.update_settings({3: 1})
    await connections[0].send()
    open_ = [await client.request(request_fields("POST"), b"%d" % n, end=False) for n in range(3)]
    for stream in open_:
        client.h2.end_stream(stream)
    await client.send()
    assert [(await client.answer(stream)).body for stream in open_] == [b"0", b"1", b"2"]


async def test_instance_that_speaks_http1_on_an_h2c_port_is_502(world: World) -> None:
    await world.restart(h2c=True)

    async def http1(wire: Wire) -> None:
        await wire.head()  # of the preface
        await wire.send(head(b"HTTP/1.1 400 Bad Request", b"Content-Length: 0"))

    world.instance.serve = http1
    client = await world.connect()
    answer: Message = await client.ask(GET)
    assert answer.status == 502


async def test_leaving_at_any_moment_loses_no_slot(world: World) -> None:
    await h2c(world, container_concurrency=3)
    client = await Http2Wire.connect(world)
    for turns in range(60):
        stream = await client.request(request_fields("POST"), b"x", end=turns % 2 == 0)
        for _ in range(turns // 4):
            await asyncio.sleep(0)
        if turns % 3 == 0:
            client.h2.reset_stream(stream, CANCEL)
            await client.send()
    other = await Http2Wire.connect(world)
    client.wire.reset()
    assert (await other.ask(request_fields("POST"), b"y")).body == b"y"
    await world.until(lambda: (world.path.running, world.path.waiting) == (0, 0))
