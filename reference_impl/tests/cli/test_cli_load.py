"""The load generator: what it sends, counts and measures."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.cli.load import Latencies, run_load

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Revision: a\r\n\r\nhi"


@asynccontextmanager
async def server(handle: Handler) -> AsyncIterator[int]:
    """Serves requests without a body; yields the port."""

    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await handle(await reader.readuntil(b"\r\n\r\n"), writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]
    await asyncio.gather(*filter(None, serving))


async def always(answer: bytes, _: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(answer)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_within_one_percent(latencies_ns: list[int], percent: float) -> None:
    histogram = Latencies()
    for ns in latencies_ns:
        histogram.add(ns)
    exact = sorted(latencies_ns)[-(-len(latencies_ns) * int(percent) // 100) - 1]
    assert histogram.percentile(percent) * 1e6 == pytest.approx(exact, rel=0.01, abs=1)
    assert histogram.max_ns == max(latencies_ns)


def test_no_latencies_have_no_percentile() -> None:
    assert Latencies().percentile(99) == 0


async def test_a_closed_loop_keeps_each_connection_busy_and_no_more() -> None:
    under_way = most = 0

    async def handle(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        writer.write(OK)

    async with server(handle) as port:
        result = await run_load("127.0.0.1", port, connections=3, duration_seconds=0.2)
    assert most == 3
    assert result.statuses == {200: result.latencies.count}
    assert result.latencies.count > 20
    assert not result.errors
    assert 0 < result.cpu_share <= 1.5


async def test_an_open_loop_sends_what_is_due_and_counts_it_once() -> None:
    async with server(lambda head, writer: always(OK, head, writer)) as port:
        result = await run_load("127.0.0.1", port, rate=500, connections=4, duration_seconds=0.4)
    assert result.latencies.count == 200
    assert not result.errors


async def test_a_server_that_stalls_is_seen_to_stall_in_the_open_loop() -> None:
    first = asyncio.Event()

    async def handle(_: bytes, writer: asyncio.StreamWriter) -> None:
        if not first.is_set():
            first.set()
            await asyncio.sleep(0.2)
        writer.write(OK)

    async with server(handle) as port:
        result = await run_load("127.0.0.1", port, rate=200, connections=1, duration_seconds=0.2)
    assert result.latencies.count == 40
    assert result.latencies.percentile(50) > 50  # requests that fell due in the stall waited for it too


async def test_the_request_is_as_asked() -> None:
    heads: list[bytes] = []

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK)

    async with server(handle) as port:
        options = {"connections": 1, "duration_seconds": 0.05}
        await run_load("127.0.0.1", port, host_header="hello.default", path="/x", **options)
    assert heads[0] == b"GET /x HTTP/1.1\r\nHost: hello.default\r\n\r\n"


@pytest.mark.parametrize("by", ["header", "body"])
async def test_answers_are_counted_by_header_or_body(by: str) -> None:
    rng = random.Random(1)
    sent = {"a": 0, "b": 0}

    async def handle(_: bytes, writer: asyncio.StreamWriter) -> None:
        name = rng.choices("ab", (1, 4))[0]
        sent[name] += 1
        writer.write(f"HTTP/1.1 200 OK\r\nX-Revision: {name}\r\nContent-Length: 1\r\n\r\n{name}".encode())

    options = {"count_header": "x-revision"} if by == "header" else {"count_body": True}
    async with server(handle) as port:
        result = await run_load("127.0.0.1", port, rate=400, duration_seconds=0.1, **options)
    assert dict(result.values) == sent
    assert sum(sent.values()) == 40


async def test_errors_are_counted_and_the_load_goes_on() -> None:
    served = 0

    async def handle(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        if served == 3:
            writer.transport.abort()
        elif served == 5:
            writer.write(b"nonsense\r\n\r\n")
        else:
            writer.write(OK if served % 2 else OK.replace(b"200 OK", b"503 No"))

    async with server(handle) as port:
        result = await run_load("127.0.0.1", port, rate=200, connections=1, duration_seconds=0.1)
    assert result.errors["connection closed"] == 1
    assert sum(count for name, count in result.errors.items() if name.startswith("bad answer")) == 1
    assert result.statuses.keys() == {200, 503}


async def test_a_connection_that_is_closed_after_each_answer_is_made_anew() -> None:
    async def handle(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"X-Rev", b"Connection: close\r\nX-Rev"))
        writer.close()

    async with server(handle) as port:
        result = await run_load("127.0.0.1", port, rate=100, connections=2, duration_seconds=0.2)
    assert result.statuses == {200: 20}
    assert not result.errors


async def test_nobody_there_is_an_error_and_no_hang() -> None:
    async with server(lambda head, writer: always(OK, head, writer)) as port:
        pass
    async with asyncio.timeout(10):
        result = await run_load("127.0.0.1", port, rate=100, connections=2, duration_seconds=0.05)
    assert result.latencies.count == 0
    assert result.errors["not sent"] == 5
