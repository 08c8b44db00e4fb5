"""The way of a request to one instance of a revision: the thin asynchronous shell around the pure parts.

With the activator in the path (proxy mode, and always while there is no instance) a request is reported to
the autoscaler from its arrival and waits in the `RevisionThrottler`, as long as it may. Without it (serve
mode) the policy picks an instance with a free slot; if there is none the request waits in one instance's own
queue, and is refused when all are full. In both cases the slot is one of the instance's breaker, so an
instance never runs more than its containerConcurrency, whatever the mode was when its requests came.
Counterparts in knative/serving: the activator's handler (pkg/activator/handler), queue-proxy's
(pkg/queue/handler.go) and the modes of a ServerlessService.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import NamedTuple

from minirun.activation.policies import Policy, Tracker, policy_for
from minirun.activation.reporter import ActivatorStat, ConcurrencyReporter
from minirun.activation.throttler import NOBODY, RevisionThrottler
from minirun.concurrency.breaker import FULL
from minirun.concurrency.stats import RequestReport, RequestStats
from minirun.model.clock import Clock


class QueueFull(Exception):  # noqa: N818 - it is a state, not a fault
    """Every instance's queue is full; the client sees 503, or its profile's status, with this text."""

    note = ""  # for the log

    def __init__(self, text: str = "pending request queue full") -> None:
        super().__init__(text)


class QueueTimeout(QueueFull):
    """The request waited for a slot longer than its profile lets it queue; the texts are Cloud Run's."""

    note = "The request was aborted because there was no available instance."

    def __init__(self) -> None:
        super().__init__("Rate exceeded.")


class ActivationTimeout(Exception):  # noqa: N818
    """The request waited for a slot longer than it may."""


class Endpoint(NamedTuple):
    """One instance's address; `name` is the instance's (Pod's) and unique in its revision."""

    name: str
    host: str
    port: int


class InstanceReport(NamedTuple):
    """What a scrape of one instance's queue-proxy reads; `start_ns`, monotonic, is when it was added."""

    name: str
    start_ns: int
    report: RequestReport


class _Way(Enum):
    """How a request got its slot, which says how to give it back."""

    PROXIED = "through the throttler"
    DIRECT = "found it free"
    QUEUED = "waited for it in the instance's queue"


_PROXIED, _DIRECT, _QUEUED = _Way.PROXIED, _Way.DIRECT, _Way.QUEUED


class _Instance(Tracker):
    """An instance's slots, statistics and queue; it outlives its endpoint until it is idle."""

    __slots__ = ("endpoint", "on_idle", "queue", "start_ns", "stats", "usable")

    def __init__(self, endpoint: Endpoint, container_concurrency: int, now_ns: int) -> None:
        super().__init__(endpoint.name, container_concurrency)
        self.endpoint: Endpoint | None = endpoint  # None: only finishes what it has
        self.usable = True
        self.start_ns = now_ns
        self.stats = RequestStats(now_ns)
        self.queue: dict[_Request, None] = {}
        self.on_idle: Callable[[], None] | None = None


class Lease:
    """A slot in one instance, at `endpoint`."""

    __slots__ = ("_instance", "_path", "_way", "endpoint")

    def __init__(self, path: "RevisionPath", instance: _Instance, endpoint: Endpoint, way: _Way) -> None:
        self.endpoint = endpoint
        self._path = path
        self._instance: _Instance | None = instance
        self._way = way

    def release(self) -> None:
        """Give the slot back; calling it again does nothing."""
        instance = self._instance
        if instance is not None:
            self._instance = None
            self._path._end(instance, self._way)


class _Request:
    """A request that may have to wait: in the queue of `queued_at`, or in the throttler if that is None."""

    __slots__ = ("exclude", "future", "lease", "path", "queued_at", "waiting")

    def __init__(
        self, path: "RevisionPath", exclude: frozenset[str], future: "asyncio.Future[Lease]"
    ) -> None:
        self.path = path
        self.exclude = exclude
        self.future = future
        self.waiting = False
        self.queued_at: _Instance | None = None
        self.lease: Lease | None = None

    def admit(self, instance: _Instance) -> None:
        """The throttler's wake: a slot in `instance` is ours."""
        self.start(self.path._begin(instance, _PROXIED))

    def dequeue(self) -> None:
        """The instance's breaker's wake."""
        instance = self.queued_at
        assert instance is not None
        assert instance.endpoint is not None
        del instance.queue[self]
        instance.in_flight += 1
        self.start(Lease(self.path, instance, instance.endpoint, _QUEUED))

    def start(self, lease: Lease) -> None:
        """It has its slot."""
        self.waiting = False
        self.lease = lease
        if not self.future.done():  # else cancelled in this very turn of the loop: `_abandon` comes next
            self.future.set_result(lease)


class RevisionPath:
    """One revision's instances, and the requests that run on them or wait for them.

    Args:
        namespace, revision: whose requests these are.
        container_concurrency: requests one instance may serve at once; 0 is no limit.
        clock: its `monotonic_ns` stamps the statistics.
        rng: for the random policy.
        on_first_request: called at once with the stat that wakes a silent revision.

    `queue_seconds` is how long a request may wait for a slot, whatever time it has.
    """

    def __init__(
        self,
        namespace: str,
        revision: str,
        container_concurrency: int,
        clock: Clock,
        rng: Random,
        on_first_request: Callable[["RevisionPath", ActivatorStat], None],
    ) -> None:
        self.namespace = namespace
        self.revision = revision
        self._limit = container_concurrency
        self._now_ns = clock.monotonic_ns
        self._on_first_request = on_first_request
        self._policy: Policy[_Instance] = policy_for(container_concurrency, rng)
        self._throttler = RevisionThrottler(container_concurrency, self._policy)
        self._reporter = ConcurrencyReporter()
        self._instances: dict[str, _Instance] = {}
        self._proxy_mode = self._proxied = True
        self.queue_seconds = math.inf

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return sum(instance.in_flight for instance in self._instances.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot, in the throttler and in the instances' queues."""
        queued = sum(len(instance.queue) for instance in self._instances.values())
        return self._throttler.waiting + queued

    def try_acquire(self) -> Lease | None:
        """A slot that is free at once, or None: then `acquire` waits for one."""
        if self._proxied:
            instance = self._throttler.try_enter()
            if instance is None:
                return None
            lease = self._begin(instance, _PROXIED)
            self._arrive()
            return lease
        instance = self._policy(self._throttler.assigned)
        return None if instance is None else self._begin(instance, _DIRECT)

    async def acquire(self, timeout_seconds: float | None, exclude: frozenset[str] = NOBODY) -> Lease:
        """Wait for a slot. Cancelling the caller takes the request out of its queue.

        Args:
            timeout_seconds: how long it may wait; None is for ever.
            exclude: names of instances to avoid as long as there is any other, for retries.

        Raises:
            QueueFull: serve mode, and all instances' queues are full.
            QueueTimeout: no slot became free within `queue_seconds`.
            ActivationTimeout: no slot became free in time.
        """
        loop = asyncio.get_running_loop()
        request = _Request(self, exclude, loop.create_future())
        self._place(request)
        timer = None
        seconds = min(math.inf if timeout_seconds is None else timeout_seconds, self.queue_seconds)
        if seconds < math.inf and not request.future.done():
            timer = loop.call_later(seconds, self._expire, request, seconds, seconds != timeout_seconds)
        try:
            return await request.future
        except asyncio.CancelledError:
            self._abandon(request)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Set the ready instances. One that is gone finishes what it runs; who waits for it moves on."""
        named = {endpoint.name: endpoint for endpoint in endpoints}
        for name, endpoint in named.items():
            if name not in self._instances:
                self._instances[name] = _Instance(endpoint, self._limit, self._now_ns())
        for name, instance in self._instances.items():
            instance.endpoint = named.get(name)
            instance.usable = instance.endpoint is not None
        self._refresh()

    def drain(self, name: str, then: Callable[[], None]) -> None:
        """Take an instance out, and call `then` when it has finished what it runs: at once if it is idle."""
        instance = self._instances.get(name)
        if instance is None:
            then()
            return
        instance.endpoint, instance.usable, instance.on_idle = None, False, then
        self._refresh()

    def set_proxy_mode(self, proxy: bool) -> None:
        """Put the activator into the path or take it out; without any instance it is always in."""
        self._proxy_mode = proxy
        self._proxied = proxy or not self._throttler.assigned

    def mark_failed(self, name: str) -> None:
        """It refused a connection, or reset it unanswered: unused until `set_endpoints` names it again."""
        instance = self._instances.get(name)
        if instance is not None:
            instance.usable = False
            self._refresh()

    def activator_report(self, now_ns: int) -> ActivatorStat | None:
        """The activator's stat since the last call, made every second; None while the revision is silent."""
        return self._reporter.report(now_ns)

    def instance_reports(self, now_ns: int) -> list[InstanceReport]:
        """What a scrape of each endpoint reads: its statistics since the last call."""
        return [
            InstanceReport(instance.name, instance.start_ns, instance.stats.report(now_ns))
            for instance in self._instances.values()
            if instance.endpoint is not None
        ]

    def _arrive(self) -> None:
        stat = self._reporter.on_arrival(self._now_ns())
        if stat is not None:
            self._on_first_request(self, stat)

    def _begin(self, instance: _Instance, way: _Way) -> Lease:
        assert instance.endpoint is not None
        instance.stats.enter(self._now_ns(), way is _PROXIED)
        return Lease(self, instance, instance.endpoint, way)

    def _end(self, instance: _Instance, way: _Way) -> None:
        now_ns = self._now_ns()
        instance.stats.leave(now_ns, way is _PROXIED)
        if way is _PROXIED:
            self._reporter.on_done(now_ns)
            self._throttler.leave(instance)
        else:
            instance.release(reserved=way is _DIRECT)
            self._throttler.retry()
        if instance.endpoint is None:
            self._forget_if_idle(instance)

    def _place(self, request: _Request) -> None:
        """Start the request, or let it wait where it has to, or refuse it."""
        if self._proxied:
            self._arrive()
            request.waiting = True
            instance = self._throttler.enter(request.admit, request.exclude)
            if instance is not None:
                request.admit(instance)
            return
        instances = self._throttler.preferred(request.exclude)
        instance = self._policy(instances)
        if instance is not None:
            request.start(self._begin(instance, _DIRECT))
        else:
            self._enqueue(request, min(instances, key=lambda each: each.in_flight + len(each.queue)))

    def _enqueue(self, request: _Request, instance: _Instance) -> None:
        assert instance.breaker is not None  # without a limit the policy always finds room
        if instance.breaker.enter(request.dequeue) is FULL:
            request.future.set_exception(QueueFull())
            return
        request.waiting = True
        request.queued_at = instance
        instance.queue[request] = None
        instance.stats.enter(self._now_ns())

    def _withdraw(self, request: _Request) -> None:
        """Take a waiting request out of where it waits."""
        request.waiting = False
        if request.queued_at is None:
            self._throttler.cancel(request.admit)
            self._reporter.on_done(self._now_ns())
            return
        instance, request.queued_at = request.queued_at, None
        assert instance.breaker is not None
        instance.breaker.cancel(request.dequeue)
        del instance.queue[request]
        instance.stats.leave(self._now_ns())

    def _expire(self, request: _Request, seconds: float, by_queue: bool) -> None:
        if not request.future.done():
            self._withdraw(request)
            text = f"no instance of {self.namespace}/{self.revision} had room within {seconds:g} s"
            request.future.set_exception(QueueTimeout() if by_queue else ActivationTimeout(text))

    def _abandon(self, request: _Request) -> None:
        """The caller was cancelled, perhaps just after the request got its slot or was refused."""
        if request.waiting:
            self._withdraw(request)
        elif request.lease is not None:
            request.lease.release()
        else:
            request.future.cancelled() or request.future.exception()

    def _refresh(self) -> None:
        """The usable instances changed: tell the throttler, move who waits elsewhere, forget who is gone."""
        usable = [instance for instance in self._instances.values() if instance.usable]
        self._proxied = self._proxy_mode or not usable
        self._throttler.set_trackers(usable)
        for instance in list(self._instances.values()):
            moving = [] if instance.usable else list(instance.queue)
            for request in moving:
                self._withdraw(request)
                if not request.future.done():
                    self._place(request)
            self._forget_if_idle(instance)

    def _forget_if_idle(self, instance: _Instance) -> None:
        if instance.endpoint is None and not instance.in_flight:
            self._instances.pop(instance.name, None)
            if instance.on_idle is not None:
                then, instance.on_idle = instance.on_idle, None
                then()
