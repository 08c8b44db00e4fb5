"""The yardstick: the least forwarding proxy that Python allows, on uvloop and httptools.

One hop, keep-alive on both sides. Each head is parsed (that is what finds where a message ends) and the bytes
are passed on as they came: no routing, no slots, no header rules, no timeouts, no checks. What
`minirun.gateway` does beyond this is what its features cost.

Run: python -m minirun_bench.bareproxy --listen PORT --upstream PORT
"""

import argparse
import asyncio
from collections.abc import Callable
from typing import cast

import httptools


class Upstream(asyncio.Protocol):
    """A connection to the app: raw bytes go back to the client; the parser says when an answer ends."""

    transport: asyncio.Transport

    def __init__(self, idle: list["Upstream"]) -> None:
        self.idle = idle
        self.client: Client | None = None
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        if self.client is not None and not self.client.transport.is_closing():
            self.client.transport.write(data)
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        client, self.client = self.client, None
        self.idle.append(self)
        if client is not None:
            client.serving = False
            client.forward()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.idle:
            self.idle.remove(self)
        if self.client is not None:
            self.client.transport.close()


class Client(asyncio.Protocol):
    """A client's connection: requests go, one at a time, to an idle upstream connection or a new one."""

    transport: asyncio.Transport

    def __init__(self, idle: list[Upstream], connect: Callable[["Client"], None]) -> None:
        self.idle = idle
        self.connect = connect
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: list[bytes] = []
        self.serving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self.waiting.append(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_complete(self) -> None:
        self.forward()

    def forward(self) -> None:
        """Pass on what is waiting, if no answer is outstanding."""
        if self.serving or not self.waiting:
            return
        self.serving = True
        if self.idle:
            self.forward_on(self.idle.pop())
        else:
            self.connect(self)

    def forward_on(self, upstream: Upstream) -> None:
        """Pass on what is waiting over `upstream`."""
        upstream.client = self
        upstream.transport.write(b"".join(self.waiting))
        self.waiting.clear()


async def serve(port: int, upstream_port: int) -> None:
    """Proxy 127.0.0.1:`port` to 127.0.0.1:`upstream_port` until cancelled."""
    loop = asyncio.get_running_loop()
    idle: list[Upstream] = []
    tasks: set[asyncio.Task[None]] = set()

    async def connect(client: Client) -> None:
        _, upstream = await loop.create_connection(lambda: Upstream(idle), "127.0.0.1", upstream_port)
        client.forward_on(upstream)

    def start(client: Client) -> None:
        task = loop.create_task(connect(client))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await loop.create_server(lambda: Client(idle, start), "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """The command line."""
    import uvloop

    arguments = argparse.ArgumentParser(description="Forward HTTP requests and do nothing else.")
    arguments.add_argument("--listen", type=int, required=True, metavar="PORT")
    arguments.add_argument("--upstream", type=int, required=True, metavar="PORT")
    options = arguments.parse_args()
    uvloop.run(serve(options.listen, options.upstream))


if __name__ == "__main__":
    main()
