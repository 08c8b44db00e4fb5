"""Connections to instances whose port is named h2c: HTTP/2 with prior knowledge, many requests on each.

A request is a `Stream` with the verbs of an `UpstreamConnection`. A connection that the instance wants to end
(GOAWAY) or that is out of date finishes what it has; the next request opens another. Counterpart: Go's
`http2.Transport` with `AllowHTTP`, as activator and queue-proxy use it.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import cast

from h2 import events
from h2.errors import ErrorCodes

from minirun.activation.path import Endpoint
from minirun.gateway.alarm import NEVER_NS, Alarm
from minirun.gateway.base import GatewayLimits
from minirun.gateway.heads import RequestHead, response_role
from minirun.gateway.http2 import Http2Connection, Stream
from minirun.gateway.http2_heads import Field, request_fields, response_of, trailers_of
from minirun.gateway.upstream import ResponseSink, is_stale, open_connection
from minirun.model.clock import SECOND_NS, Clock

MAX_STREAM_ID = 1 << 30  # half of what there are, so that those under way never run out


class UpstreamStream(Stream):
    """One request to one instance; the same verbs as `UpstreamConnection`."""

    connection: "Http2Upstream"
    sink: ResponseSink | None = None
    _method = b""
    _bodyless = False
    _trailers_in: Sequence[bytes] = ()

    def __init__(self, connection: "Http2Upstream", reused: bool) -> None:
        super().__init__(connection)
        self.endpoint = connection.endpoint
        self.reused = reused

    def send(self, sink: ResponseSink, head: RequestHead, fields: bytes, body: Sequence[bytes]) -> None:
        """Begin an exchange: send the head, with its forwarded `fields`, and what is there of the body."""
        self.sink = sink
        self._method = head.method
        self.begin(request_fields(head, fields))
        for piece in body:
            self.write(piece)
        if self.connection.fault is not None:  # it was broken before this could be sent
            asyncio.get_running_loop().call_soon(self._lose, self.connection.fault)

    def release(self, now_ns: int) -> None:
        """The exchange is over."""
        self.sink = None

    def abort(self) -> None:
        """Nobody waits for it any more."""
        self.sink = None
        self.reset(ErrorCodes.CANCEL)

    def set_reading(self, reading: bool) -> None:
        """Give the instance credit, or none: backpressure from the client."""
        self.holding = not reading
        self.give_credit()

    def write_eof(self) -> None:
        """Never called: there are no tunnels."""
        raise AssertionError("HTTP/2 has no upgrade")

    close = abort

    # ---- what comes in

    def on_head(self, fields: list[Field]) -> None:
        """The head of an answer, or of an interim one."""
        if self.sink is None:
            return
        try:
            head = response_of(self._method, fields)
            self.sink.response_head(head)
        except ValueError as error:
            self._lose(str(error))
        else:
            self._bodyless = head.bodyless

    def on_data(self, data: bytes) -> None:
        if self.sink is not None and not self._bodyless:
            self.sink.response_body(data)

    def on_trailers(self, fields: list[Field]) -> None:
        try:
            self._trailers_in = trailers_of(fields, response_role)
        except ValueError as error:
            self._lose(str(error))

    def on_end(self) -> None:
        if self.sink is not None:
            self.sink.response_end(True, self._trailers_in)

    def on_reset(self, code: int) -> None:
        if code == ErrorCodes.REFUSED_STREAM:
            self._lose(None, False)
        else:
            self._lose(f"it ended the stream with error {getattr(code, 'name', code)}")

    def on_lost(self, reason: str | None) -> None:
        self._lose(reason)

    def on_writable(self) -> None:
        if self.sink is not None:
            self.sink.upstream_writable()

    def _lose(self, malformed: str | None, reached: bool = True) -> None:
        sink, self.sink = self.sink, None
        self.reset(ErrorCodes.CANCEL)
        if sink is not None:
            sink.upstream_lost(malformed, reached)


class Http2Upstream(Http2Connection):
    """One connection to one instance."""

    streams: dict[int, UpstreamStream]  # type: ignore[assignment]  # it makes no others

    def __init__(self, pool: "StreamPool", endpoint: Endpoint, sock: socket.socket) -> None:
        super().__init__(pool.limits, pool.buffer, client_side=True)
        self.endpoint = endpoint
        self._pool = pool
        self._sock = sock
        self._running = 0  # streams, those that are not sent yet included
        self._used = self._greeted = False
        self._idle_since_ns = pool.clock.monotonic_ns()
        rest_ns = int(pool.limits.upstream_idle_seconds * SECOND_NS)
        self._alarm = Alarm(pool.clock, rest_ns, self._deadline_ns, lambda now_ns: self.retire())
        self._alarm.set(NEVER_NS, self._idle_since_ns)

    @property
    def has_room(self) -> bool:
        """Whether it takes one more stream."""
        return (
            not self.going_away
            and not self.transport.is_closing()
            and self._running < self.h2.remote_settings.max_concurrent_streams
            and self.h2.highest_outbound_stream_id < MAX_STREAM_ID
        )

    def is_stale(self) -> bool:
        """Whether the instance closed it, also if the event loop has not noticed yet."""
        return not self._running and is_stale(self._sock)

    def new_stream(self) -> UpstreamStream:
        """A stream for one request."""
        stream = UpstreamStream(self, self._used)
        self._running += 1
        self._used = True
        return stream

    def feed(self, data: bytes) -> None:
        if not self._greeted:
            self._greeted = True
            if data[:5] == b"HTTP/":  # h2 would wait for the end of a frame of that length
                return self.broken("it speaks HTTP/1.1 on a port named h2c")
        return super().feed(data)

    def may_pump(self, stream: Stream) -> bool:
        if stream.id:
            return True
        if self.h2.open_outbound_streams >= self.h2.remote_settings.max_concurrent_streams:
            stream.on_reset(ErrorCodes.REFUSED_STREAM)  # the instance's limit was not known when it was made
            return False
        stream.id = self.h2.get_next_available_stream_id()
        self.streams[stream.id] = cast(UpstreamStream, stream)
        return True

    def on_closed(self) -> None:
        self._running -= 1
        if not self._running:
            self._idle_since_ns = self._pool.clock.monotonic_ns()
            if self.going_away:
                self.flush_soon()
                self.transport.close()

    def retire(self) -> None:
        """Take no new stream; close when there is none left."""
        self.going_away = True
        self._pool.forget(self)
        if not self._running:
            self.transport.close()

    def lose(self, reason: str | None) -> None:
        self._pool.forget(self)
        self._alarm.cancel()
        super().lose(reason)

    def _deadline_ns(self) -> int:
        idle_ns = int(self.limits.upstream_idle_seconds * SECOND_NS)
        return NEVER_NS if self._running else self._idle_since_ns + idle_ns

    def _on_head(self, event: events.ResponseReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.on_head(event.headers)

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        self.retire()
        for stream in [*self.streams.values(), *self._waiting]:
            if not stream.closed and not 0 < stream.id <= (event.last_stream_id or 0):
                stream.on_reset(ErrorCodes.REFUSED_STREAM)

    HANDLERS = Http2Connection.HANDLERS | {
        events.ResponseReceived: _on_head,
        events.InformationalResponseReceived: _on_head,
        events.ConnectionTerminated: _on_goaway,
    }


class StreamPool:
    """The connections to h2c instances; the same verbs as `UpstreamPool`, for streams."""

    def __init__(self, clock: Clock, limits: GatewayLimits, buffer: memoryview) -> None:
        self.clock = clock
        self.limits = limits
        self.buffer = buffer
        self._connections: dict[Endpoint, list[Http2Upstream]] = {}
        self._opening: dict[Endpoint, asyncio.Task[Http2Upstream]] = {}

    def take(self, endpoint: Endpoint, check: bool) -> UpstreamStream | None:
        """A stream on a connection that is open, or None; `check` as for `UpstreamPool`."""
        for connection in self._connections.get(endpoint, ()):
            if connection.has_room and not (check and connection.is_stale()):
                return connection.new_stream()
        return None

    async def connect(self, endpoint: Endpoint) -> UpstreamStream:
        """A stream on a new connection, which all who wait for one share; OSError as for `UpstreamPool`."""
        while True:
            opening = self._opening.get(endpoint)
            if opening is None:
                opening = asyncio.get_running_loop().create_task(self._open(endpoint))
                self._opening[endpoint] = opening
                opening.add_done_callback(lambda task: task.cancelled() or task.exception())
            connection = await asyncio.shield(opening)
            if connection.fault is not None:
                return connection.new_stream()  # which hears of it
            if connection.transport.is_closing():
                raise ConnectionResetError("the instance closed the connection at once")
            if connection.has_room:
                return connection.new_stream()

    async def _open(self, endpoint: Endpoint) -> Http2Upstream:
        try:
            connection = await open_connection(
                endpoint, self.limits, lambda sock: Http2Upstream(self, endpoint, sock)
            )
        finally:
            del self._opening[endpoint]
        self._connections.setdefault(endpoint, []).append(connection)
        return connection

    def forget(self, connection: Http2Upstream) -> None:
        """A connection takes no streams any more."""
        known = self._connections.get(connection.endpoint)
        if known is not None:
            if connection in known:
                known.remove(connection)
            if not known:
                del self._connections[connection.endpoint]

    def drop(self, endpoint: Endpoint) -> None:
        """An instance is gone, or its connections are old: those that are open finish what they have."""
        for connection in self._connections.pop(endpoint, []):
            connection.retire()

    def close(self) -> None:
        """Close all."""
        for task in self._opening.values():
            task.cancel()
        for endpoint in list(self._connections):
            self.drop(endpoint)
