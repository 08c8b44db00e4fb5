"""A client's HTTP/1.1 connection: parse requests, serve them one by one and in order, write what comes back.

Requests that were sent ahead (pipelining) are parsed, but nothing more is read until they are served; so a
client holds at most one read buffer of them. Reading also stops while the instance is slower than the client.
A connection that begins with HTTP/2's preface is handed on to `Http2ClientConnection`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import cast

import httptools

from minirun.gateway.alarm import Alarm
from minirun.gateway.client_http2 import Http2ClientConnection
from minirun.gateway.exchange import Context, Exchange
from minirun.gateway.heads import (
    Headers,
    Refusal,
    RefusedError,
    RequestHead,
    ResponseHead,
    chunk,
    client_head,
    error_response,
    last_chunk,
    request_head,
    request_role,
)
from minirun.gateway.http2 import PREFACE
from minirun.model.clock import SECOND_NS

PREFACE_SEEN = "Pause on PRI/Upgrade"  # llhttp's words

logger = logging.getLogger("minirun.gateway")


def refusal_of(error: httptools.HttpParserError) -> Refusal:
    """What the client is told about a request that could not be parsed."""
    if isinstance(error.__context__, RefusedError):
        return error.__context__.refusal
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return Refusal(400, "the request does not begin with a method that HTTP/1.1 knows")
    reason = str(error)
    if "HTTP version" in reason or "HTTP/2" in reason or "PRI" in reason:
        return Refusal(505, "only HTTP/1.1 and HTTP/1.0 are served on this port")
    return Refusal(400, f"the request is not valid HTTP/1.1: {reason}")


class ClientConnection(asyncio.BufferedProtocol):
    """See the module; implements `ClientSide`."""

    transport: asyncio.Transport

    def __init__(self, context: Context) -> None:
        self.remote_ip = ""
        self.write_paused = self.reading_paused = False
        self._context = context
        self._limits = context.limits
        self._current: Exchange | None = None
        self._queue: deque[Exchange | Refusal] = deque()  # behind the current one, in the order of arrival
        self._receiving: Exchange | None = None
        self._fresh = True  # no request was parsed yet
        self._last_request = False  # nothing that comes after it is parsed
        self._out: list[bytes] = []
        self._held: bytearray | None = None  # what follows a request to upgrade, until that is answered
        self._tunnel = self._pumping = self._chunked = False
        self._headers = Headers(request_role)
        self.on_header = self._headers.add  # bound here: llhttp calls it without a hop
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._silent_bytes = 0  # since the last head or body byte: bounds heads, trailers, chunk sizes
        self._idle_since_ns = context.clock.monotonic_ns()
        self._head_since_ns = 0  # 0: no head is half received
        self._closing_until_ns = 0  # 0: not closing
        rest_ns = int(self._limits.keep_alive_seconds * SECOND_NS)
        self._alarm = Alarm(context.clock, rest_ns, self._deadline_ns, self._expire)
        self.arm = self._alarm.set

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.transport.set_write_buffer_limits(self._limits.write_buffer_bytes)
        self.remote_ip = (transport.get_extra_info("peername") or ("",))[0]
        self._context.clients.add(self)
        self.arm(self._deadline_ns(), self._idle_since_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        self._context.left(self)
        self._queue.clear()
        if self._current is not None:
            self._current.cancel()
        self._alarm.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._context.pool.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self._context.pool.buffer[:nbytes]
        if self._tunnel and self._current is not None:
            self._current.tunnel_from_client(bytes(data))
        elif self._held is not None:
            self._held += data
        elif not self._closing_until_ns:
            self._feed(data)
        self.update_reading()

    def eof_received(self) -> bool:
        """The client sent its last byte; outside a tunnel that is what one that left looks like."""
        if self._tunnel and self._current is not None:
            self._current.client_eof()
            return True
        if self._current is not None:
            self._current.cancel()
        return False

    def pause_writing(self) -> None:
        self.write_paused = True
        if self._current is not None:
            self._current.client_writable()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._current is not None:
            self._current.client_writable()
        self._pump()
        self.update_reading()

    # ---- the parser's side

    def _feed(self, data: memoryview | bytes) -> None:
        if self._last_request and self._receiving is None:
            return
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserError as error:
            if str(error) == PREFACE_SEEN and self._fresh:
                self._speak_http2(data)
                return
            if not self._last_request or self._receiving is not None:
                self._refuse(refusal_of(error))
        if self._silent_bytes > self._limits.head_bytes:
            self._refuse(Refusal(431, f"the request's head is longer than {self._limits.head_bytes} bytes"))
        elif self._silent_bytes and self._receiving is None and not self._head_since_ns:
            self._head_since_ns = self._context.clock.monotonic_ns()
            self.arm(self._deadline_ns(), self._head_since_ns)
        self._pump()

    def _speak_http2(self, data: memoryview | bytes) -> None:
        """The preface is complete; what follows it, and all that comes, is for another protocol."""
        rest = bytes(data[len(PREFACE) - (self._silent_bytes - len(data)) :])
        successor = Http2ClientConnection(self._context)
        self._alarm.cancel()
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        self._context.clients.discard(self)
        successor.feed(PREFACE + rest)

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.uri_bytes:
            raise RefusedError(414, f"the request target is longer than {self._limits.uri_bytes} bytes")

    def on_headers_complete(self) -> None:
        headers, limits, url, self._url = self._headers, self._limits, self._url, b""
        lines, read, count, size = headers.lines, headers.read, headers.count, headers.size + len(url)
        headers.clear()
        self._silent_bytes = self._head_since_ns = 0
        self._fresh = False
        if self._receiving is not None:
            return  # the head that `_after_upgrade` made up
        if count > limits.header_count or size > limits.head_bytes:
            raise RefusedError(
                431, f"a head may have {limits.header_count} fields and {limits.head_bytes} bytes"
            )
        parser = self._parser
        head = request_head(parser.get_method(), url, parser.get_http_version(), lines, read)
        self._receiving = exchange = Exchange(self._context, self, head, self._context.clock.monotonic_ns())
        self._queue.append(exchange)

    def on_body(self, data: bytes) -> None:
        self._silent_bytes = 0
        if self._receiving is not None:
            self._receiving.request_body(data)

    def on_message_complete(self) -> None:
        exchange = self._receiving
        if exchange is None or self._parser.should_upgrade():
            return  # llhttp ends a request to upgrade with its head; `_after_upgrade` knows better
        self._receiving = None
        self._silent_bytes = 0
        trailers: Sequence[bytes] = ()
        if self._headers.count:
            trailers = self._headers.lines
            self._headers.clear()
        self._last_request = not exchange.head.keep_alive
        exchange.request_end(trailers)

    def _after_upgrade(self, rest: bytes) -> None:
        """llhttp leaves HTTP after a request to upgrade; go back where that may not be, or a body follows."""
        exchange = self._receiving
        if exchange is None:
            return
        head = exchange.head
        if head.upgrade is not None:
            self._held = bytearray(rest)
        self._parser = httptools.HttpRequestParser(self)
        if head.chunked or head.length:
            length = b"Content-Length: %d" % head.length if head.length else b"Transfer-Encoding: chunked"
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % length)
        else:
            self.on_message_complete()
        if self._held is None:
            self._feed(rest)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with an error, after the answers that are due before it, and parse nothing more."""
        if refusal.status == 405:
            logger.warning("%s sent CONNECT, which is not served", self.remote_ip)
        broken, self._receiving, self._last_request = self._receiving, None, True
        self._silent_bytes = self._head_since_ns = 0
        if broken is not None and broken is self._current:
            broken.refuse(refusal)
            return
        if broken is not None:
            self._queue.pop()  # it is the last one
        self._queue.append(refusal)

    # ---- one request after the other

    def _pump(self) -> None:
        """Serve what is next. A loop, since an exchange may be over when `start` returns."""
        if self._pumping:
            return
        self._pumping = True
        while self._current is None and self._queue and not self.write_paused and not self._closing_until_ns:
            item = self._queue.popleft()
            if isinstance(item, Refusal):
                self.transport.write(error_response(item, False, False))
                self._shut(True, self._context.clock.monotonic_ns())
            else:
                self._current = item
                item.start()
        self._pumping = False

    def exchange_done(self, keep_alive: bool, now_ns: int) -> None:
        """The current exchange is over; `keep_alive` says whether another request may follow."""
        exchange, self._current = self._current, None
        self._idle_since_ns = now_ns
        if not keep_alive:
            sure = exchange is not None and exchange.received and not exchange.head.keep_alive
            self._shut(not sure and not self._tunnel, now_ns)
            return
        if self._head_since_ns:
            self._head_since_ns = now_ns
            self.arm(self._deadline_ns(), now_ns)
        if self._held is not None and not self._queue:
            rest, self._held = bytes(self._held), None  # the upgrade was declined: these are requests
            self._feed(rest)
        self._pump()
        if self.reading_paused:
            self.update_reading()

    def start_tunnel(self) -> bytes:
        """From now on bytes pass as they are; those that came already."""
        rest, self._held, self._tunnel = self._held or b"", None, True
        return bytes(rest)

    def go_on(self) -> None:
        """Tell a client that waits for it that its body is wanted."""
        self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.flush()

    def interim(self, head: ResponseHead, request: RequestHead) -> None:
        """Pass an interim answer on, to those who know what it is."""
        if not request.http_1_0:
            self._out.append(client_head(head, False, False, True))

    def answer(self, head: ResponseHead, request: RequestHead) -> bool:
        """Begin the answer to `request`; whether another request may follow on this connection."""
        http_1_0, framed = request.http_1_0, head.length is not None or head.bodyless
        self._chunked = not framed and not http_1_0
        keep_alive = request.keep_alive and not self._context.draining and (framed or self._chunked)
        chunked = self._chunked or (head.chunked and not http_1_0 and request.method == b"HEAD")
        self._out.append(client_head(head, chunked, http_1_0, keep_alive))
        return keep_alive

    def refuse(self, refusal: Refusal, request: RequestHead, keep_alive: bool) -> bool:
        """Answer with an error; whether another request may follow."""
        keep_alive = keep_alive and request.keep_alive and not request.http_1_0 and not self._context.draining
        self._out.append(error_response(refusal, keep_alive, request.method == b"HEAD"))
        self.flush()
        return keep_alive

    def write(self, data: bytes) -> None:
        """Gather a piece of the answer's body, or of what passes through a tunnel."""
        self._out.append(chunk(data) if self._chunked else data)

    def finish(self, trailers: Sequence[bytes]) -> None:
        """The answer is complete."""
        if self._chunked:
            self._out.append(last_chunk(trailers))
        self.flush()

    def flush(self) -> None:
        """Send what was gathered, in one piece."""
        out = self._out
        if out and not self.transport.is_closing():
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def write_eof(self) -> None:
        """Send the last byte."""
        if not self.transport.is_closing():
            self.transport.write_eof()

    def update_reading(self) -> None:
        """Read the client, or stop: backpressure."""
        held, current = self._held, self._current
        pause = not self._closing_until_ns and (
            bool(self._queue)
            or (current is not None and current.holds_client)
            or (held is not None and len(held) > self._limits.waiting_body_bytes)
        )
        if pause is not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def close_if_idle(self) -> None:
        """Close at once if no request is being served (one that is closes when it is done)."""
        if self._current is None and not self._queue:
            self.transport.close()

    def _shut(self, linger: bool, now_ns: int) -> None:
        """Send what is due and close; linger where bytes may come, or closing would lose the answer."""
        self._queue.clear()
        seconds = self._limits.linger_seconds if linger else self._limits.keep_alive_seconds
        self._closing_until_ns = now_ns + int(seconds * SECOND_NS)
        if self.transport.is_closing():
            return
        if linger:
            self.transport.write_eof()
            self.update_reading()
        else:
            self.transport.close()
        self.arm(self._closing_until_ns, now_ns)

    # ---- time

    def _deadline_ns(self) -> int:
        if self._closing_until_ns:
            return self._closing_until_ns
        if self._current is not None:
            return self._current.deadline_ns()
        if self._head_since_ns:
            return self._head_since_ns + int(self._limits.head_timeout_seconds * SECOND_NS)
        return self._idle_since_ns + int(self._limits.keep_alive_seconds * SECOND_NS)

    def _expire(self, now_ns: int) -> None:
        if self._closing_until_ns or (self._current is None and not self._head_since_ns):
            self.abort()
        elif self._current is not None:
            self._current.expire()
        else:
            seconds = self._limits.head_timeout_seconds
            self._refuse(Refusal(408, f"the request's head did not come within {seconds:g} seconds"))
            self._pump()
