"""A gateway between a raw client and a raw instance, both in the hands of a test.

Nothing here knows HTTP beyond where a message ends, so what a test sees is what went over the wire.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from minirun.activation.path import Endpoint, RevisionPath
from minirun.gateway.base import Destination, GatewayLimits, RequestRecord
from minirun.gateway.server import Gateway
from minirun.model.clock import SystemClock

HOST = "hello.default.example.com"
GET = b"GET / HTTP/1.1\r\nHost: hello.default.example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Message:
    """One HTTP message as it was read: its first line, its fields in order, its body without framing."""

    first_line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)

    def __getitem__(self, name: str) -> bytes:
        """The value of a field that is there once."""
        values = self.all(name)
        assert len(values) == 1, f"{name} is there {len(values)} times in {self.fields}"
        return values[0]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def all(self, name: str) -> list[bytes]:
        """The values of a field."""
        return [value for key, value in self.fields if key.lower() == name.lower().encode()]

    @property
    def status(self) -> int:
        return int(self.first_line.split()[1])


class Wire:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.trailers: list[bytes] = []

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Message:
        """Read a head."""
        lines = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        return Message(
            lines[0], [(key, value.strip()) for key, _, value in (x.partition(b":") for x in lines[1:])]
        )

    async def message(self, bodyless: bool = False) -> Message:
        """Read a head and the body that its framing announces (a response without framing: to the end)."""
        message = await self.head()
        is_response = message.first_line.startswith(b"HTTP/")
        if bodyless or (is_response and (message.status in (204, 304) or message.status < 200)):
            return message
        if "Transfer-Encoding" in message:
            while chunk := await self.chunk():
                message.chunks.append(chunk)
            message.body = b"".join(message.chunks)
        elif "Content-Length" in message:
            message.body = await self.reader.readexactly(int(message["Content-Length"]))
        elif is_response:
            message.body = await self.reader.read()
        return message

    async def chunk(self) -> bytes:
        """Read one chunk; empty is the last one, with `trailers` after it."""
        size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
        if not size:
            self.trailers = []
            while line := (await self.reader.readuntil(b"\r\n"))[:-2]:
                self.trailers.append(line)
            return b""
        return (await self.reader.readexactly(size + 2))[:-2]

    async def ask(self, data: bytes) -> Message:
        """Send a request and read its answer."""
        await self.send(data)
        return await self.message(bodyless=data.startswith(b"HEAD"))

    async def closed(self) -> bytes:
        """What still comes before the other side's end; returns when it closes (or resets)."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End with RST, not FIN."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Instance:
    """A raw server; what it does with a connection is `serve`, which a test may replace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.serve: Callable[[Wire], Awaitable[None]] = self.answer_all
        self.answer = OK
        self.requests: list[Message] = []
        self.connections = 0
        self.arrived: asyncio.Queue[tuple[Message, Wire]] = asyncio.Queue()
        self.left = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.endpoint = Endpoint(self.name, "127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.serve(Wire(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.left.set()
            writer.close()

    async def answer_all(self, wire: Wire) -> None:
        """Answer each complete request with `answer`."""
        while True:
            message = await wire.message()
            self.requests.append(message)
            await wire.send(self.answer)

    async def hand_over(self, wire: Wire) -> None:
        """Give each head, and the connection, to the test (`await arrived.get()`); stay until it closes."""
        message = await wire.head()
        self.requests.append(message)
        self.arrived.put_nowait((message, wire))
        await wire.writer.wait_closed()

    def stop(self) -> None:
        """Refuse connections from now on; those that are open stay."""
        self._server.close()

    async def close(self) -> None:
        self.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class World:
    """See the module. `configure` it before the first request."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.recorded = asyncio.Event()
        self.routed: list[tuple[str, str | None]] = []
        self.wires: list[Wire] = []
        self.limits = GatewayLimits()
        self.timeouts: dict[str, Any] = {"response_start_timeout_seconds": 30}
        self.instances: list[Instance] = []
        self.path = self.new_path(0)

    def new_path(self, container_concurrency: int) -> RevisionPath:
        clock, rng = SystemClock(), Random(1)
        return RevisionPath(
            "default", "hello-00001", container_concurrency, clock, rng, lambda path, stat: None
        )

    async def start(self) -> None:
        self.gateway = Gateway(self, SystemClock(), self.limits, self, Random(1))
        self.sockets = await self.gateway.listen("localhost", 0)
        self.addresses = {sock.family: sock.getsockname()[:2] for sock in self.sockets}
        self.instance = await self.add_instance()

    async def restart(
        self, *, limits: GatewayLimits | None = None, container_concurrency: int = 0, **timeouts: Any
    ) -> None:
        """Begin again with other settings."""
        await self.close()
        self.limits = limits or self.limits
        self.timeouts = {**self.timeouts, **timeouts}
        self.instances, self.path = [], self.new_path(container_concurrency)
        await self.start()

    async def add_instance(self, ready: bool = True) -> Instance:
        instance = Instance(f"hello-00001-{len(self.instances)}")
        await instance.start()
        self.instances.append(instance)
        if ready:
            self.ready(*self.instances)
        return instance

    def ready(self, *instances: Instance) -> None:
        """These instances are the endpoints now."""
        self.path.set_endpoints([instance.endpoint for instance in instances])

    async def close(self) -> None:
        for wire in self.wires:
            wire.reset()
        await self.gateway.close(0)
        for instance in self.instances:
            await instance.close()

    async def connect(self, family: socket.AddressFamily = socket.AF_INET) -> Wire:
        """A client."""
        host, port = self.addresses[family]
        wire = Wire(*await asyncio.open_connection(host, port))
        self.wires.append(wire)
        return wire

    async def record(self) -> RequestRecord:
        """Wait until a request is over, and take its record."""
        while not self.records:
            self.recorded.clear()
            await self.recorded.wait()
        return self.records.pop(0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until something is so; the test's own limit ends a wait in vain."""
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0)

    def route(self, host: str, tag: str | None) -> Destination | None:
        self.routed.append((host, tag))
        if not host.endswith(HOST):
            return None
        return Destination("default", "hello", "hello", "hello-00001", self.path, **self.timeouts)

    def request_done(self, record: RequestRecord) -> None:
        self.records.append(record)
        self.recorded.set()
