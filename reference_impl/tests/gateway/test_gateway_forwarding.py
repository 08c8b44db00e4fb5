"""What passes through the gateway, end to end over real sockets: heads, bodies, framing, upgrades."""

import asyncio
import re
import socket

import pytest
import websockets
from gatewayworld import GET, HOST, OK, Message, Wire, World

from minirun.gateway.base import GatewayLimits

H = HOST.encode()


def request(line: bytes = b"GET / HTTP/1.1", *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line, b"Host: " + H, *fields]) + b"\r\n\r\n" + body


# ---- heads


async def test_request_arrives_with_its_fields_in_order_and_case(world: World) -> None:
    client = await world.connect()
    await client.ask(
        request(b"GET /a?b=c%20d HTTP/1.1", b"x-LOWER: 1", b"Accept: */*", b"X-Twice: a", b"X-Twice:  b ")
    )
    got = world.instance.requests[0]
    assert got.first_line == b"GET /a?b=c%20d HTTP/1.1"
    assert got["Host"] == H
    own = [(key, value) for key, value in got.fields if key in (b"x-LOWER", b"Accept", b"X-Twice")]
    assert own == [(b"x-LOWER", b"1"), (b"Accept", b"*/*"), (b"X-Twice", b"a"), (b"X-Twice", b"b")]


async def test_instance_learns_who_asks_and_through_what(world: World) -> None:
    client = await world.connect()
    await client.ask(request())
    got = world.instance.requests[0]
    assert got["X-Forwarded-For"] == b"127.0.0.1"
    assert got["X-Forwarded-Proto"] == b"http"
    assert got["Forwarded"] == b"for=127.0.0.1;proto=http"
    assert got["Knative-Serving-Namespace"] == b"default"
    assert got["Knative-Serving-Revision"] == b"hello-00001"
    assert re.fullmatch(rb"[0-9a-f]{32}", got["X-Request-Id"])
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", got["traceparent"])


async def test_ipv6_client_is_bare_in_one_list_and_quoted_in_the_other(world: World) -> None:
    if len(world.sockets) < 2:
        pytest.skip("no IPv6 on this machine")
    client = await world.connect(socket.AF_INET6)
    await client.ask(request())
    got = world.instance.requests[0]
    assert got["X-Forwarded-For"] == b"::1"
    assert got["Forwarded"] == b'for="[::1]";proto=http'


async def test_lists_of_hops_are_continued(world: World) -> None:
    client = await world.connect()
    await client.ask(
        request(
            b"GET / HTTP/1.1",
            *(b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-For: 10.0.0.2", b"X-Forwarded-Proto: https"),
            *(b"Forwarded: for=10.0.0.1;proto=https",),
        )
    )
    got = world.instance.requests[0]
    assert got["X-Forwarded-For"] == b"10.0.0.1, 10.0.0.2, 127.0.0.1"
    assert got["X-Forwarded-Proto"] == b"https"
    assert got["Forwarded"] == b"for=10.0.0.1;proto=https, for=127.0.0.1;proto=http"


async def test_request_id_and_trace_context_of_the_client_are_kept(world: World) -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    client = await world.connect()
    await client.ask(
        request(b"GET / HTTP/1.1", b"X-Request-ID: mine", b"Traceparent: " + trace, b"tracestate: a=1")
    )
    got = world.instance.requests[0]
    assert (got["x-request-id"], got["traceparent"], got["tracestate"]) == (b"mine", trace, b"a=1")
    assert (await world.record()).trace_id == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "bad",
    [
        b"00-00000000000000000000000000000000-b7ad6b7169203331-00",
        b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-00",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-00",
        b"nonsense",
    ],
)
async def test_invalid_trace_context_is_replaced_with_its_state(world: World, bad: bytes) -> None:
    client = await world.connect()
    await client.ask(request(b"GET / HTTP/1.1", b"traceparent: " + bad, b"tracestate: a=1"))
    got = world.instance.requests[0]
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", got["traceparent"])
    assert "tracestate" not in got


async def test_fields_of_one_hop_and_fields_of_the_platform_stop_here(world: World) -> None:
    client = await world.connect()
    await client.ask(
        request(
            b"GET / HTTP/1.1",
            *(
                b"Connection: keep-alive, X-Mine",
                b"X-Mine: 1",
                b"Keep-Alive: timeout=5",
                b"Proxy-Connection: close",
            ),
            *(
                b"Proxy-Authorization: Basic x",
                b"TE: gzip",
                b"Upgrade: nothing",
                b"Proxy: evil",
            ),
            *(b"K-Proxy-Request: activator", b"K-Network-Probe: queue", b"k-original-host: x"),
            *(b"Knative-Serving-Revision: other", b"Knative-Serving-Namespace: other"),
        )
    )
    names = {key.lower() for key, _ in world.instance.requests[0].fields}
    assert names == {
        *(b"host", b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"x-request-id", b"traceparent"),
        *(b"knative-serving-namespace", b"knative-serving-revision"),
    }


async def test_te_trailers_passes_alone(world: World) -> None:
    client = await world.connect()
    await client.ask(request(b"GET / HTTP/1.1", b"TE: gzip;q=0.5, trailers", b"Connection: TE"))
    assert world.instance.requests[0]["TE"] == b"trailers"
    assert world.instance.requests[0]["Connection"] == b"TE"


async def test_connection_cannot_name_what_the_gateway_says(world: World) -> None:
    client = await world.connect()
    named = b"Connection: Host, X-Forwarded-For, Content-Length, Knative-Serving-Revision"
    await client.ask(request(b"POST / HTTP/1.1", named, b"Content-Length: 2", body=b"hi"))
    got = world.instance.requests[0]
    assert (got["Host"], got["X-Forwarded-For"], got.body) == (H, b"127.0.0.1", b"hi")
    assert got["Knative-Serving-Revision"] == b"hello-00001"


async def test_a_rewritten_host_reaches_the_instance_with_the_original_beside_it(world: World) -> None:
    await world.restart(rewrite_host=b"hello.default.svc.cluster.local")
    client = await world.connect()
    await client.ask(
        request(b"GET / HTTP/1.1", b"X-Forwarded-Host: outer.example.com", b"K-Original-Host: a")
    )
    got = world.instance.requests[0]
    assert got["Host"] == b"hello.default.svc.cluster.local"
    assert got.all("X-Forwarded-Host") == [b"outer.example.com", H]
    assert got["K-Original-Host"] == H
    assert (await world.record()).host == HOST, "as the client asked for it"


async def test_tag_chooses_the_route_and_passes(world: World) -> None:
    client = await world.connect()
    await client.ask(request(b"GET / HTTP/1.1", b"Knative-Serving-Tag: blue"))
    assert world.routed == [(HOST, "blue")]
    assert world.instance.requests[0]["Knative-Serving-Tag"] == b"blue"


@pytest.mark.parametrize("host", [H.upper(), H + b":8080", H + b".", H.title() + b".:80"])
async def test_host_is_routed_by_its_name_and_passed_as_it_came(world: World, host: bytes) -> None:
    client = await world.connect()
    assert (await client.ask(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")).status == 200
    assert world.routed == [(HOST, None)]
    assert world.instance.requests[0]["Host"] == host


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        (b"GET http://%b/a?b", b"GET /a?b"),
        (b"GET HTTP://%b", b"GET /"),
        (b"GET http://%b?q", b"GET /?q"),
        (b"OPTIONS http://%b", b"OPTIONS *"),
        (b"OPTIONS *", b"OPTIONS *"),
    ],
)
async def test_target_is_forwarded_in_origin_form_to_the_host_that_it_names(
    world: World, target: bytes, forwarded: bytes
) -> None:
    absolute = b"%b" in target
    line = (target % H if absolute else target) + b" HTTP/1.1"
    client = await world.connect()
    await client.ask(line + b"\r\nHost: " + (b"other.example.com" if absolute else H) + b"\r\n\r\n")
    assert world.instance.requests[0].first_line == forwarded + b" HTTP/1.1"
    assert world.instance.requests[0]["Host"] == H


async def test_answer_passes_with_its_fields_less_those_of_one_hop(world: World) -> None:
    world.instance.answer = (
        b"HTTP/1.1 418 I'm a teapot\r\nset-cookie: a\r\nSet-Cookie: b\r\n"
        b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nX-Own: \xc3\xa9\r\nContent-Length: 2\r\n\r\nok"
    )
    answer = await (await world.connect()).ask(GET)
    assert answer.first_line == b"HTTP/1.1 418 I'm a teapot"
    assert answer.fields == [
        *((b"set-cookie", b"a"), (b"Set-Cookie", b"b"), (b"X-Own", b"\xc3\xa9")),
        (b"Content-Length", b"2"),
    ]


async def test_unknown_host_is_404_with_a_sentence_and_the_connection_stays(world: World) -> None:
    client = await world.connect()
    answer = await client.ask(b"GET / HTTP/1.1\r\nHost: nobody.example.com\r\n\r\n")
    assert answer.status == 404
    assert b"nobody.example.com" in answer.body
    assert (await client.ask(GET)).body == b"ok"


async def test_record_says_what_happened(world: World) -> None:
    client = await world.connect()
    sent = b"POST /path?q HTTP/1.1"
    await client.ask(request(sent, b"User-Agent: curl/8", b"Content-Length: 5", body=b"hello"))
    record = await world.record()
    assert (record.revision, record.method, record.path, record.status) == (
        "hello-00001",
        "POST",
        "/path?q",
        200,
    )
    assert (record.bytes_in, record.bytes_out) == (5, 2)
    assert (record.user_agent, record.remote_ip) == ("curl/8", "127.0.0.1")
    assert 0 < record.queue_ns < record.latency_ns
    assert re.fullmatch(r"[0-9a-f]{32}", record.trace_id)


# ---- connections


async def test_connections_are_kept_on_both_sides(world: World) -> None:
    client = await world.connect()
    for _ in range(5):
        assert (await client.ask(GET)).body == b"ok"
    assert world.instance.connections == 1


async def test_one_instance_connection_serves_several_clients(world: World) -> None:
    for _ in range(3):
        assert (await (await world.connect()).ask(GET)).body == b"ok"
    assert world.instance.connections == 1


async def test_close_is_honoured_on_each_side_alone(world: World) -> None:
    client = await world.connect()
    answer = await client.ask(request(b"GET / HTTP/1.1", b"Connection: close"))
    assert answer["Connection"] == b"close"
    assert await client.closed() == b""
    world.instance.answer = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    client = await world.connect()
    for _ in range(2):
        assert "Connection" not in await client.ask(GET)
    assert world.instance.connections == 2


async def test_idle_instance_connection_is_closed_in_time(world: World) -> None:
    await world.restart(limits=GatewayLimits(upstream_idle_seconds=0.05))
    assert (await (await world.connect()).ask(GET)).body == b"ok"
    await world.instance.left.wait()


async def test_connections_of_an_instance_that_is_gone_are_closed(world: World) -> None:
    assert (await (await world.connect()).ask(GET)).body == b"ok"
    world.gateway.drop_endpoint(world.instance.endpoint)
    await world.instance.left.wait()


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(b"".join(request(b"GET /%d HTTP/1.1" % number) for number in range(3)))
    message, upstream = await world.instance.arrived.get()
    for number in range(3):
        assert message.first_line == b"GET /%d HTTP/1.1" % number
        await upstream.send(OK.replace(b"ok", b"%02d" % number))
        assert (await client.message()).body == b"%02d" % number
        if number < 2:
            message = await upstream.head()


async def test_a_thousand_pipelined_requests_are_all_answered(world: World) -> None:
    client = await world.connect()
    body = request(b"POST / HTTP/1.1", b"Content-Length: 3", body=b"abc")
    unknown = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    sending = asyncio.ensure_future(client.send((GET + body + unknown) * 334))
    answers = [(await client.message()).status for _ in range(3 * 334)]
    await sending
    assert answers == [200, 200, 404] * 334


async def test_http_1_0_client_gets_plain_bytes_until_the_end(world: World) -> None:
    world.instance.answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    client = await world.connect()
    answer = await client.ask(request(b"GET / HTTP/1.0", b"Connection: keep-alive"))
    assert answer.body == b"hello"
    assert "Transfer-Encoding" not in answer
    assert answer["Connection"] == b"close"


async def test_http_1_0_client_may_keep_its_connection_if_it_says_so(world: World) -> None:
    client = await world.connect()
    answer = await client.ask(request(b"GET / HTTP/1.0", b"Connection: keep-alive"))
    assert answer["Connection"] == b"keep-alive"
    answer = await client.ask(request(b"GET / HTTP/1.0"))
    assert answer["Connection"] == b"close"
    assert await client.closed() == b""


async def test_http_1_0_request_without_host_has_no_route(world: World) -> None:
    assert (await (await world.connect()).ask(b"GET / HTTP/1.0\r\n\r\n")).status == 404


# ---- bodies


async def test_body_with_a_length_passes(world: World) -> None:
    body = bytes(range(256)) * 2000
    client = await world.connect()
    await client.send(request(b"PUT / HTTP/1.1", b"Content-Length: %d" % len(body), body=body))
    assert (await client.message()).body == b"ok"
    assert world.instance.requests[0].body == body


async def test_chunked_bodies_and_their_trailers_pass_both_ways(world: World) -> None:
    async def echo(wire: Wire) -> None:
        message = await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        world.instance.requests.append(message)
        while chunk := await wire.chunk():
            await wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        assert wire.trailers == [b"X-Trailer: 1"]
        await wire.send(b"0\r\nX-Trailer: 2\r\nKeep-Alive: 9\r\n\r\n")
        await world.instance.answer_all(wire)

    world.instance.serve = echo
    client = await world.connect()
    await client.send(request(b"POST / HTTP/1.1", b"Transfer-Encoding: Chunked"))
    await client.send(b"3;ext=1\r\nabc\r\n")
    answer = await client.head()
    assert answer["Transfer-Encoding"] == b"chunked"
    assert await client.chunk() == b"abc"
    await client.send(b"004\r\ndefg\r\n0\r\nX-Trailer: 1\r\nForwarded: for=me\r\n\r\n")
    assert await client.chunk() == b"defg"
    assert await client.chunk() == b""
    assert client.trailers == [b"X-Trailer: 2"]
    assert "Content-Length" not in world.instance.requests[0]
    assert (await client.ask(GET)).status == 200


async def test_events_arrive_while_the_answer_goes_on(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(GET)
    _, upstream = await world.instance.arrived.get()
    await upstream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    await client.head()
    for number in range(3):
        await upstream.send(b"data: %d\n\n" % number)
        assert await client.chunk() == b"data: %d\n\n" % number
    upstream.close()
    assert await client.chunk() == b""
    world.instance.serve = world.instance.answer_all
    assert (await client.ask(GET)).body == b"ok"


async def test_answer_that_ends_too_early_is_cut_off_for_the_client(world: World) -> None:
    for head in (b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"):
        world.instance.serve = world.instance.hand_over
        client = await world.connect()
        await client.send(GET)
        _, upstream = await world.instance.arrived.get()
        await upstream.send(b"HTTP/1.1 200 OK\r\n" + head)
        await client.head()
        upstream.close()
        assert not (await client.closed()).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "length", [b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n"]
)
async def test_head_has_the_fields_of_get_and_no_body(world: World, length: bytes) -> None:
    world.instance.answer = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"
    client = await world.connect()
    for _ in range(3):
        answer = await client.ask(GET.replace(b"GET", b"HEAD"))
        assert answer.fields == [tuple(length.strip().split(b": "))]
    assert world.instance.connections == 1


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", []),
        (
            b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 9\r\n\r\n",
            [(b"ETag", b"x"), (b"Content-Length", b"9")],
        ),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", []),
    ],
)
async def test_204_and_304_have_no_body(
    world: World, answer: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    world.instance.answer = answer
    client = await world.connect()
    for _ in range(2):
        assert (await client.ask(GET)).fields == fields
    assert world.instance.connections == 1


async def test_expectation_is_answered_once_the_request_goes_on(world: World) -> None:
    world.ready()
    client = await world.connect()
    await client.send(request(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 2"))
    await world.until(lambda: world.path.waiting == 1)
    world.instance.serve = world.instance.hand_over
    world.ready(world.instance)
    assert (await client.head()).first_line == b"HTTP/1.1 100 Continue"
    message, upstream = await world.instance.arrived.get()
    assert message["Expect"] == b"100-continue"
    await upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    await client.send(b"hi")
    assert await upstream.reader.readexactly(2) == b"hi"
    await upstream.send(OK)
    assert (await client.message()).status == 200


async def test_expectation_of_an_unknown_host_is_refused_before_the_body(world: World) -> None:
    client = await world.connect()
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert (await client.ask(sent)).status == 404
    assert await client.closed() == b""


async def test_early_hints_pass_to_clients_that_know_them(world: World) -> None:
    world.instance.answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    client = await world.connect()
    await client.send(GET)
    hints = await client.head()
    assert (hints.status, hints["Link"]) == (103, b"</a>")
    assert (await client.message()).body == b"ok"
    assert (await client.ask(request(b"GET / HTTP/1.0"))).status == 200


async def test_answer_before_the_end_of_an_upload_reaches_the_client(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(request(b"POST / HTTP/1.1", b"Content-Length: 1000000", body=b"x" * 1000))
    _, upstream = await world.instance.arrived.get()
    await upstream.send(OK.replace(b"200 OK", b"413 Too Large"))
    assert (await client.message()).status == 413
    assert await client.closed() == b""
    assert world.path.running == 0


# ---- upgrades

UPGRADE = request(
    b"GET /chat HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)


async def tunnel(
    world: World, sent: bytes = UPGRADE, answer: bytes = SWITCHING
) -> tuple[Message, Wire, Wire]:
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(sent)
    message, upstream = await world.instance.arrived.get()
    assert (message["Upgrade"], message["Connection"]) == (b"websocket", b"Upgrade")
    await upstream.send(answer)
    return await client.head(), client, upstream


async def test_upgrade_passes_and_then_bytes_flow_both_ways(world: World) -> None:
    answer, client, upstream = await tunnel(world, UPGRADE + b"early", SWITCHING + b"hello")
    assert (answer.status, answer["Upgrade"], answer["Connection"]) == (101, b"websocket", b"Upgrade")
    assert answer["Sec-WebSocket-Accept"] == b"x"
    assert await client.reader.readexactly(5) == b"hello"
    assert await upstream.reader.readexactly(5) == b"early"
    await client.send(b"GET / HTTP/1.1\r\n\r\n\x00")
    assert await upstream.reader.readexactly(19) == b"GET / HTTP/1.1\r\n\r\n\x00"
    assert world.path.running == 1


@pytest.mark.parametrize("client_first", [True, False])
async def test_tunnel_may_be_half_closed(world: World, client_first: bool) -> None:
    _, client, upstream = await tunnel(world)
    first, second = (client, upstream) if client_first else (upstream, client)
    first.writer.write(b"last words")
    first.writer.write_eof()
    assert await second.reader.read() == b"last words"
    await second.send(b"answer" * 10_000)
    second.close()
    assert await first.reader.read() == b"answer" * 10_000
    record = await world.record()
    assert (record.status, world.path.running) == (101, 0)


async def test_tunnel_ends_when_one_side_resets(world: World) -> None:
    _, client, upstream = await tunnel(world)
    client.reset()
    assert await upstream.closed() == b""
    assert (await world.record()).status == 101
    _, client, upstream = await tunnel(world)
    upstream.reset()
    assert await client.closed() == b""
    await world.until(lambda: world.path.running == 0)


async def test_declined_upgrade_is_an_ordinary_answer(world: World) -> None:
    client = await world.connect()
    await client.send(UPGRADE + GET)
    assert (await client.message()).body == b"ok"
    assert (await client.message()).body == b"ok"
    assert (await client.ask(GET)).body == b"ok"


@pytest.mark.parametrize(
    ("line", "upgrade", "body"),
    [
        (b"POST / HTTP/1.1", b"websocket", b"Content-Length: 5\r\n\r\nhello"),
        (b"POST / HTTP/1.1", b"websocket", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        (
            b"POST / HTTP/1.1",
            b"h2c",
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (b"GET / HTTP/1.1", b"h2c", b"X: y\r\n\r\n"),
        (b"GET / HTTP/1.0", b"websocket", b"X: y\r\n\r\n"),
    ],
)
async def test_upgrade_with_a_body_or_to_http_2_or_from_http_1_0_is_an_ordinary_request(
    world: World, line: bytes, upgrade: bytes, body: bytes
) -> None:
    client = await world.connect()
    head = (
        line + b"\r\nHost: " + H + b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\n"
    )
    await client.send(head + body + GET)
    assert (await client.message()).body == b"ok"
    got = world.instance.requests[0]
    assert got.body == (b"hello" if line.startswith(b"POST") else b"")
    assert "Upgrade" not in got
    assert "Connection" not in got
    assert "HTTP2-Settings" not in got
    if b"1.0" not in line:
        assert (await client.message()).body == b"ok"


async def test_websocket_client_talks_to_a_websocket_server(world: World) -> None:
    async def echo(socket: websockets.ServerConnection) -> None:
        async for text in socket:
            await socket.send(text)

    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        world.instance.endpoint = type(world.instance.endpoint)("ws", "127.0.0.1", port)
        world.ready(world.instance)
        gate = world.sockets[0].getsockname()[1]
        async with websockets.connect(f"ws://{HOST}/chat", host="127.0.0.1", port=gate, proxy=None) as client:
            for text in ("hello", "x" * 300_000):
                await client.send(text)
                assert await client.recv() == text
    await world.until(lambda: world.path.running == 0)
