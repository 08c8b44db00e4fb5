"""A client's HTTP/2 connection: an `Exchange` for each stream, as many at a time as the limits say.

Clients speak it with prior knowledge, on the port of HTTP/1.1. Who opens streams only to reset them (rapid
reset, CVE-2023-44487) or asks and never reads is told to calm down, and cut off. Counterpart: Envoy's HTTP/2
codec in Kourier.
"""

import asyncio
from collections.abc import Sequence

from h2 import events
from h2.errors import ErrorCodes

from minirun.gateway.alarm import NEVER_NS, Alarm
from minirun.gateway.exchange import Context, Exchange
from minirun.gateway.heads import Refusal, RefusedError, RequestHead, ResponseHead, request_role
from minirun.gateway.http2 import Http2Connection, Stream
from minirun.gateway.http2_heads import Field, request_of, response_fields, trailers_of
from minirun.model.clock import SECOND_NS

PREMATURE_NS = SECOND_NS  # a stream that its client resets within it was hardly meant


class ClientStream(Stream):
    """One request of an HTTP/2 client; implements `ClientSide`."""

    connection: "Http2ClientConnection"
    exchange: Exchange | None = None
    began_ns = 0
    _trailers_in: Sequence[bytes] = ()

    @property
    def remote_ip(self) -> str:
        """The client's address."""
        return self.connection.remote_ip

    @property
    def reading_paused(self) -> bool:
        """Whether the client gets no credit for more of its body."""
        return self.holding

    def open(self, context: Context, fields: list[Field], ended: bool, now_ns: int) -> None:
        """A request came; its exchange is started when all that was read with it is dealt with."""
        self.began_ns = now_ns
        try:
            head = request_of(fields, ended, context.limits)
        except RefusedError as error:
            self._refuse(error.refusal, False)
            self.on_done()
        except ValueError:
            self.reset(ErrorCodes.PROTOCOL_ERROR)
        else:
            self.exchange = Exchange(context, self, head, now_ns)

    # ---- the client's side of the exchange

    def on_data(self, data: bytes) -> None:
        if self.exchange is not None:
            self.exchange.request_body(data)
            self.holding = self.exchange.holds_client

    def on_trailers(self, fields: list[Field]) -> None:
        try:
            self._trailers_in = trailers_of(fields, request_role)
        except ValueError:
            self.reset(ErrorCodes.PROTOCOL_ERROR)
            self._cancel()

    def on_end(self) -> None:
        if self.exchange is not None:
            self.exchange.request_end(self._trailers_in)

    def on_reset(self, code: int) -> None:
        self.connection.judge_reset(self)
        self._cancel()

    def on_lost(self, reason: str | None) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self.exchange is not None:
            self.exchange.cancel()

    def on_writable(self) -> None:
        if self.exchange is not None:
            self.exchange.client_writable()

    # ---- the exchange's side

    def go_on(self) -> None:
        """Tell a client that waits for it that its body is wanted."""
        self.interim_fields([(b":status", b"100")])

    def interim(self, head: ResponseHead, request: RequestHead) -> None:
        """Pass an interim answer on."""
        self.interim_fields(response_fields(head))

    def answer(self, head: ResponseHead, request: RequestHead) -> bool:
        """Begin the answer; other requests always may follow."""
        self.begin(response_fields(head))
        return True

    def refuse(self, refusal: Refusal, request: RequestHead, keep_alive: bool) -> bool:
        """Answer with an error."""
        self._refuse(refusal, request.method == b"HEAD")
        return True

    def _refuse(self, refusal: Refusal, without_body: bool) -> None:
        body = refusal.body
        self.begin(
            [
                (b":status", b"%d" % refusal.status),
                (b"content-type", refusal.content_type.encode()),
                (b"content-length", b"%d" % len(body)),
                *((name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers),
            ]
        )
        self.write(b"" if without_body else body)
        self.finish(())

    def flush(self) -> None:
        """The connection sends when the turn of the loop is over."""

    def update_reading(self) -> None:
        """Give the client credit, or none: backpressure."""
        self.holding = self.exchange is not None and self.exchange.holds_client
        self.give_credit()

    def arm(self, deadline_ns: int, now_ns: int) -> None:
        """Make sure that the exchange is looked at by then."""
        self.connection.alarm.set(deadline_ns, now_ns)

    def exchange_done(self, keep_alive: bool, now_ns: int) -> None:
        """The exchange is over; what it wrote may still have to be sent."""
        self.exchange = None
        self.connection.idle_since_ns = now_ns
        if self.ended:
            self.on_done()
        else:
            self.reset(ErrorCodes.INTERNAL_ERROR)

    def on_done(self) -> None:
        """Nothing that comes now is wanted."""
        self.holding = True

    def on_sent(self) -> None:
        """The answer is sent; a body that still comes is not wanted (RFC 9113 section 8.1)."""
        if self.received_end:
            self.connection.close_stream(self)
        elif self.exchange is None:
            self.reset(ErrorCodes.NO_ERROR)

    def abort(self) -> None:
        """End it at once."""
        self.reset(ErrorCodes.INTERNAL_ERROR)

    def start_tunnel(self) -> bytes:
        """Never called: a request in HTTP/2 has no upgrade."""
        raise AssertionError("HTTP/2 has no upgrade")

    def write_eof(self) -> None:
        """Never called, as above."""
        raise AssertionError("HTTP/2 has no upgrade")


class Http2ClientConnection(Http2Connection):
    """See the module."""

    streams: dict[int, ClientStream]  # type: ignore[assignment]  # it makes no others

    def __init__(self, context: Context) -> None:
        super().__init__(context.limits, context.pool.buffer, client_side=False)
        self.remote_ip = ""
        self.idle_since_ns = context.clock.monotonic_ns()
        self._context = context
        self._new: list[ClientStream] = []
        self._opened = self._premature = 0
        rest_ns = int(context.limits.keep_alive_seconds * SECOND_NS)
        self.alarm = Alarm(context.clock, rest_ns, self._deadline_ns, self._expire)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.remote_ip = (transport.get_extra_info("peername") or ("",))[0]
        self._context.clients.add(self)
        self.alarm.set(self._deadline_ns(), self.idle_since_ns)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.alarm.cancel()
        self._context.left(self)

    def _on_request(self, event: events.RequestReceived) -> None:
        self._opened += 1
        stream = self.streams[event.stream_id] = ClientStream(self, event.stream_id)
        if self.going_away or len(self.streams) > self.limits.concurrent_streams:
            stream.reset(ErrorCodes.REFUSED_STREAM)
            return
        now_ns = self._context.clock.monotonic_ns()
        stream.open(self._context, event.headers, event.stream_ended is not None, now_ns)
        self._new.append(stream)

    def batch_done(self) -> None:
        new, self._new = self._new, []
        for stream in new:
            if stream.exchange is not None:
                stream.exchange.start()

    def judge_reset(self, stream: ClientStream) -> None:
        """Count a stream that its client ended; more than half of many, at once, is an attack."""
        if self._context.clock.monotonic_ns() - stream.began_ns < PREMATURE_NS:
            self._premature += 1
        many = self.limits.premature_resets
        if self._premature >= many and 2 * self._premature > self._opened:
            self.go_away(ErrorCodes.ENHANCE_YOUR_CALM)
            self.transport.close()
        elif self._opened >= 4 * many:  # judge by what it did lately
            self._opened, self._premature = self._opened // 2, self._premature // 2

    # ---- the end

    def on_closed(self) -> None:
        if self.going_away and not self.streams:
            self.flush()
            self.transport.close()

    def close_if_idle(self) -> None:
        """Serve no new request, and close when those that run are done."""
        self.go_away()
        if not self.streams:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def _deadline_ns(self) -> int:
        running = [stream.exchange.deadline_ns() for stream in self.streams.values() if stream.exchange]
        keep_alive_ns = int(self.limits.keep_alive_seconds * SECOND_NS)
        return min(running) if running else self.idle_since_ns + keep_alive_ns

    def _expire(self, now_ns: int) -> None:
        exchanges = [stream.exchange for stream in self.streams.values() if stream.exchange]
        for exchange in exchanges:
            if exchange.deadline_ns() <= now_ns:
                exchange.expire()
        if not exchanges:
            self.go_away()
            self.transport.close()
        elif (deadline_ns := self._deadline_ns()) < NEVER_NS:
            self.alarm.set(deadline_ns, now_ns)

    HANDLERS = Http2Connection.HANDLERS | {events.RequestReceived: _on_request}
