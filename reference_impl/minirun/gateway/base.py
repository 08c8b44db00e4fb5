"""What the gateway is told and what it tells: destinations, limits, and one record for each request.

Counterparts: the ingress rules of a Knative `Ingress` (host and tag to revision), the timeouts of a revision
(`timeoutSeconds`, `responseStartTimeoutSeconds`, `idleTimeoutSeconds`), and queue-proxy's request log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from minirun.activation.path import RevisionPath
from minirun.gateway.heads import Refusal, RequestHead

Admit = Callable[[RequestHead, str], Refusal | None]
"""Decides from a request's head and its client's address whether it may go on: None, or what it is told."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes and how long it may take there; a time of 0 is no limit.

    `response_start_timeout_seconds` counts from arrival, the wait for an instance included, to the first byte
    of the answer (Knative's `timeoutSeconds`); with `timeout_is_whole_request` to the last (Cloud Run's).
    `h2c` says that its instances speak HTTP/2 only. `overflow_status` answers a request that finds every
    queue full, or waits in one for too long. `admit` is asked once for each request, before it can wake or
    wait for an instance; None lets all in. `logs_requests`: every request is logged. `rewrite_host`, if any,
    is the Host that the instance gets (an Ingress's `rewriteHost`).
    """

    namespace: str
    service: str
    configuration: str
    revision: str
    path: RevisionPath
    response_start_timeout_seconds: float
    idle_timeout_seconds: float = 0
    max_duration_seconds: float = 0
    timeout_is_whole_request: bool = False
    overflow_status: int = 503
    h2c: bool = False
    admit: Admit | None = None
    logs_requests: bool = False
    rewrite_host: bytes = b""


class Router(Protocol):
    """Traffic rules as the gateway sees them."""

    def route(self, host: str, tag: str | None) -> Destination | None:
        """The revision that answers for `host` (lower case, no port, no final dot), or None if nothing does.

        `tag` is the client's `Knative-Serving-Tag`, which chooses a tagged revision of the same host.
        """
        ...


@dataclass(slots=True)
class RequestRecord:
    """One finished request: what request metrics, request logs and bills are made of.

    `status` is what the client was sent (a client of gRPC, as a code); 499 if it went away before it was sent
    anything. Bytes are of bodies (of a tunnel: all). `queue_ns` is the wait for a slot and a connection, part
    of `latency_ns`. `note` says why the gateway refused it.
    """

    destination: Destination
    head: RequestHead
    status: int
    bytes_in: int
    bytes_out: int
    latency_ns: int
    queue_ns: int
    remote_ip: str
    note: str = ""

    @property
    def revision(self) -> str:
        """The revision's name."""
        return self.destination.revision

    @property
    def method(self) -> str:
        """The request's method."""
        return self.head.method.decode("latin-1")

    @property
    def path(self) -> str:
        """Path and query as the client sent them."""
        return self.head.target.decode("latin-1")

    @property
    def host(self) -> str:
        """The host that the client asked for."""
        return self.head.host.decode("latin-1")

    @property
    def user_agent(self) -> str:
        """The client's `User-Agent`, or nothing."""
        return self.head.read.get(b"user-agent", [b""])[0].decode("latin-1")

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, the client's or ours; nothing if the request never reached an instance."""
        return self.head.traceparent[3:35].decode("latin-1")


class Observer(Protocol):
    """Who wants to know about each routed request, once it is over."""

    def request_done(self, record: RequestRecord) -> None:
        """Called on the event loop: be quick."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """What a client, or an instance, may use up."""

    head_bytes: int = (
        64 * 1024
    )  # 431; also bounds trailers and chunk extensions, and an instance's head (502)
    header_count: int = 128  # 431
    uri_bytes: int = 16 * 1024  # 414
    head_timeout_seconds: float = 30  # from a head's first byte to its last: 408
    keep_alive_seconds: float = 75  # a client's connection without a request is closed after it
    linger_seconds: float = 2  # after an answer that came before the request's end: bytes are thrown away
    concurrent_streams: int = 128  # of one HTTP/2 connection; more are refused
    premature_resets: int = 250  # of HTTP/2 streams, if it is most of them: the connection is closed
    waiting_body_bytes: int = 64 * 1024  # kept while there is no instance, and for a second attempt
    write_buffer_bytes: int = 32 * 1024  # unsent bytes of one connection above which its source is not read
    attempts: int = 3  # instances tried for one request
    connect_timeout_seconds: float = 5  # to open a connection to an instance
    upstream_idle_seconds: float = 30  # an unused connection to an instance is closed after it
