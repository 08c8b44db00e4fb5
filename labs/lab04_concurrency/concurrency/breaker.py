# Your part of minirun, lab 4. `lab check 4` says how far it is.
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
        # TODO(you): about 1 line
        raise NotImplementedError("task 4.1")

    @property
    def waiting(self) -> int:
        """Requests that entered and were not started yet."""
        # TODO(you): about 1 line
        raise NotImplementedError("task 4.1")

    @property
    def in_flight(self) -> int:
        """Running, waiting and reserved together."""
        # TODO(you): about 1 line
        raise NotImplementedError("task 4.1")

    def enter(self, wake: Wake) -> Admission:
        """Ask for a slot.

        Args:
            wake: called once, when a request that was told to WAIT starts running. It also names the request
                in `cancel`, so no two that wait may be equal.

        Returns:
            RUN: it runs now; end it with `leave`. WAIT: it runs when `wake` is called. FULL: it was not taken
                in.
        """
        # TODO(you): about 7 lines
        raise NotImplementedError("task 4.1")

    def leave(self) -> None:
        """A running request is over."""
        # TODO(you): about 3 lines
        raise NotImplementedError("task 4.1")

    def cancel(self, wake: Wake) -> None:
        """A waiting request gives up; KeyError if none that waits has this `wake`."""
        # TODO(you): about 1 line
        raise NotImplementedError("task 4.1")

    def reserve(self) -> bool:
        """Take a slot if one is free, without ever waiting; give it back with `release`."""
        # TODO(you): about 5 lines
        raise NotImplementedError("task 4.1")

    def release(self) -> None:
        """Give a reserved slot back."""
        # TODO(you): about 4 lines
        raise NotImplementedError("task 4.1")

    def resize(self, capacity: int) -> None:
        """Set how many slots there are. Running work is never interrupted, so more may run for a while."""
        # TODO(you): about 2 lines
        raise NotImplementedError("task 4.1")
