"""Serves the API's ASGI app inside a loop that is running already, and stops within a second.

uvicorn would take over the process's signals and wait for open streams; here the platform decides when to
stop, and what is still open a moment later is cut.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from minirun.api.connect import protocol

GRACE_SECONDS = 0.3


class _Server(uvicorn.Server):
    """uvicorn's server without signals; `accepting` is set when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()


class APIServer:
    """A running server; `serve` makes one."""

    def __init__(self, server: _Server, serving: asyncio.Task[None], on_stop: Callable[[], None]) -> None:
        self._server = server
        self._serving = serving
        self._on_stop = on_stop

    async def stop(self) -> None:
        """Returns when every connection is closed."""
        self._server.should_exit = True
        self._on_stop()
        done, _ = await asyncio.wait({self._serving}, timeout=GRACE_SECONDS)
        if not done:
            for request in list(self._server.server_state.tasks):
                request.cancel()
            self._server.force_exit = True
        await self._serving


async def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    on_stop: Callable[[], None] = lambda: None,
    *,
    tls_port: int | None = None,
    certificate: Path | None = None,
) -> APIServer:
    """Starts a server and returns it when it accepts requests; `stop` ends it.

    Args:
        app: the app to serve.
        sockets: listening sockets; closed at the end.
        on_stop: ends open streams (watches) as soon as stopping begins.
        tls_port: where a tunnel to this machine's own name leads (CONNECT).
        certificate: a PEM file with the certificate and its key, to serve TLS.
    """
    config = uvicorn.Config(
        app,
        http=protocol(tls_port),
        lifespan="off",
        access_log=False,
        log_config=None,
        ws="none",
        server_header=False,
        ssl_certfile=certificate,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(list(sockets)))
    accepting = asyncio.create_task(server.accepting.wait())
    await asyncio.wait({serving, accepting}, return_when=asyncio.FIRST_COMPLETED)
    accepting.cancel()
    if serving.done():
        serving.result()
    return APIServer(server, serving, on_stop)
