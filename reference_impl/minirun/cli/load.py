"""A load generator: GETs over keep-alive connections, open loop (a rate) or closed loop (a concurrency).

In the open loop a request's latency counts from the time at which it was due, so a server that stalls is
seen to stall (no coordinated omission). Latencies go into a histogram of constant size whose buckets are at
most 1 % wide. The counterpart is hey and vegeta, which Knative's own load tests use.
"""

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import cast

import httptools

from minirun.model.clock import MILLISECOND_NS, SECOND_NS, Clock, SystemClock

_STEPS = 7  # bits of a latency that are kept: 2 ** -7 < 1 %
PACE_SECONDS = 0.001
DRAIN_SECONDS = 10.0  # requests that run at the end get this long


class Latencies:
    """A streaming histogram of nanoseconds."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ns = 0
        self._buckets = [0] * (64 << _STEPS)

    def add(self, ns: int) -> None:
        shift = max(0, ns.bit_length() - _STEPS - 1)
        self._buckets[(shift << _STEPS) + (ns >> shift)] += 1
        self.count += 1
        if ns > self.max_ns:
            self.max_ns = ns

    def merge(self, other: "Latencies") -> None:
        """Adds what another histogram counted."""
        self._buckets = [a + b for a, b in zip(self._buckets, other._buckets, strict=True)]
        self.count += other.count
        self.max_ns = max(self.max_ns, other.max_ns)

    def percentile(self, percent: float) -> float:
        """Milliseconds below which `percent` of the latencies are; 0 when there are none."""
        wanted, seen = percent / 100 * self.count, 0
        for index, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                shift = max(0, (index >> _STEPS) - 1)
                ns = ((index - (shift << _STEPS)) << shift) + (1 << shift >> 1)
                return min(ns, self.max_ns) / MILLISECOND_NS
        return 0.0


@dataclass(slots=True)
class LoadResult:
    """What a load brought, readable while it runs; `cpu_share` is the generator's own, of one core."""

    statuses: Counter[int] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)  # of the header or body that is counted
    errors: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)
    seconds: float = 0.0
    cpu_share: float = 0.0

    @property
    def requests_per_second(self) -> float:
        return self.latencies.count / self.seconds if self.seconds else 0.0


@dataclass(kw_only=True, eq=False)
class Load:
    """One run of load against one address.

    Args:
        host, port: where to connect.
        host_header: the Host header; HOST:PORT if empty.
        rate: requests a second that fall due, evenly; None is the closed loop.
        connections: that many at most at once; in the closed loop each always has a request under way.
        duration_seconds: how long requests are sent.
        count_header: answers are counted by the value of this header ...
        count_body: ... or by their body (the first 200 characters).
    """

    host: str
    port: int
    host_header: str = ""
    path: str = "/"
    rate: float | None = None
    connections: int = 64
    duration_seconds: float = 10.0
    count_header: str = ""
    count_body: bool = False
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.result = LoadResult()
        self.now_ns = self.clock.monotonic_ns
        host = self.host_header or f"{self.host}:{self.port}"
        self.request = f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self.counted = self.count_header.lower().encode()
        self._due: deque[int] = deque()  # when requests that no connection was free for fell due
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._sending = True
        self._over = asyncio.Event()

    async def run(self) -> LoadResult:
        """Sends the load, waits for the last answers, and returns the result."""
        began_ns, cpu_began = self.now_ns(), time.process_time()
        await asyncio.gather(*(self._connect() for _ in range(self.connections)))
        if self.rate is None:
            await asyncio.sleep(self.duration_seconds)
        else:
            await self._pace(self.rate)
        self._sending = False
        elapsed_ns = self.now_ns() - began_ns
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._open - set(self._idle):
                    self._over.clear()
                    await self._over.wait()
        except TimeoutError:
            self.result.errors["no answer"] += len(self._open - set(self._idle))
        for connection in list(self._open):
            connection.transport.abort()
        self.result.seconds = elapsed_ns / SECOND_NS
        self.result.cpu_share = (time.process_time() - cpu_began) / (self.result.seconds or 1)
        return self.result

    async def _pace(self, rate: float) -> None:
        """Lets requests fall due, `rate` a second, until the time is over."""
        began_ns, sent = self.now_ns(), 0
        total = round(rate * self.duration_seconds)
        while sent < total:
            due = min(total, int((self.now_ns() - began_ns) / SECOND_NS * rate) + 1)
            for number in range(sent, due):
                self._due.append(began_ns + round(number / rate * SECOND_NS))
            sent = due
            while self._due and self._idle:
                self._idle.pop().send(self._due.popleft())
            await asyncio.sleep(PACE_SECONDS)
        while self._due and self._open:
            self._over.clear()
            await self._over.wait()
        self.result.errors += Counter({"not sent": len(self._due)})

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self.host, self.port
            )
        except OSError as error:
            self.result.errors[error.strerror or str(error)] += 1

    def ready(self, connection: "_Connection") -> None:
        """A connection can take a request."""
        self._open.add(connection)
        if self.rate is None and self._sending:
            connection.send(self.now_ns())
        elif self._due:
            connection.send(self._due.popleft())
        else:
            self._idle.append(connection)
        self._over.set()

    def lost(self, connection: "_Connection", busy: bool) -> None:
        """A connection ended, while a request was under way if `busy`; another takes its place."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._over.set()
        if busy:
            self.result.errors["connection closed"] += 1
        if self._sending:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)


class _Connection(asyncio.Protocol):
    """One keep-alive connection: sends the request, measures the answer."""

    transport: asyncio.Transport

    def __init__(self, load: Load) -> None:
        self._load = load
        self._due_ns = 0
        self._busy = False
        self._value = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._parser = httptools.HttpResponseParser(self)
        self._load.ready(self)

    def send(self, due_ns: int) -> None:
        self._due_ns, self._busy, self._value = due_ns, True, b""
        self.transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._load.result.errors[f"bad answer: {error}"] += 1
            self._busy = False
            self.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._load.counted and name.lower() == self._load.counted:
            self._value = value

    def on_body(self, body: bytes) -> None:
        if self._load.count_body and len(self._value) < 200:
            self._value += body

    def on_message_complete(self) -> None:
        load, result = self._load, self._load.result
        result.statuses[self._parser.get_status_code()] += 1
        result.latencies.add(load.now_ns() - self._due_ns)
        if load.count_header or load.count_body:
            result.values[self._value.decode("utf-8", "replace").strip()[:200]] += 1
        self._busy = False
        if self._parser.should_keep_alive():
            load.ready(self)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost(self, self._busy)


async def run_load(host: str, port: int, **options: object) -> LoadResult:
    """Sends a load and returns what it brought; `options` are the other fields of `Load`."""
    return await Load(host=host, port=port, **options).run()  # type: ignore[arg-type]
