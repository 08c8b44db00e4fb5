"""Waiting, timeouts, instances and clients that go away, slow ones, and closing: no slot is ever lost."""

import asyncio
import logging
import socket
import tracemalloc

import psutil
import pytest
from gatewayworld import GET, HOST, OK, Wire, World

from minirun.activation.path import Endpoint
from minirun.gateway.alarm import NEVER_NS
from minirun.gateway.base import Destination, GatewayLimits
from minirun.gateway.exchange import deadline, may_retry
from minirun.gateway.heads import Refusal, RequestHead
from minirun.gateway.upstream import UpstreamPool
from minirun.model.clock import SECOND_NS, SystemClock

POST = b"POST / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nContent-Length: 5\r\n\r\nhello"
MIB = 1024 * 1024

# ---- waiting for an instance


async def test_request_waits_for_the_first_instance(world: World) -> None:
    world.ready()
    client = await world.connect()
    await client.send(POST)
    await world.until(lambda: world.path.waiting == 1)
    world.ready(world.instance)
    assert (await client.message()).body == b"ok"
    assert world.instance.requests[0].body == b"hello"
    assert (world.path.waiting, world.path.running) == (0, 0)


async def test_no_instance_in_time_is_504(world: World) -> None:
    await world.restart(response_start_timeout_seconds=0.05)
    world.ready()
    client = await world.connect()
    answer = await client.ask(GET)
    assert (answer.status, answer.body) == (504, b"request timeout\n")
    assert await client.closed() == b""
    record = await world.record()
    assert record.status == 504
    assert record.latency_ns >= 50_000_000
    assert world.path.waiting == 0


@pytest.mark.parametrize("status", [503, 429])
async def test_full_queue_is_answered_as_the_profile_says_and_the_connection_stays(
    world: World, status: int
) -> None:
    await world.restart(container_concurrency=1, overflow_status=status)
    world.path.set_proxy_mode(False)
    world.instance.serve = world.instance.hand_over
    clients = [await world.connect() for _ in range(11)]
    for client in clients:
        await client.send(GET)
    await world.until(lambda: world.path.waiting == 10)
    late = await world.connect()
    for _ in range(2):
        answer = await late.ask(GET)
        assert (answer.status, answer.body) == (status, b"pending request queue full\n")


async def test_refused_request_neither_waits_nor_reaches_an_instance_and_the_next_may_pass(
    world: World,
) -> None:
    def admit(head: RequestHead, peer: str) -> Refusal | None:
        assert peer == "127.0.0.1"
        if head.values("authorization") == ["Bearer me"]:
            return None
        return Refusal(401, "<p>who?</p>", (("WWW-Authenticate", "Bearer"),), "text/html; charset=UTF-8")

    await world.restart(admit=admit)
    world.ready()
    client = await world.connect()
    answer = await client.ask(GET)
    assert (answer.status, answer.body) == (401, b"<p>who?</p>\n")
    assert (answer["WWW-Authenticate"], answer["Content-Type"]) == (b"Bearer", b"text/html; charset=UTF-8")
    assert (world.path.waiting, (await world.record()).status) == (0, 401)
    world.ready(world.instance)
    known = GET.replace(b"\r\n\r\n", b"\r\nAuthorization:  Bearer me\r\n\r\n")
    assert (await client.ask(known)).body == b"ok"


async def test_one_slot_means_one_request_at_a_time(world: World) -> None:
    await world.restart(container_concurrency=1)
    world.instance.serve = world.instance.hand_over
    first, second = await world.connect(), await world.connect()
    await first.send(GET)
    _, upstream = await world.instance.arrived.get()
    await second.send(GET)
    await world.until(lambda: world.path.waiting == 1)
    await upstream.send(OK)
    assert (await first.message()).body == b"ok"
    assert (await upstream.head()).first_line == b"GET / HTTP/1.1"
    await upstream.send(OK)
    assert (await second.message()).body == b"ok"


async def test_clients_that_come_at_once_need_not_wait_a_turn_of_the_loop_each(world: World) -> None:
    clients = [socket.create_connection(world.addresses[socket.AF_INET]) for _ in range(64)]
    for client in clients:
        client.sendall(GET)
    turns = 0
    while len(world.routed) < len(clients):
        await asyncio.sleep(0)
        turns += 1
    assert turns < 32
    for client in clients:
        client.close()


# ---- timeouts


async def test_silent_instance_is_504_and_its_connection_is_closed(world: World) -> None:
    await world.restart(response_start_timeout_seconds=0.05)
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    answer = await client.ask(GET)
    assert (answer.status, answer.body) == (504, b"request timeout\n")
    _, upstream = await world.instance.arrived.get()
    assert await upstream.closed() == b""
    assert world.path.running == 0


async def begin_answer(world: World) -> tuple[Wire, Wire]:
    """A request whose answer has begun."""
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(GET)
    _, upstream = await world.instance.arrived.get()
    await upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
    await client.head()
    assert await client.chunk() == b"hi"
    return client, upstream


async def test_answer_that_began_in_time_goes_on(world: World) -> None:
    await world.restart(response_start_timeout_seconds=0.4)
    client, upstream = await begin_answer(world)
    assert (await (await world.connect()).ask(GET)).status == 504  # so its own time is over, too
    await upstream.send(b"2\r\nho\r\n0\r\n\r\n")
    assert [await client.chunk(), await client.chunk()] == [b"ho", b""]


@pytest.mark.parametrize(
    "timeouts",
    [
        {"response_start_timeout_seconds": 0.4, "timeout_is_whole_request": True},
        {"max_duration_seconds": 0.4},
        {"idle_timeout_seconds": 0.4},
    ],
)
async def test_answer_that_takes_too_long_is_cut_off(world: World, timeouts: dict[str, float]) -> None:
    await world.restart(**timeouts)
    client, upstream = await begin_answer(world)
    assert await client.closed() == b""
    assert await upstream.closed() == b""
    record = await world.record()
    assert (record.status, record.bytes_out) == (200, 2)
    assert world.path.running == 0


async def test_tunnel_without_bytes_is_closed_after_the_idle_timeout(world: World) -> None:
    await world.restart(idle_timeout_seconds=0.05)
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
    _, upstream = await world.instance.arrived.get()
    await upstream.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert (await client.head()).status == 101
    assert await client.closed() == b""
    assert await upstream.closed() == b""


@pytest.mark.parametrize(
    ("start", "idle", "whole", "longest", "answered", "expected"),
    [
        (300, 0, False, 0, False, 300),
        (300, 0, False, 0, True, None),
        (300, 0, True, 0, True, 300),
        (300, 20, False, 0, False, 25),
        (300, 20, False, 0, True, 25),
        (300, 400, True, 0, True, 300),
        (300, 0, False, 600, True, 600),
        (300, 0, False, 100, False, 100),
        (0, 0, False, 0, False, None),
    ],
)
def test_deadline_is_the_earliest_of_those_that_apply(
    start: float, idle: float, whole: bool, longest: float, answered: bool, expected: int | None
) -> None:
    world = World()
    destination = Destination("n", "s", "c", "r", world.path, start, idle, longest, whole)
    began, active = 7 * SECOND_NS, 12 * SECOND_NS
    end = deadline(destination, began, active, answered)
    assert end == (NEVER_NS if expected is None else began + expected * SECOND_NS)


# ---- instances that go away


@pytest.mark.parametrize("request_", [GET, POST])
async def test_refused_connection_goes_to_another_instance_whatever_its_method(
    world: World, request_: bytes
) -> None:
    other = await world.add_instance(ready=False)
    world.instance.stop()
    client = await world.connect()
    await client.send(request_)
    await world.until(
        lambda: world.path.waiting == 1
    )  # the only one refused: it is marked, and nothing is left
    world.ready(other)
    assert (await client.message()).body == b"ok"
    assert other.requests[0].body == (b"hello" if request_ is POST else b"")


async def close_at_once(wire: Wire) -> None:
    await wire.head()
    wire.close()


async def test_safe_request_goes_to_another_instance_if_the_first_dies_unanswered(world: World) -> None:
    other = await world.add_instance()
    world.instance.serve = other.serve = close_at_once
    third = await world.add_instance()
    client = await world.connect()
    answers = [await client.ask(GET) for _ in range(3)]
    assert {answer.body for answer in answers} == {b"ok"}
    assert len(third.requests) == 3
    assert world.instance.connections <= 1
    assert other.connections <= 1


async def test_unsafe_request_that_an_instance_got_is_502_and_it_is_avoided(world: World) -> None:
    world.instance.serve = close_at_once
    client = await world.connect()
    answer = await client.ask(POST)
    assert (answer.status, answer.body) == (502, b"the instance closed the connection before it answered\n")
    good = await world.add_instance(ready=False)
    world.ready(good)
    assert (await client.ask(POST)).body == b"ok"
    assert world.path.running == 0


async def test_request_is_given_up_after_some_instances(world: World) -> None:
    await world.restart(limits=GatewayLimits(attempts=2))
    await world.add_instance()
    await world.add_instance()
    for instance in world.instances:
        instance.serve = close_at_once
    client = await world.connect()
    answer = await client.ask(GET)
    assert answer.status == 502
    assert b"2 were tried" in answer.body
    assert sum(instance.connections for instance in world.instances) == 2


async def test_connection_that_the_instance_closed_meanwhile_is_replaced(world: World) -> None:
    async def once(wire: Wire) -> None:
        world.instance.requests.append(await wire.message())
        await wire.send(OK)

    world.instance.serve = once
    client = await world.connect()
    for request in (GET, POST, POST, GET, POST):
        assert (await client.ask(request)).body == b"ok"
    assert world.instance.connections == 5
    assert world.path.running == 0


async def test_kept_connection_that_dies_under_a_safe_request_is_replaced_and_under_another_is_502(
    world: World,
) -> None:
    async def once_and_half(wire: Wire) -> None:
        await wire.message()
        await wire.send(OK)
        await wire.message()

    world.instance.serve = once_and_half
    client = await world.connect()
    assert (await client.ask(GET)).body == b"ok"
    assert (await client.ask(GET)).body == b"ok"
    assert world.instance.connections == 2
    assert (await client.ask(POST)).status == 502
    assert (await client.ask(GET)).body == b"ok"  # one stale connection does not condemn its instance


async def test_kept_connection_that_was_closed_is_noticed_before_the_loop_notices(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pool = UpstreamPool(SystemClock(), GatewayLimits(), memoryview(bytearray(1024)))
        endpoint = Endpoint("a", *listener.getsockname())
        connections = [await pool.connect(endpoint) for _ in range(3)]
        theirs = [listener.accept()[0] for _ in range(3)]
        for connection in connections:
            connection.release(0)
        theirs[2].close()
        theirs[1].close()
        assert pool.take(endpoint, check=False) is connections[2]
        assert pool.take(endpoint, check=True) is connections[0]
        theirs[0].close()
    for connection in connections:
        connection.abort()


async def test_client_is_told_to_go_on_only_once_if_the_first_instance_dies(world: World) -> None:
    other = await world.add_instance(ready=False)
    world.instance.serve, other.serve = close_at_once, other.hand_over
    client = await world.connect()
    await client.send(
        POST.split(b"\r\n\r\n")[0].replace(b"POST", b"GET") + b"\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (await client.head()).status == 100
    await world.until(lambda: world.path.waiting == 1)
    world.ready(other)
    _, upstream = await other.arrived.get()
    await client.send(b"hello")
    assert await upstream.reader.readexactly(5) == b"hello"
    await upstream.send(OK)
    assert (await client.message()).status == 200


@pytest.mark.parametrize(
    ("method", "reached", "replayable", "answered", "expected"),
    [
        (b"GET", True, True, False, True),
        (b"OPTIONS", True, True, False, True),
        (b"POST", True, True, False, False),
        (b"POST", False, True, False, True),
        (b"POST", False, False, False, False),
        (b"GET", True, False, False, False),
        (b"GET", True, True, True, False),
    ],
)
def test_retry_rule(method: bytes, reached: bool, replayable: bool, answered: bool, expected: bool) -> None:
    assert may_retry(method, reached, replayable, answered) is expected


# ---- clients that go away


async def test_client_that_leaves_the_queue_is_forgotten(world: World) -> None:
    world.ready()
    client = await world.connect()
    await client.send(GET)
    await world.until(lambda: world.path.waiting == 1)
    client.close()
    await world.until(lambda: world.path.waiting == 0)
    assert (await world.record()).status == 499


@pytest.mark.parametrize("polite", [True, False])
async def test_client_that_leaves_ends_the_work_for_it(world: World, polite: bool) -> None:
    world.instance.serve = world.instance.hand_over
    client = await world.connect()
    await client.send(GET)
    _, upstream = await world.instance.arrived.get()
    assert world.path.running == 1
    client.close() if polite else client.reset()
    assert await upstream.closed() == b""
    assert world.path.running == 0
    assert (await world.record()).status == 499


async def test_client_that_leaves_during_the_answer_ends_it(world: World) -> None:
    client, upstream = await begin_answer(world)
    client.close()
    assert await upstream.closed() == b""
    record = await world.record()
    assert (record.status, record.bytes_out) == (200, 2)


async def test_leaving_at_any_moment_lose_no_slot(world: World) -> None:
    await world.restart(container_concurrency=2)
    for turn in range(200):
        client = await world.connect()
        await client.send(POST)
        for _ in range(turn % 20):
            await asyncio.sleep(0)
        client.reset()
    await world.until(lambda: world.path.running == 0 and world.path.waiting == 0)
    assert (await (await world.connect()).ask(GET)).body == b"ok"


# ---- slow ones


async def until_stuck(progress: list[int]) -> None:
    """Until a counter did not move for many turns of the loop."""
    still, last = 0, -1
    while still < 300:
        still, last = (still + 1, last) if progress[0] == last else (0, progress[0])
        await asyncio.sleep(0)


async def test_slow_client_stops_its_instance(world: World) -> None:
    sent = [0]

    async def pour(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(1024):
            await wire.send(bytes(65536))
            sent[0] += 65536

    world.instance.serve = pour
    client = await world.connect()
    tracemalloc.start()
    try:
        await client.send(GET)
        await until_stuck(sent)
        assert sent[0] < 32 * MIB  # what did not fit into the kernel's buffers waits in the instance
        assert len((await client.message()).body) == 64 * MIB
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 4 * MIB
    assert world.path.running == 0


@pytest.mark.parametrize("from_zero", [True, False])
async def test_slow_instance_stops_its_client(world: World, from_zero: bool) -> None:
    sent, pieces = [0], 512
    world.instance.serve = world.instance.hand_over
    if from_zero:
        world.ready()

    async def upload(wire: Wire) -> None:
        await wire.send(POST.split(b"Content")[0] + b"Content-Length: %d\r\n\r\n" % (pieces * 65536))
        for _ in range(pieces):
            await wire.send(bytes(65536))
            sent[0] += 65536

    client = await world.connect()
    tracemalloc.start()
    try:
        uploading = asyncio.ensure_future(upload(client))
        await until_stuck(sent)
        assert sent[0] < 24 * MIB
        assert tracemalloc.get_traced_memory()[0] < 4 * MIB
        world.ready(world.instance)
        _, upstream = await world.instance.arrived.get()
        total = 0
        while total < pieces * 65536:
            total += len(await upstream.reader.read(65536))
        await uploading
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    await upstream.send(OK)
    assert (await client.message()).body == b"ok"


@pytest.mark.parametrize("known", [True, False])
async def test_client_that_only_asks_and_never_reads_is_stopped(world: World, known: bool) -> None:
    sent = [0]
    world.instance.answer = OK.replace(b"Content-Length: 2", b"X: " + b"x" * 2000 + b"\r\nContent-Length: 2")
    request = GET if known else GET.replace(HOST.encode(), b"nobody.example.com")

    async def ask_on(wire: Wire) -> None:
        while sent[0] < 64 * MIB:
            await wire.send(request * 100)
            sent[0] += 100 * len(request)

    client = await world.connect()
    tracemalloc.start()
    try:
        asking = asyncio.ensure_future(ask_on(client))
        await until_stuck(sent)
        assert not asking.done()
        assert tracemalloc.get_traced_memory()[1] < 6 * MIB
    finally:
        tracemalloc.stop()
        asking.cancel()


@pytest.mark.soak
async def test_thousand_slow_clients_and_a_large_upload_leave_memory_flat(world: World) -> None:
    sent = [0]

    async def pour(wire: Wire) -> None:
        wire.writer.transport.set_write_buffer_limits(0)
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1024 * MIB))
        while True:
            await wire.send(bytes(16384))
            sent[0] += 1

    async def swallow(wire: Wire) -> None:
        await wire.head()
        await wire.send(OK)
        while await wire.reader.read(65536):
            pass

    world.instance.serve = pour
    process, loop = psutil.Process(), asyncio.get_running_loop()
    before, clients = process.memory_info().rss, []
    for _ in range(1024):
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, world.sockets[0].getsockname())
        await loop.sock_sendall(sock, GET)
        clients.append(sock)
    await until_stuck(sent)
    assert process.memory_info().rss - before < 160 * MIB  # the instance's side in this process included
    for sock in clients:
        sock.close()
    await world.until(lambda: world.path.running == 0)
    world.instance.serve = swallow
    before, client = process.memory_info().rss, await world.connect()
    await client.send(POST.split(b"Content")[0] + b"Content-Length: %d\r\n\r\n" % (1024 * MIB))
    for _ in range(16 * 1023):
        await client.send(bytes(65536))
    assert process.memory_info().rss - before < 16 * MIB


# ---- the gateway's own end


async def test_closing_lets_a_running_request_finish_and_takes_no_new_ones(world: World) -> None:
    world.instance.serve = world.instance.hand_over
    idle, client = await world.connect(), await world.connect()
    await client.send(GET)
    _, upstream = await world.instance.arrived.get()
    closing = asyncio.ensure_future(world.gateway.close(30))
    assert await idle.closed() == b""
    with pytest.raises(ConnectionRefusedError):
        await world.connect()
    await upstream.send(OK)
    answer = await client.message()
    assert (answer.body, answer["Connection"]) == (b"ok", b"close")
    client.close()
    await closing


async def test_closing_cuts_off_what_does_not_finish_in_the_grace(world: World) -> None:
    client, upstream = await begin_answer(world)
    await world.gateway.close(0.05)
    assert await client.closed() == b""
    assert await upstream.closed() == b""
    assert world.path.running == 0


async def test_gateway_listens_on_both_loopbacks_with_one_port(world: World) -> None:
    assert len({sock.getsockname()[1] for sock in world.sockets}) == 1
    families = {sock.family for sock in world.sockets}
    assert socket.AF_INET in families
    assert socket.AF_INET6 in families or not socket.has_dualstack_ipv6()


async def test_taken_port_is_an_error(world: World) -> None:
    with pytest.raises(OSError, match="in use"):
        await world.gateway.listen("127.0.0.1", world.sockets[0].getsockname()[1])


async def test_failure_inside_the_platform_is_500_with_a_log_entry(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ready()
    world.timeouts["response_start_timeout_seconds"] = 30

    async def broken(timeout_seconds: float | None, exclude: frozenset[str]) -> None:
        raise KeyError("out of order")

    world.path.acquire = broken  # type: ignore[method-assign,assignment]
    client = await world.connect()
    with caplog.at_level(logging.ERROR, "minirun.gateway"):
        assert (await client.ask(GET)).status == 500
    assert "hello-00001" in caplog.text
