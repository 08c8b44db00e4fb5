"""The least HTTP app: one fixed answer, on uvloop and httptools, so that a proxy's costs are its own.

Run: python -m minirun_bench.helloapp --listen PORT
"""

import argparse
import asyncio
from typing import cast

import httptools

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n"


class Hello(asyncio.Protocol):
    """One client connection: answers each complete request, in order, whatever it asks."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_complete(self) -> None:
        self.transport.write(ANSWER)


async def serve(port: int) -> None:
    """Listen on 127.0.0.1:`port` until cancelled."""
    server = await asyncio.get_running_loop().create_server(Hello, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


def main() -> None:
    """The command line."""
    import uvloop

    arguments = argparse.ArgumentParser(description="Answer every HTTP request with hello.")
    arguments.add_argument("--listen", type=int, required=True, metavar="PORT")
    uvloop.run(serve(arguments.parse_args().listen))


if __name__ == "__main__":
    main()
