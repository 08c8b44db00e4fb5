"""Admits a bounded number of requests at once, lets a bounded number wait, and refuses the rest.

A request is running, waiting or refused; a slot that becomes free goes to the one that has waited longest.
The breaker is a state machine driven by plain calls: it never blocks, and tells a waiting request by calling
its `wake`. Counterpart in knative/serving: `Breaker` (pkg/queue/breaker.go), which queue-proxy puts before a
container. What `infiniteBreaker` (pkg/activator/net/throttler.go) does there, to ask only whether there is
any instance at all, is here a breaker whose capacity is 0 or without bounds.
"""

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum

Wake = Callable[[], None]


class Admission(Enum):
    """What became of a request at the door."""

    RUN = "run"
    WAIT = "wait"
    FULL = "full"


RUN, WAIT, FULL = Admission.RUN, Admission.WAIT, Admission.FULL  # an enum's own attributes are slow to read


class Breaker:
    """At most `capacity` slots are taken, and at most `queue_depth + max_concurrency` requests are in flight.

    The second number is fixed: resizing moves the share of it that may run, not the number that may be here.

    Args:
        queue_depth: requests that may wait when `max_concurrency` run.
        max_concurrency: requests that may run at the largest capacity.
        initial_capacity: slots there are now; `resize` changes it.
    """

    __slots__ = ("_queue", "_reserved", "_taken", "_total_slots", "capacity")

    def __init__(self, queue_depth: int, max_concurrency: int, initial_capacity: int) -> None:
        self.capacity = initial_capacity
        self._total_slots = queue_depth + max_concurrency
        self._taken = 0
        self._reserved = 0
        self._queue: OrderedDict[Wake, None] = OrderedDict()

    @property
    def running(self) -> int:
        """Requests that entered and were started; reservations are not among them."""
        return self._taken - self._reserved

    @property
    def waiting(self) -> int:
        """Requests that entered and were not started yet."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Running, waiting and reserved together."""
        return self._taken + len(self._queue)

    def enter(self, wake: Wake) -> Admission:
        """Ask for a slot.

        Args:
            wake: called once, when a request that was told to WAIT starts running. It also names the request
                in `cancel`, so no two that wait may be equal.

        Returns:
            RUN: it runs now; end it with `leave`. WAIT: it runs when `wake` is called. FULL: it was not taken
                in.
        """
        if self._taken + len(self._queue) >= self._total_slots:
            return FULL
        if self._taken < self.capacity:
            self._taken += 1
            return RUN
        self._queue[wake] = None
        return WAIT

    def leave(self) -> None:
        """A running request is over."""
        self._taken -= 1
        if self._queue:
            self._wake_next()

    def cancel(self, wake: Wake) -> None:
        """A waiting request gives up; KeyError if none that waits has this `wake`."""
        del self._queue[wake]

    def reserve(self) -> bool:
        """Take a slot if one is free, without ever waiting; give it back with `release`."""
        if self._taken >= self.capacity or self._taken + len(self._queue) >= self._total_slots:
            return False
        self._taken += 1
        self._reserved += 1
        return True

    def release(self) -> None:
        """Give a reserved slot back."""
        self._reserved -= 1
        self._taken -= 1
        if self._queue:
            self._wake_next()

    def resize(self, capacity: int) -> None:
        """Set how many slots there are. Running work is never interrupted, so more may run for a while."""
        self.capacity = capacity
        self._wake_next()

    def _wake_next(self) -> None:
        # The slot is taken before the call: `wake` may come back in here.
        while self._queue and self._taken < self.capacity:
            wake, _ = self._queue.popitem(last=False)
            self._taken += 1
            wake()
