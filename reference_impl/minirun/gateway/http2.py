"""HTTP/2 on one connection, whichever side of it we are: streams, flow control, limits and the end.

h2 knows frames and states. Here is what it leaves to its user. Going out, a stream keeps at most
`write_buffer_bytes` beyond what the peer's windows take, and says so (`write_paused`), which stops its
source. Coming in, bytes are passed on at once, and the peer gets new credit for a stream only while the other
end takes them; the connection's own window is always opened again, so that one slow stream holds up no other.
What was gathered is sent once for each turn of the loop. Counterpart: Go's http2 server and transport.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, cast

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame

from minirun.gateway.base import GatewayLimits
from minirun.gateway.http2_heads import Field, fields_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM_WINDOW_BYTES = 65_535  # the default of RFC 9113
CONNECTION_WINDOW_BYTES = 1024 * 1024
UNSENT_BYTES = 256 * 1024  # answers to PING and SETTINGS of a peer that reads nothing
UNLIMITED = 2**31 - 1


class Engine(H2Connection):
    """h2, but for one thing: streams that run may finish after a GOAWAY (RFC 9113 section 6.8)."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[events.Event]]:
        event = events.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class Stream:
    """One stream of one connection; its id is 0 until it is sent. Subclasses are told what comes in."""

    connection: "Http2Connection"
    ended = False  # nothing is written any more, though it may not be sent yet
    sent_end = received_end = closed = False
    write_paused = False
    holding = False  # give the peer no credit: what it sends is not taken

    def __init__(self, connection: "Http2Connection", stream_id: int = 0) -> None:
        self.connection = connection
        self.id = stream_id
        self._heads: deque[list[Field]] = deque()  # interim ones, and then, with `_begun`, the one
        self._begun = False
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._trailers: Sequence[bytes] = ()
        self._credit = 0

    # ---- what comes in

    def on_data(self, data: bytes) -> None: ...
    def on_trailers(self, fields: list[Field]) -> None: ...
    def on_end(self) -> None: ...
    def on_reset(self, code: int) -> None: ...
    def on_lost(self, reason: str | None) -> None: ...
    def on_writable(self) -> None: ...

    def received(self, data: bytes, credit: int) -> None:
        """Data came, which took `credit` off the window."""
        self._credit += credit
        if data:
            self.on_data(data)
        self.give_credit()

    def give_credit(self) -> None:
        """Open the peer's window again, unless what it sends is not taken now."""
        if self._credit > STREAM_WINDOW_BYTES // 2 and not self.holding:
            self.connection.send_soon(self)

    # ---- what goes out

    def begin(self, fields: list[Field]) -> None:
        """Send the head."""
        self._begun = True
        self.interim_fields(fields)

    def interim_fields(self, fields: list[Field]) -> None:
        """Send a head that is not the last one."""
        self._heads.append(fields)
        self.connection.send_soon(self)

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if data and not self.closed:
            self._out.append(data)
            self._out_bytes += len(data)
            self.connection.send_soon(self)
            self.update_writable()

    def finish(self, trailers: Sequence[bytes]) -> None:
        """Send the end."""
        self.ended, self._trailers = True, trailers
        self.connection.send_soon(self)

    def reset(self, code: ErrorCodes) -> None:
        """End it at once, in both directions."""
        if not self.closed:
            if self.id:
                with suppress(StreamClosedError):  # the peer was quicker
                    self.connection.h2.reset_stream(self.id, code)
                self.connection.flush_soon()
            self.connection.close_stream(self)

    def pump(self) -> None:
        """Give h2 what the windows take."""
        h2 = self.connection.h2
        if self._credit > STREAM_WINDOW_BYTES // 2 and not (self.holding or self.received_end):
            h2.increment_flow_control_window(self._credit, self.id)
            self._credit = 0
        while self._heads:
            fields = self._heads.popleft()
            h2.send_headers(self.id, fields, self._begun and not self._heads and self._is_last())
        while self._out:
            room = min(h2.local_flow_control_window(self.id), h2.max_outbound_frame_size)
            if room <= 0:
                break
            data = self._out.popleft()
            if len(data) > room:
                self._out.appendleft(data[room:])
                data = data[:room]
            self._out_bytes -= len(data)
            h2.send_data(self.id, data, self._is_last())
        if self.ended and not self._out and not self.sent_end:
            self.sent_end = True
            if self._trailers:
                h2.send_headers(self.id, fields_of(self._trailers), True)
            else:
                h2.end_stream(self.id)
        self.update_writable()
        if self.sent_end:
            self.on_sent()

    def on_sent(self) -> None:
        """All is sent."""
        if self.received_end:
            self.connection.close_stream(self)

    def _is_last(self) -> bool:
        """Whether the frame that is sent now is the last one, and takes the end along."""
        self.sent_end = self.ended and not self._out and not self._trailers
        return self.sent_end

    @property
    def is_blocked(self) -> bool:
        """Whether it has more than the windows took."""
        return bool(self._out)

    def update_writable(self) -> None:
        """Tell the source when it should stop or may go on."""
        paused = self._out_bytes > self.connection.limits.write_buffer_bytes or self.connection.write_paused
        if paused is not self.write_paused:
            self.write_paused = paused
            self.on_writable()


class Http2Connection(asyncio.BufferedProtocol):
    """One connection. `buffer`, which it shares with others, is where its bytes are read to."""

    transport: asyncio.Transport
    write_paused = False
    going_away = False  # no stream may be opened any more
    fault: str | None = None  # how the peer broke the protocol

    def __init__(self, limits: GatewayLimits, buffer: memoryview, client_side: bool) -> None:
        self.limits = limits
        self.streams: dict[int, Stream] = {}
        self.h2 = Engine(
            H2Configuration(
                client_side=client_side,
                header_encoding=None,
                validate_inbound_headers=False,  # `http2_heads` does, and a bad one ends a stream, not all
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._buffer = buffer
        self._waiting: dict[Stream, None] = {}  # those with something to send, in the order in which it came
        self._flush: asyncio.Handle | None = None
        self._credit = 0

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.transport.set_write_buffer_limits(self.limits.write_buffer_bytes)
        h2, client_side = self.h2, self.h2.config.client_side
        h2.local_settings = Settings(
            client=client_side,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: self.limits.concurrent_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: self.limits.head_bytes,
            },
        )
        h2.decoder.max_header_list_size = 2 * self.limits.head_bytes  # up to this it is 431, not the end
        h2.initiate_connection()
        # h2 ends the connection of who opens too many streams; we refuse the stream, as RFC 9113 says
        h2.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = UNLIMITED
        h2.local_settings.acknowledge()
        h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - STREAM_WINDOW_BYTES)
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.feed(bytes(self._buffer[:nbytes]))

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        try:
            happened = self.h2.receive_data(data)
        except ProtocolError as error:
            self.broken(str(error))
            return
        for event in happened:
            handle = self.HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)
        self.batch_done()
        self.flush()

    def batch_done(self) -> None:
        """All that was read is dealt with."""

    def pause_writing(self) -> None:
        self.write_paused = True
        self._update_writable()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.flush()
        self._update_writable()

    def _update_writable(self) -> None:
        for stream in list(self.streams.values()):
            stream.update_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose(None)

    def lose(self, reason: str | None) -> None:
        """Nothing more goes either way; `reason` says what the peer did wrong, if it did."""
        self.going_away, self.fault = True, self.fault or reason
        for stream in [*self.streams.values(), *self._waiting]:
            if not stream.closed:
                stream.closed = True
                stream.on_lost(reason)
        self.streams.clear()
        self._waiting.clear()

    def broken(self, reason: str) -> None:
        """The peer broke the protocol: say so (h2 has prepared a GOAWAY) and close."""
        self.transport.write(self.h2.data_to_send())
        self.transport.close()
        self.lose(reason)

    # ---- streams

    def send_soon(self, stream: Stream) -> None:
        """Send what `stream` has when this turn of the loop is over."""
        if not stream.closed:
            self._waiting[stream] = None
            self.flush_soon()

    def flush_soon(self) -> None:
        """Send what h2 has prepared when this turn of the loop is over."""
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send what there is, as far as peer and transport take it."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        while self._waiting and not self.write_paused:
            stream = next(iter(self._waiting))
            del self._waiting[stream]
            if self.may_pump(stream):
                stream.pump()
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)
            if self.transport.get_write_buffer_size() > UNSENT_BYTES:
                self.transport.abort()  # it asks and reads nothing

    def may_pump(self, stream: Stream) -> bool:
        """Whether `stream`, which is about to send, can."""
        return True

    def close_stream(self, stream: Stream) -> None:
        """A stream is over in both directions."""
        if not stream.closed:
            stream.closed = True
            self._waiting.pop(stream, None)
            self.streams.pop(stream.id, None)
            self.on_closed()

    def on_closed(self) -> None:
        """There is one stream less."""

    def go_away(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Tell the peer that no new stream is served; those that run go on."""
        self.going_away = True
        frame = GoAwayFrame(0, last_stream_id=self.h2.highest_inbound_stream_id, error_code=code)
        self.flush()
        self.transport.write(frame.serialize())  # h2's own would end all streams

    # ---- h2's events

    def _on_data(self, event: events.DataReceived) -> None:
        self._credit += event.flow_controlled_length
        if self._credit > CONNECTION_WINDOW_BYTES // 2:
            self.h2.increment_flow_control_window(self._credit)
            self._credit = 0
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.received(event.data, event.flow_controlled_length)

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        if (stream := self.streams.get(event.stream_id)) is not None:
            stream.on_trailers(event.headers)

    def _on_end(self, event: events.StreamEnded) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.received_end = True
            stream.on_end()
            if stream.sent_end:
                self.close_stream(stream)

    def _on_reset(self, event: events.StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            self.close_stream(stream)
            stream.on_reset(event.error_code)

    def _on_window(self, event: events.WindowUpdated) -> None:
        stream = self.streams.get(event.stream_id)
        for each in [stream] if stream else self._blocked() if not event.stream_id else []:
            self._waiting[each] = None

    def _on_settings(self, event: events.RemoteSettingsChanged) -> None:
        self._waiting.update(dict.fromkeys(self._blocked()))

    def _blocked(self) -> list[Stream]:
        return [stream for stream in self.streams.values() if stream.is_blocked]

    HANDLERS: ClassVar[dict[type[events.Event], Callable[[Any, Any], None]]] = {
        events.DataReceived: _on_data,
        events.TrailersReceived: _on_trailers,
        events.StreamEnded: _on_end,
        events.StreamReset: _on_reset,
        events.WindowUpdated: _on_window,
        events.RemoteSettingsChanged: _on_settings,
    }
