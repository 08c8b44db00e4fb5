"""The gateway as the platform sees it: give it a router, let it listen, close it.

Counterpart: the ingress Deployment (Kourier's Envoy) with activator and queue-proxy behind it.
"""

import asyncio
import errno
import random
import socket
from collections.abc import Iterable
from functools import partial

from minirun.activation.path import Endpoint
from minirun.gateway.base import GatewayLimits, Observer, Router
from minirun.gateway.client import ClientConnection
from minirun.gateway.exchange import Context
from minirun.gateway.upstream import UpstreamPool
from minirun.gateway.upstream_http2 import StreamPool
from minirun.model.clock import Clock

READ_BUFFER_BYTES = 32 * 1024
BACKLOG = 1024
LOOPBACK = {"localhost": ("127.0.0.1", "::1"), "127.0.0.1": ("127.0.0.1", "::1")}


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def bind(host: str, port: int, attempts: int = 8) -> list[socket.socket]:
    """Bind TCP `host`:`port`; loopback gets IPv4 and, where there is any, IPv6, on the same port.

    With port 0 the system chooses one that is free in both families. Raises OSError if the port is taken.
    """
    addresses = LOOPBACK.get(host, (host,))
    first = _bind(addresses[0], port)
    bound = [first]
    for address in addresses[1:]:
        try:
            bound.append(_bind(address, first.getsockname()[1]))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                continue  # no IPv6 here
            for sock in bound:
                sock.close()
            if port or attempts == 1:
                raise
            return bind(host, port, attempts - 1)
    return bound


class Gateway:
    """The HTTP data path of one process.

    `router` says where requests go; `observer` hears of each routed one; `rng` makes request and trace ids.
    """

    def __init__(
        self,
        router: Router,
        clock: Clock,
        limits: GatewayLimits | None = None,
        observer: Observer | None = None,
        rng: random.Random | None = None,
    ) -> None:
        limits = limits or GatewayLimits()
        pool = UpstreamPool(clock, limits, memoryview(bytearray(READ_BUFFER_BYTES)))
        streams = StreamPool(clock, limits, pool.buffer)
        self._context = Context(router, clock, limits, observer, rng or random.Random(), pool, streams)
        self._servers: list[asyncio.Server] = []
        self._accepting: set[asyncio.Task[object]] = set()

    async def listen(self, host: str, port: int) -> list[socket.socket]:
        """Accept clients on `host`:`port` (0: any free one); the bound sockets, of one port in all."""
        sockets = bind(host, port)
        await self.serve(sockets)
        return sockets

    async def serve(self, sockets: Iterable[socket.socket]) -> None:
        """Accept clients on sockets that are bound."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            sock.setblocking(False)
            accept = partial(self._accept, sock)
            self._servers.append(await loop.create_server(accept, sock=sock, backlog=BACKLOG))

    def _accept(self, sock: socket.socket) -> ClientConnection:
        """The loop accepted a client; those that wait behind it are accepted, too.

        libuv takes one client a turn of its loop, and under load a turn lasts: of a thousand that come at
        once the last would wait for seconds.
        """
        loop = asyncio.get_running_loop()
        for _ in range(BACKLOG):
            try:
                client, _address = sock.accept()
            except OSError:  # nobody waits, or there is no descriptor left
                break
            client.setblocking(False)
            task = loop.create_task(
                loop.connect_accepted_socket(partial(ClientConnection, self._context), client)
            )
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)
        return ClientConnection(self._context)

    def drop_endpoint(self, endpoint: Endpoint) -> None:
        """An instance is gone: close the idle connections to it."""
        self._context.pool.drop(endpoint)
        self._context.streams.drop(endpoint)

    async def close(self, grace_seconds: float) -> None:
        """Stop listening, let running requests finish for `grace_seconds`, then cut off the others."""
        self._context.draining = True
        for server in self._servers:
            server.close()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for client in list(self._context.clients):
            client.close_if_idle()
        await self._wait_for_clients(grace_seconds)
        for client in list(self._context.clients):
            client.abort()
        await self._wait_for_clients(None)
        self._context.pool.close()
        self._context.streams.close()

    async def _wait_for_clients(self, timeout_seconds: float | None) -> None:
        """Until no client is connected, or the time is over."""
        done = self._context.drained
        if self._context.clients:
            done.clear()
            try:
                async with asyncio.timeout(timeout_seconds):
                    await done.wait()
            except TimeoutError:
                pass
