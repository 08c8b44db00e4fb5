"""Simulated clients: what the gateway does with a request, without bytes.

A request takes the same way (route, slot in an instance, response, slot given back), with a timer of the
virtual runtime in place of a socket. As long as a slot is free it costs two timers and no task.
Counterpart: `minirun.gateway` and whoever calls it.
"""

import asyncio
from array import array
from collections import Counter
from functools import partial

from minirun.activation.path import ActivationTimeout, Lease, QueueFull
from minirun.gateway.base import Destination, Router
from minirun.model.clock import SECOND_NS, Clock
from minirun.runtime.virtual import VirtualRuntime


class Clients:
    """Sends requests into the platform and notes what became of them."""

    def __init__(self, router: Router, runtime: VirtualRuntime, clock: Clock) -> None:
        self._route = router.route
        self._runtime = runtime
        self._now_ns = clock.monotonic_ns
        self._waiting: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._open = 0
        self.statuses: Counter[int] = Counter()
        self.latencies = array("d")
        self.waits = array("d")
        self.waiting = 0  # requests without a slot

    def send(self, host: str) -> None:
        """One request to `host`, now."""
        arrived_ns = self._now_ns()
        self._open += 1
        destination = self._route(host, None)
        if destination is None:
            self._answered(arrived_ns, None, 404)
            return
        lease = destination.path.try_acquire()
        if lease is not None:
            self._runtime.submit(lease.endpoint.host, partial(self._answered, arrived_ns, lease))
            return
        task = asyncio.create_task(self._wait(destination, arrived_ns))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _wait(self, destination: Destination, arrived_ns: int) -> None:
        lease = None
        self.waiting += 1
        try:
            try:
                lease = await destination.path.acquire(destination.response_start_timeout_seconds or None)
            finally:
                self.waiting -= 1
            self.waits.append((self._now_ns() - arrived_ns) / SECOND_NS)
            status = await self._runtime.serve(lease.endpoint.host)
        except QueueFull:
            status = destination.overflow_status
        except ActivationTimeout:
            status = 504
        self._answered(arrived_ns, lease, status)

    def _answered(self, arrived_ns: int, lease: Lease | None, status: int) -> None:
        if lease is not None:
            lease.release()
        self.statuses[status] += 1
        if status == 200:
            self.latencies.append((self._now_ns() - arrived_ns) / SECOND_NS)
        self._open -= 1
        if not self._open:
            self._idle.set()

    async def all_answered(self) -> None:
        """Returns when no request is under way."""
        while self._open:
            self._idle.clear()
            await self._idle.wait()
