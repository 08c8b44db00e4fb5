"""A client that takes the API for its proxy: tunnels are refused, or lead to our own TLS port."""

import asyncio

import pytest
from apiworld import Platform

from minirun.api.server import serve
from minirun.gateway.server import bind


async def ask(port: int, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    return reader, writer


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("pubsub.googleapis.com:443", "set api_endpoint_overrides/pubsub to http://pubsub.googleapis.com/"),
        ("kubernetes.default:443", "start it with minirun up --tls HOST:PORT"),
        ("example.com:80", "no tunnel to example.com:80"),
    ],
)
async def test_a_tunnel_that_leads_nowhere_is_refused_with_the_reason(
    platform: Platform, target: str, hint: str
) -> None:
    port = int(platform.address.rpartition(":")[2])
    reader, writer = await ask(port, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    assert answer.startswith("HTTP/1.1 403 ")
    assert hint in answer
    writer.close()


async def test_a_request_that_only_begins_like_connect_is_served(platform: Platform) -> None:
    port = int(platform.address.rpartition(":")[2])
    reader, writer = await ask(port, b"C")
    writer.write(b"OPY /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 ")
    writer.close()


async def test_a_tunnel_carries_much_both_ways_and_ends_at_both_ends(silent: Platform) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    there = await asyncio.start_server(echo, "127.0.0.1", 0)
    tls_port = there.sockets[0].getsockname()[1]
    sockets = bind("127.0.0.1", 0)
    server = await serve(silent.api.app, sockets, tls_port=tls_port)
    reader, writer = await ask(
        sockets[0].getsockname()[1], b"CONNECT kubernetes.default:443 HTTP/1.1\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    sent = bytes(range(256)) * 40_000  # 10 MB, more than every buffer on the way

    async def send() -> None:
        writer.write(sent)
        await writer.drain()

    sending = asyncio.create_task(send())
    assert await reader.readexactly(len(sent)) == sent
    await sending
    there.close()
    writer.close()
    await writer.wait_closed()
    await server.stop()
