"""One end of an HTTP/2 connection in a test's hands; h2 keeps its state, the test decides what is sent."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gatewayworld import HOST, Wire, World
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

Fields = list[tuple[bytes, bytes]]


def request_fields(method: str = "GET", path: str = "/", *more: tuple[str, str]) -> Fields:
    """The header list of a request for the world's service."""
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", HOST), *more]
    return [(name.encode(), value.encode()) for name, value in fields]


@dataclass
class Received:
    """What came on one stream."""

    fields: Fields = field(default_factory=list)
    interim: list[Fields] = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    def __getitem__(self, name: str) -> bytes:
        values = [value for key, value in self.fields if key == name.encode()]
        assert len(values) == 1, f"{name} is there {len(values)} times in {self.fields}"
        return values[0]

    @property
    def status(self) -> int:
        return int(self[":status"])


class Http2Wire:
    """See the module. `taking` is whether it gives credit for data that comes."""

    def __init__(self, wire: Wire, client_side: bool = True, taking: bool = True) -> None:
        self.wire = wire
        self.taking = taking
        config = H2Configuration(client_side=client_side, validate_outbound_headers=False)
        self.h2 = H2Connection(config)
        self.streams: dict[int, Received] = {}
        self.goaways: list[int] = []
        self.over = False
        self.h2.initiate_connection()

    @classmethod
    async def connect(cls, world: World, taking: bool = True) -> "Http2Wire":
        """A client of the gateway."""
        made = cls(await world.connect(), taking=taking)
        await made.send()
        return made

    async def send(self) -> None:
        """Send what h2 has prepared."""
        self.wire.writer.write(self.h2.data_to_send())
        await self.wire.writer.drain()

    async def request(self, fields: Fields | None = None, body: bytes | None = None, end: bool = True) -> int:
        """Send a request, of which `body` is at least the beginning; its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields or request_fields(), end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        await self.send()
        return stream

    async def step(self) -> None:
        """Read once, answer what the protocol wants answered."""
        data = await self.wire.reader.read(65536)
        if not data:
            self.over = True
            return
        for event in self.h2.receive_data(data):
            self._note(event)
        if not self.goaways:  # after one h2 would not send any more
            await self.send()

    def _note(self, event: events.Event) -> None:
        if isinstance(event, events.ConnectionTerminated):
            self.goaways.append(int(event.error_code or 0))
            return
        stream = self.streams.setdefault(getattr(event, "stream_id", 0), Received())
        match event:
            case events.RequestReceived() | events.ResponseReceived():
                stream.fields = list(event.headers)
            case events.InformationalResponseReceived():
                stream.interim.append(list(event.headers))
            case events.DataReceived():
                stream.body += event.data
                if self.taking:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.TrailersReceived():
                stream.trailers = list(event.headers)
            case events.StreamEnded():
                stream.ended = True
            case events.StreamReset():
                stream.reset = int(event.error_code)

    async def until(self, condition: Callable[[], object]) -> None:
        """Read until something is so."""
        while not condition():
            assert not self.over, "the connection ended before"
            await self.step()

    async def answer(self, stream: int) -> Received:
        """What comes on a stream until it ends."""
        await self.until(lambda: stream in self.streams and self._is_over(self.streams[stream]))
        return self.streams[stream]

    @staticmethod
    def _is_over(received: Received) -> bool:
        return received.ended or received.reset is not None

    async def ask(self, fields: Fields | None = None, body: bytes | None = None) -> Received:
        """Send a request and read its answer."""
        return await self.answer(await self.request(fields, body))

    async def closed(self) -> None:
        """Read until the other side closes."""
        while not self.over:
            try:
                await self.step()
            except ConnectionError:
                self.over = True


def http2_server(
    handle: Callable[[Http2Wire, int, Received], Awaitable[None]], connections: list[Http2Wire] | None = None
) -> Callable[[Wire], Awaitable[None]]:
    """What an instance does with a connection: speak HTTP/2, and `handle` each stream from its head on."""

    async def serve(wire: Wire) -> None:
        peer = Http2Wire(wire, client_side=False)
        if connections is not None:
            connections.append(peer)
        await peer.send()
        seen: set[int] = set()
        async with asyncio.TaskGroup() as tasks:
            while not peer.over:
                await peer.step()
                for stream, received in list(peer.streams.items()):
                    if stream and received.fields and stream not in seen:
                        seen.add(stream)
                        tasks.create_task(handle(peer, stream, received))

    return serve


async def echo(peer: Http2Wire, stream: int, received: Received) -> None:
    """Answer with the request's body, as it was when it ended."""
    while not received.ended:  # noqa: ASYNC110 - the reader of this connection sets no event
        await asyncio.sleep(0)
    length = (b"content-length", b"%d" % len(received.body))
    peer.h2.send_headers(stream, [(b":status", b"200"), length], end_stream=not received.body)
    if received.body:
        peer.h2.send_data(stream, received.body, end_stream=True)
    await peer.send()
