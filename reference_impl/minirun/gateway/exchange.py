"""One request and its answer: route, take a slot, forward, stream back, and always give the slot back.

    start ─ slot and idle connection at hand ──────────────► forwarding ─ head ─► answering ─► done
      └──── none: a task waits and connects (`_obtain`) ──────┘   │ lost                        ▲
                     ▲                                            └ `may_retry` ┐               │
                     └──────────────────────────────────────────────────────────┘── 502, 503, 504

It owns no socket: bytes come from and go to a `ClientSide` and an `UpstreamConnection`. Counterparts: the
activator's handler, queue-proxy's proxy and timeout handlers (pkg/activator/handler, pkg/http/handler).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from minirun.activation.path import ActivationTimeout, Endpoint, Lease, QueueFull
from minirun.gateway.alarm import NEVER_NS
from minirun.gateway.base import Destination, GatewayLimits, Observer, RequestRecord, Router
from minirun.gateway.heads import (
    SAFE_METHODS,
    Refusal,
    RequestHead,
    ResponseHead,
    forwarded_fields,
    grpc_refusal,
)
from minirun.gateway.upstream import ResponseSink, UpstreamPool
from minirun.gateway.upstream_http2 import StreamPool
from minirun.model.clock import SECOND_NS, Clock

logger = logging.getLogger("minirun.gateway")

CLIENT_GONE = 499  # what access logs say, since nginx, when nobody was there to be answered


class ClientSide(Protocol):
    """Where the answer goes, whatever HTTP it speaks. `write` may gather; `flush` sends."""

    @property
    def remote_ip(self) -> str: ...
    @property
    def write_paused(self) -> bool: ...
    @property
    def reading_paused(self) -> bool: ...

    def go_on(self) -> None: ...
    def interim(self, head: ResponseHead, request: RequestHead) -> None: ...
    def answer(self, head: ResponseHead, request: RequestHead) -> bool: ...
    def refuse(self, refusal: Refusal, request: RequestHead, keep_alive: bool) -> bool: ...
    def write(self, data: bytes) -> None: ...
    def finish(self, trailers: Sequence[bytes]) -> None: ...
    def flush(self) -> None: ...
    def write_eof(self) -> None: ...
    def update_reading(self) -> None: ...
    def arm(self, deadline_ns: int, now_ns: int) -> None: ...
    def exchange_done(self, keep_alive: bool, now_ns: int) -> None: ...
    def start_tunnel(self) -> bytes: ...
    def abort(self) -> None: ...


class Client(Protocol):
    """A client's connection."""

    def close_if_idle(self) -> None: ...
    def abort(self) -> None: ...


class Upstream(Protocol):
    """A request's way to one instance, whatever HTTP it speaks there."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def reused(self) -> bool: ...
    @property
    def write_paused(self) -> bool: ...

    def send(self, sink: ResponseSink, head: RequestHead, fields: bytes, body: Sequence[bytes]) -> None: ...
    def write(self, data: bytes) -> None: ...
    def finish(self, trailers: Sequence[bytes]) -> None: ...
    def write_eof(self) -> None: ...
    def set_reading(self, reading: bool) -> None: ...
    def release(self, now_ns: int) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


@dataclass(slots=True)
class Context:
    """What all exchanges of one gateway share."""

    router: Router
    clock: Clock
    limits: GatewayLimits
    observer: Observer | None
    rng: Random
    pool: UpstreamPool
    streams: StreamPool
    clients: "set[Client]" = field(default_factory=set)
    draining: bool = False
    drained: asyncio.Event = field(default_factory=asyncio.Event)  # set whenever the last client leaves

    def left(self, client: "Client") -> None:
        """A client's connection is gone."""
        self.clients.discard(client)
        if not self.clients:
            self.drained.set()


def may_retry(method: bytes, reached_instance: bool, replayable: bool, answered: bool) -> bool:
    """Whether a request that lost its connection may be sent again (RFC 9110 section 9.2.2).

    One that certainly reached no instance may, whatever its method; otherwise only a safe one, since the
    instance may have acted on it. None may once its answer has begun, or if its body was not kept.
    """
    return replayable and not answered and (not reached_instance or method in SAFE_METHODS)


def deadline(destination: Destination, started_ns: int, active_ns: int, answered: bool) -> int:
    """The monotonic time in ns at which a request ends unless something happens before; `NEVER_NS` for never.

    `active_ns` is when the last byte went either way.
    """
    end = NEVER_NS
    if destination.response_start_timeout_seconds and (destination.timeout_is_whole_request or not answered):
        end = started_ns + int(destination.response_start_timeout_seconds * SECOND_NS)
    if destination.max_duration_seconds:
        end = min(end, started_ns + int(destination.max_duration_seconds * SECOND_NS))
    if destination.idle_timeout_seconds:
        end = min(end, active_ns + int(destination.idle_timeout_seconds * SECOND_NS))
    return end


class Exchange:
    """See the module. The client's side calls `start`, `request_*`, `cancel`, `expire`; upstream the rest."""

    received = False  # the whole request
    _destination: Destination | None = None
    _lease: Lease | None = None
    _upstream: Upstream | None = None
    _pool: UpstreamPool | StreamPool
    _task: asyncio.Task[None] | None = None
    _body_bytes = 0
    _excluded: frozenset[str] = frozenset()
    _attempts = 0
    _answered = False
    _status = CLIENT_GONE
    _note = ""
    _bytes_in = _bytes_out = _queue_ns = 0
    _keep_alive = _finished = _watches_idleness = False
    _trailers: Sequence[bytes] = ()
    _eofs = 0

    def __init__(self, context: Context, client: ClientSide, head: RequestHead, now_ns: int) -> None:
        self._context = context
        self._client = client
        self.head = head
        self._started_ns = self._active_ns = now_ns
        self._body: list[bytes] | None = []  # None once it is too long to send again

    # ---- the request, from the client's side

    def start(self) -> None:
        """Route, and forward at once if a slot and a connection are at hand."""
        context, head = self._context, self.head
        destination = context.router.route(head.route_host, head.tag)
        if destination is None:
            text = f"no service answers for host {head.route_host!r}; check the name, or deploy the service"
            return self.fail(404, text)
        self._destination = destination
        head.instance_host = destination.rewrite_host or head.host
        self._watches_idleness = destination.idle_timeout_seconds > 0
        self._pool = pool = context.streams if destination.h2c else context.pool
        if destination.admit is not None:
            refusal = destination.admit(head, self._client.remote_ip)
            if refusal is not None:
                return self.refuse(refusal)
        if head.upgrade is not None and destination.h2c:
            return self.fail(501, "the container speaks HTTP/2 (its port is named h2c), which has no upgrade")
        self._client.arm(deadline(destination, self._started_ns, self._active_ns, False), self._started_ns)
        self._lease = lease = destination.path.try_acquire()
        if lease is not None:
            connection = pool.take(lease.endpoint, head.method not in SAFE_METHODS)
            if connection is not None:
                return self._forward(connection)
        self._task = asyncio.get_running_loop().create_task(self._obtain(destination))
        return None

    def request_body(self, data: bytes) -> None:
        """A piece of the request's body."""
        self._bytes_in += len(data)
        self._send_body(data)

    def request_end(self, trailers: Sequence[bytes] = ()) -> None:
        """The request is complete."""
        self.received = True
        self._trailers = trailers
        if self._upstream is not None:
            self._upstream.finish(trailers)

    def _send_body(self, data: bytes) -> None:
        if self._upstream is not None:
            if self._watches_idleness:
                self._touch()
            self._upstream.write(data)
        if self._body is not None:
            self._body_bytes += len(data)
            if self._upstream is not None and self._body_bytes > self._context.limits.waiting_body_bytes:
                self._body = None
            else:
                self._body.append(data)

    @property
    def holds_client(self) -> bool:
        """Whether not to read the client: the instance is slower, or there is none and the buffer is full."""
        if self._upstream is not None:
            return self._upstream.write_paused
        return self._body_bytes > self._context.limits.waiting_body_bytes and not self._finished

    def cancel(self) -> None:
        """The client is gone: end the work for it."""
        if not self._finished:
            self._finish(False)

    def deadline_ns(self) -> int:
        """When this exchange expires."""
        if self._destination is None:
            return NEVER_NS
        return deadline(self._destination, self._started_ns, self._active_ns, self._answered)

    def expire(self) -> None:
        """Its time is over."""
        self.fail(504, "request timeout")

    def fail(self, status: int, text: str) -> None:
        """Answer with an error; if the answer has begun, cut it off."""
        self.refuse(Refusal(status, text))

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal; if the answer has begun, cut it off."""
        if self._finished:
            return
        if self._answered:
            self._finish(False)
            self._client.abort()
            return
        self._status, self._note = refusal.status, refusal.note
        keep_alive = self.received and refusal.status not in (400, 504)
        if self.head.is_grpc:
            refusal = grpc_refusal(refusal)
        self._finish(self._client.refuse(refusal, self.head, keep_alive))

    # ---- a slot and a connection

    async def _obtain(self, destination: Destination) -> None:
        try:
            connection = await self._reach(destination)
        except QueueFull as error:
            self.refuse(Refusal(destination.overflow_status, str(error), note=error.note))
        except ActivationTimeout:
            self.fail(504, "request timeout")
        except ConnectionError as error:
            self.fail(502, str(error))
        except Exception:
            logger.exception("a request for %s failed in the gateway", destination.revision)
            self.fail(500, "the gateway failed; its log says why")
        else:
            self._task = None
            self._forward(connection)

    async def _reach(self, destination: Destination) -> Upstream:
        context, path, pool = self._context, destination.path, self._pool
        while self._attempts < context.limits.attempts:
            self._attempts += 1
            if self._lease is None:
                left_ns = self.deadline_ns() - context.clock.monotonic_ns()
                timeout = None if left_ns > NEVER_NS // 2 else max(0.0, left_ns / SECOND_NS)
                self._lease = await path.acquire(timeout, self._excluded)
            endpoint = self._lease.endpoint
            connection = pool.take(endpoint, self.head.method not in SAFE_METHODS)
            try:
                return connection or await pool.connect(endpoint)
            except OSError:
                self._give_up_instance(destination)
        raise ConnectionError(
            f"no instance of {destination.revision} took the request, {self._attempts} were tried"
        )

    def _give_up_instance(self, destination: Destination) -> None:
        if self._lease is not None:
            endpoint = self._lease.endpoint
            destination.path.mark_failed(endpoint.name)
            self._pool.drop(endpoint)
            self._excluded |= {endpoint.name}
            self._lease.release()
            self._lease = None

    def _forward(self, connection: Upstream) -> None:
        context, destination, client, head = self._context, self._destination, self._client, self.head
        assert destination is not None  # it was routed
        self._upstream = connection
        self._queue_ns = context.clock.monotonic_ns() - self._started_ns
        to, body = destination, self._body or ()
        fields = forwarded_fields(head, to.namespace, to.revision, client.remote_ip, context.rng)
        if body:
            if self._body_bytes > context.limits.waiting_body_bytes:
                self._body = None
        elif head.expects_continue and not self.received:
            client.go_on()
            head.expects_continue = False  # also if it is sent to a second instance
        connection.send(self, head, fields, body)
        if self.received:
            connection.finish(self._trailers)
        if client.reading_paused:
            client.update_reading()

    # ---- the answer, from upstream

    def response_head(self, head: ResponseHead) -> None:
        """The answer begins, or an interim one passes: all but 100, which the gateway itself says."""
        if head.status == 101 and (self.head.upgrade is None or head.upgrade is None):
            raise ValueError("it switched protocols, which was not asked")
        if head.status < 200 and head.status != 101:
            if head.status != 100:
                self._client.interim(head, self.head)
            return
        self._answered = True
        if self._watches_idleness:
            self._touch()
        self._body = None
        self._status = head.status
        self._keep_alive = self._client.answer(head, self.head)
        if head.status == 101:
            self._send_body(self._client.start_tunnel())

    def response_body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._watches_idleness:
            self._touch()
        self._bytes_out += len(data)
        self._client.write(data)

    def response_flush(self) -> None:
        """All that was read is written: send it, however little it is."""
        self._client.flush()

    def response_end(self, reusable: bool, trailers: Sequence[bytes] = ()) -> None:
        """The answer is complete; an upload that goes on is not wanted any more."""
        self._client.finish(trailers)
        self._finish(self._keep_alive and self.received, reusable and self.received)

    def upstream_writable(self) -> None:
        """The instance's side became slower or faster than the client's."""
        self._client.update_reading()

    def upstream_lost(self, malformed: str | None, reached: bool = True) -> None:
        """The connection is gone, or `malformed` says what the instance answered wrongly.

        `reached` is False if the instance says that it did nothing with the request.
        """
        connection, self._upstream, destination = self._upstream, None, self._destination
        if self._finished or connection is None or destination is None:
            return
        if malformed is not None:
            self.fail(502, f"the instance's answer is not valid HTTP: {malformed}")
        elif not may_retry(self.head.method, reached, self._body is not None, self._answered):
            if not self._answered and not connection.reused:
                self._give_up_instance(destination)
            self.fail(502, "the instance closed the connection before it answered")
        else:
            if connection.reused or not reached:
                self._pool.drop(connection.endpoint)  # the others are as old: try a fresh one
                self._attempts -= connection.reused
            else:
                self._give_up_instance(destination)
            self._task = asyncio.get_running_loop().create_task(self._obtain(destination))

    # ---- after 101: bytes, both ways

    def tunnel_from_upstream(self, data: bytes) -> None:
        """Bytes for the client."""
        if self._watches_idleness:
            self._touch()
        self._bytes_out += len(data)
        self._client.write(data)
        self._client.flush()

    def tunnel_from_client(self, data: bytes) -> None:
        """Bytes for the instance."""
        self._bytes_in += len(data)
        self._send_body(data)

    def upstream_eof(self) -> None:
        """The instance will say no more; the client may."""
        self._client.write_eof()
        self._half_closed()

    def client_eof(self) -> None:
        """The client will say no more; the instance may."""
        if self._upstream is not None:
            self._upstream.write_eof()
        self._half_closed()

    def _half_closed(self) -> None:
        self._eofs += 1
        if self._eofs == 2:
            self._finish(False)

    # ---- both

    def client_writable(self) -> None:
        """The client became slower or faster than the instance."""
        if self._upstream is not None:
            self._upstream.set_reading(not self._client.write_paused)

    def _touch(self) -> None:
        self._active_ns = self._context.clock.monotonic_ns()

    def _finish(self, keep_alive: bool, reusable: bool = False) -> None:
        self._finished = True
        now_ns = self._context.clock.monotonic_ns()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        if self._upstream is not None:
            if reusable:
                self._upstream.release(now_ns)
            elif self._eofs == 2:
                self._upstream.close()  # both ended a tunnel, and its last bytes may be on the way
            else:
                self._upstream.abort()
            self._upstream = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None
        self._record(now_ns)
        self._client.exchange_done(keep_alive, now_ns)

    def _record(self, now_ns: int) -> None:
        observer, destination = self._context.observer, self._destination
        if observer is not None and destination is not None:
            sizes, latency_ns = (self._bytes_in, self._bytes_out), now_ns - self._started_ns
            remote_ip, queue_ns = self._client.remote_ip, self._queue_ns
            observer.request_done(
                RequestRecord(
                    destination,
                    self.head,
                    self._status,
                    *sizes,
                    latency_ns,
                    queue_ns,
                    remote_ip,
                    self._note,
                )
            )
