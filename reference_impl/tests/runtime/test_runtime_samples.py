"""The samples, as they run on the process runtime."""

import asyncio
import json

import pytest
import websockets

from minirun.runtime.base import Stage


async def talk(state, *requests: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Sends all requests on one connection; status, headers and body of each answer."""
    reader, writer = await asyncio.open_connection(state.host, state.port)
    try:
        writer.write(b"".join(requests))
        return [await read_answer(reader, request) for request in requests]
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def read_answer(reader, request: bytes) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:-2])}
    body = b""
    if request.startswith(b"HEAD"):
        pass
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    return int(head[0].split()[1]), headers, body


def get(path: str = "/", headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


async def test_hello_greets_its_target_again_and_again_on_one_connection(warm_bench):
    state = await warm_bench.start("hello", env=(("TARGET", "Ada"),)).ready()
    upload = b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    answers = await talk(
        state, get(), upload, b"HEAD / HTTP/1.1\r\n\r\n", get(headers="Accept: text/html\r\n")
    )
    assert [status for status, _, _ in answers] == [200] * 4
    assert answers[0][2] == answers[1][2] == b"Hello Ada!\n"
    assert answers[0][1]["x-revision"] == "greeter-00001"
    assert answers[2][1]["content-length"] == "11"
    assert b"Hello Ada!" in answers[3][2]
    assert "html" in answers[3][1]["content-type"]


async def test_hello_lets_one_client_dawdle_while_others_are_served(bench):
    state = await bench.start("hello").ready()
    _, dawdler = await asyncio.open_connection(state.host, state.port)
    dawdler.write(b"GET / HTT")
    answers = await asyncio.gather(*(talk(state, get(), get()) for _ in range(50)))
    assert all(len(answer) == 2 for answer in answers)
    dawdler.close()


async def test_sleep_does_its_work_side_by_side_and_says_what_it_did(bench):
    state = await bench.start("sleep").ready()
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(talk(state, get("/?sleep=300")) for _ in range(50)))
    assert asyncio.get_running_loop().time() - began < 50 * 0.3 / 2
    assert all(answer[0][2].startswith(b"Slept for 30") for answer in answers)
    ((_, _, body), (bad, _, _)) = await talk(state, get("/?sleep=1&prime=1000&bloat=3"), get("/?sleep=x"))
    assert b"The largest prime less than 1000 is 997.\nAllocated 3 Mb of memory.\n" in body
    assert bad == 400


async def test_sleep_finishes_what_it_began_before_it_ends(bench):
    observed = bench.start("sleep")
    state = await observed.ready()
    reader, writer = await asyncio.open_connection(state.host, state.port)
    writer.write(get("/?bloat=1") + get("/?sleep=200"))
    await reader.readuntil(b"Mb of memory.\n")
    await observed.instance.stop()
    assert b"Slept for 20" in await reader.read()
    assert observed.instance.state.exit_code == 0
    writer.close()


async def test_sleep_is_killed_by_a_bloat_over_the_limit_and_that_request_is_not_a_200(bench):
    observed = bench.start("sleep", memory_limit_bytes=120 * 1024 * 1024)
    state = await observed.ready()
    ((status, _, _),) = await talk(state, get("/?bloat=20"))
    assert status == 200
    with pytest.raises((OSError, EOFError)):
        await talk(state, get("/?bloat=600"))
    assert (await observed.state(lambda state: bool(state.reason))).reason == "OOMKilled"


async def test_stream_sends_ticks_and_events_and_echoes_uploads(bench):
    state = await bench.start("stream").ready()
    chunked = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    sized = b"PUT / HTTP/1.1\r\nContent-Length: 4\r\nContent-Type: a/b\r\n\r\nwxyz"
    ticks = get("/?count=2&interval=1")
    answers = await talk(state, ticks, chunked, sized, get("/events?count=1"))
    assert [body for _, _, body in answers] == [
        b"tick 1\ntick 2\n",
        b"abcde",
        b"wxyz",
        b"id: 1\ndata: tick 1\n\n",
    ]
    assert [answers[2][1]["content-type"], answers[3][1]["content-type"]] == ["a/b", "text/event-stream"]


async def test_websocket_echoes_text_binary_and_fragments(bench):
    observed = bench.start("websocket")
    state = await observed.ready()
    async with websockets.connect(f"ws://{state.host}:{state.port}/") as socket:
        for message in ("hi", b"\0\xff" * 70_000, ["fr", "ag", "ment"], ""):
            await socket.send(message)
            expected = "".join(message) if isinstance(message, list) else message
            assert await socket.recv() == expected
        await (await socket.ping())
    ((status, _, body),) = await talk(state, get())
    assert (status, b"WebSocket(" in body) == (200, True)


async def test_websocket_says_goodbye_when_it_is_stopped(bench):
    observed = bench.start("websocket")
    state = await observed.ready()
    async with websockets.connect(f"ws://{state.host}:{state.port}/") as socket:
        await socket.send("hi")
        await socket.recv()
        await observed.instance.stop()
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd.code == 1001


async def test_crash_fails_as_asked_and_says_so_in_a_structured_line(bench):
    observed = bench.start("crash")
    state = await observed.ready()
    ((status, _, _),) = await talk(state, get("/?status=500"))
    assert status == 500
    with pytest.raises(asyncio.IncompleteReadError):
        await talk(state, get("/?cut=1"))
    with pytest.raises((OSError, EOFError)):
        await talk(state, get("/?exit=6"))
    assert (await observed.state(lambda state: bool(state.reason))).reason == "ExitCode6"
    assert json.loads(observed.output()[-1]) == {"severity": "ERROR", "message": "ending with exit code 6"}


async def test_crash_ends_after_so_many_requests(bench):
    observed = bench.start("crash", env=(("CRASH", "after:2"),))
    state = await observed.ready()
    assert len(await talk(state, get(), get())) == 2
    assert (await observed.state(lambda state: bool(state.reason))).exit_code == 1


async def test_crash_on_the_wrong_port_is_never_ready(bench):
    observed = bench.start("crash", env=(("CRASH", "wrong-port"),), progress_deadline_seconds=0.5)
    state = await observed.state(lambda state: state.stage is Stage.GONE)
    assert "did not listen on $PORT" in state.message


async def test_slow_start_listens_after_its_time(bench):
    observed = bench.start("slow-start", env=(("START_SECONDS", "0.2"),))
    state = await observed.ready()
    assert state.ready_unix_ns - state.started_unix_ns > 200_000_000
    ((_, _, body),) = await talk(state, get())
    assert body == b"Ready after 0.2 s.\n"
