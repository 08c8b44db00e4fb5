"""Connections to instances: one HTTP/1.1 exchange at a time on each, kept open in a pool between exchanges.

A connection is reusable only if its last answer ended where its framing says and nothing followed: bytes that
nobody asked for could become the answer to the next request. Counterpart: Go's `http.Transport` in activator
and queue-proxy. HTTP/2 to an instance (port name h2c) is another class with the same verbs.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, cast

import httptools

from minirun.activation.path import Endpoint
from minirun.gateway.base import GatewayLimits
from minirun.gateway.heads import (
    Headers,
    RequestHead,
    ResponseHead,
    chunk,
    last_chunk,
    response_head,
    response_role,
    upstream_head,
)
from minirun.model.clock import SECOND_NS, Clock


class ResponseSink(Protocol):
    """Who receives an answer, in this order; `upstream_lost` may come instead of anything that is due."""

    def response_head(self, head: ResponseHead) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def response_end(self, reusable: bool, trailers: Sequence[bytes] = ()) -> None: ...
    def response_flush(self) -> None: ...
    def tunnel_from_upstream(self, data: bytes) -> None: ...
    def upstream_eof(self) -> None: ...
    def upstream_lost(self, malformed: str | None, reached: bool = True) -> None: ...
    def upstream_writable(self) -> None: ...


def is_stale(sock: socket.socket) -> bool:
    """Whether the peer closed an idle connection, also if the event loop has not noticed yet."""
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


P = TypeVar("P", bound=asyncio.BaseProtocol)


async def open_connection(endpoint: Endpoint, limits: GatewayLimits, make: Callable[[socket.socket], P]) -> P:
    """Connect to an instance; OSError if it does not take the connection in time."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(limits.connect_timeout_seconds):
            await loop.sock_connect(sock, (endpoint.host, endpoint.port))
            _, protocol = await loop.create_connection(lambda: make(sock), sock=sock)
    except BaseException:
        sock.close()
        raise
    return protocol


class UpstreamConnection(asyncio.BufferedProtocol):
    """One connection to one instance."""

    transport: asyncio.Transport

    def __init__(self, pool: "UpstreamPool", endpoint: Endpoint, sock: socket.socket) -> None:
        self.pool = pool
        self.endpoint = endpoint
        self.sink: ResponseSink | None = None
        self.reused = False
        self.tunnel = False
        self.write_paused = False
        self.idle_since_ns = 0
        self.sock = sock
        self._reading = True
        self._headers = Headers(response_role)
        self.on_header = self._headers.add  # bound here: llhttp calls it without a hop
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._reason = self._method = b""
        self._head: ResponseHead | None = None
        self._complete = self._dirty = self._chunked = False
        self._trailers: Sequence[bytes] = ()
        self._silent_bytes = 0  # since the last head or body byte: bounds heads, trailers, chunk sizes

    def send(self, sink: ResponseSink, head: RequestHead, fields: bytes, body: Sequence[bytes]) -> None:
        """Begin an exchange: send the head, with its forwarded `fields`, and what is there of the body."""
        self.sink = sink
        self._method = head.method
        self._chunked = head.chunked
        data = upstream_head(head, fields)
        if body:
            data += b"".join([chunk(piece) for piece in body] if head.chunked else body)
        self.transport.write(data)

    def write(self, data: bytes) -> None:
        """Send a piece of the request's body, or of what passes through a tunnel."""
        self.transport.write(chunk(data) if self._chunked else data)

    def finish(self, trailers: Sequence[bytes]) -> None:
        """The request is complete."""
        if self._chunked:
            self.transport.write(last_chunk(trailers))

    def write_eof(self) -> None:
        """Send the last byte of a tunnel."""
        self.transport.write_eof()

    def release(self, now_ns: int) -> None:
        """The exchange is over and left the connection clean: keep it for the next one."""
        self.sink, self._head, self._complete, self._trailers = None, None, False, ()
        if self._method == b"HEAD":
            self._reset()  # llhttp, not knowing the method, still waits for a body
        self.set_reading(True)
        self.reused = True
        self.idle_since_ns = now_ns
        self.pool.put(self)

    def close(self) -> None:
        """Close when all is sent."""
        self.transport.close()

    def abort(self) -> None:
        """Close at once; nobody hears of this connection again."""
        self.sink = None
        self.transport.abort()

    def set_reading(self, reading: bool) -> None:
        """Stop or go on reading: backpressure from the client."""
        if reading is not self._reading and not self.transport.is_closing():
            self._reading = reading
            (self.transport.resume_reading if reading else self.transport.pause_reading)()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.transport.set_write_buffer_limits(self.pool.limits.write_buffer_bytes)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.pool.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self.pool.buffer[:nbytes]
        if self.sink is None:
            self.transport.abort()  # nothing was asked
        elif self.tunnel:
            self.sink.tunnel_from_upstream(bytes(data))
        else:
            self._silent_bytes += nbytes
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._start_tunnel(bytes(data[upgrade.args[0] :]))
            except httptools.HttpParserError as error:
                if not self._complete:
                    return self._lose(str(error.__context__ or error))
                self._dirty = True
            self._after_feed()
        return None

    def _after_feed(self) -> None:
        if self.sink is None:
            return
        if self._complete and self._head is not None:
            self.sink.response_end(self._head.keep_alive and not self._dirty, self._trailers)
        elif self._silent_bytes > self.pool.limits.head_bytes and not self.tunnel:
            self._lose("its head, trailer or chunk extension is too long")
        else:
            self.sink.response_flush()

    def _start_tunnel(self, data: bytes) -> None:
        self.tunnel = True
        if self.sink is not None and data:
            self.sink.tunnel_from_upstream(data)

    def on_message_begin(self) -> None:
        self._dirty = self._complete

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_headers_complete(self) -> None:
        headers, reason, self._reason = self._headers, self._reason, b""
        lines, read, too_many = headers.lines, headers.read, headers.size > self.pool.limits.head_bytes
        headers.clear()
        if self._complete or self.sink is None:
            return
        if too_many:
            raise ValueError("its head is too long")
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        head = response_head(self._method, status, reason, version, lines, read)
        self._silent_bytes = 0
        self._head = head
        self.sink.response_head(head)
        self._complete = self._method == b"HEAD" and status >= 200

    def on_body(self, data: bytes) -> None:
        self._silent_bytes = 0
        if self._complete:
            self._dirty = True
        elif self.sink is not None:
            self.sink.response_body(data)

    def on_message_complete(self) -> None:
        if self._headers.count:
            self._trailers = self._headers.lines
            self._headers.clear()
        if self._head is not None and self._head.status >= 200:
            self._complete = True

    def pause_writing(self) -> None:
        self.write_paused = True
        if self.sink is not None:
            self.sink.upstream_writable()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.sink is not None:
            self.sink.upstream_writable()

    def eof_received(self) -> bool:
        if self.sink is not None:
            if self.tunnel:
                self.sink.upstream_eof()
                return True
            if self._head is not None and self._head.until_close:
                self.sink.response_end(False)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.pool.forget(self)
        self._lose(None)

    def _lose(self, malformed: str | None) -> None:
        sink, self.sink = self.sink, None
        self.transport.abort()
        if sink is not None:
            sink.upstream_lost(malformed)


class UpstreamPool:
    """Idle connections, by instance; the one used last is taken first, so that the others can grow old."""

    def __init__(self, clock: Clock, limits: GatewayLimits, buffer: memoryview) -> None:
        self.limits = limits
        self.buffer = buffer  # one for all connections: what is read is dealt with before the next read
        self._clock = clock
        self._idle: dict[Endpoint, list[UpstreamConnection]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, endpoint: Endpoint, check: bool) -> UpstreamConnection | None:
        """An idle connection, or None; with `check`, one that the instance has certainly not closed yet."""
        idle = self._idle.get(endpoint)
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing() and not (check and is_stale(connection.sock)):
                return connection
            connection.abort()
        return None

    async def connect(self, endpoint: Endpoint) -> UpstreamConnection:
        """Open a new connection; OSError if the instance does not take it in time."""
        connection = await open_connection(
            endpoint, self.limits, lambda sock: UpstreamConnection(self, endpoint, sock)
        )
        if connection.transport.is_closing():
            raise ConnectionResetError("the instance closed the connection at once")
        return connection

    def put(self, connection: UpstreamConnection) -> None:
        """Keep a connection for later."""
        self._idle.setdefault(connection.endpoint, []).append(connection)
        if self._timer is None:
            self._sweep_later()

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection was lost."""
        idle = self._idle.get(connection.endpoint)
        if idle is not None:
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[connection.endpoint]

    def drop(self, endpoint: Endpoint) -> None:
        """Close the idle connections of an instance that is gone."""
        for connection in self._idle.pop(endpoint, []):
            connection.abort()

    def close(self) -> None:
        """Close all idle connections."""
        for endpoint in list(self._idle):
            self.drop(endpoint)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep_later(self) -> None:
        delay = self.limits.upstream_idle_seconds / 2
        self._timer = asyncio.get_running_loop().call_later(delay, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long."""
        self._timer = None
        before_ns = self._clock.monotonic_ns() - int(self.limits.upstream_idle_seconds * SECOND_NS)
        for idle in list(self._idle.values()):
            for connection in [c for c in idle if c.idle_since_ns <= before_ns]:
                connection.transport.abort()
        if self._idle:
            self._sweep_later()
