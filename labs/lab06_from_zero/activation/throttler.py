# Your part of minirun, lab 6. `lab check 6` says how far it is.
"""Holds one revision's requests at the activator until an instance has room: a state machine of plain calls.

Two doors, one behind the other: the revision's breaker, whose capacity follows the instances, and a slot in
one instance, picked by the policy. Whoever is through the first door and finds every instance busy (with
requests that did not come this way) keeps its place, and is next. Counterpart: `revisionThrottler` of
knative/serving (pkg/activator/net/throttler.go), which retries in a loop there.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from minirun.activation.capacity import MAX_CAPACITY, assign_trackers, revision_capacity
from minirun.activation.policies import Policy, Tracker
from minirun.concurrency.breaker import RUN, Breaker

QUEUE_DEPTH = 10_000

T = TypeVar("T", bound=Tracker)
Wake = Callable[[T], None]
NOBODY: frozenset[str] = frozenset()


def _ignore() -> None:
    """The wake of a request that does not wait."""


class RevisionThrottler(Generic[T]):
    """One revision's requests at this activator.

    Args:
        container_concurrency: requests one instance may serve at once; 0 is no limit.
        policy: picks the instance, see `policies.policy_for`.
    """

    def __init__(self, container_concurrency: int, policy: Policy[T]) -> None:
        self._concurrency = container_concurrency
        self._policy = policy
        # So deep a queue is never full: what bounds the waiting is time. Knative's is the same.
        self._breaker = Breaker(QUEUE_DEPTH, MAX_CAPACITY, 0)
        self._trackers: list[T] = []
        self._activators, self._self_index = 1, 0
        self.assigned: list[T] = []
        self._tickets: dict[Wake[T], Callable[[], None]] = {}  # at the first door
        self._between: dict[Wake[T], frozenset[str]] = {}  # between the doors, oldest first

    @property
    def capacity(self) -> int:
        """Requests that may be through the first door; 0 or 1 where there is no limit."""
        return self._breaker.capacity if self._concurrency else min(self._breaker.capacity, 1)

    @property
    def waiting(self) -> int:
        return self._breaker.waiting + len(self._between)

    def try_enter(self) -> T | None:
        """A slot that is free right now, or None; end it with `leave`."""
        if self._breaker.enter(_ignore) is not RUN:
            self._breaker.cancel(_ignore)
            return None
        tracker = self._policy(self.assigned)
        if tracker is None:
            self._breaker.leave()
        return tracker

    def enter(self, wake: Wake[T], exclude: frozenset[str] = NOBODY) -> T | None:
        """Ask for a slot and wait for it if there is none.

        Args:
            wake: called once with the tracker when a request that waits gets its slot; names it in `cancel`
                too.
            exclude: instances to avoid as long as there is any other.

        Returns:
            The tracker that serves the request now, or None if it waits. End it with `leave`.
        """
        # TODO(you): about 8 lines
        raise NotImplementedError("task 6.2")

    def leave(self, tracker: T) -> None:
        """A request that had its slot in `tracker` is over."""
        # TODO(you): about 3 lines
        raise NotImplementedError("task 6.2")

    def cancel(self, wake: Wake[T]) -> None:
        """A waiting request gives up; KeyError if none that waits has this `wake`."""
        # TODO(you): about 6 lines
        raise NotImplementedError("task 6.2")

    def retry(self) -> None:
        """A slot may be free in some instance: serve those between the doors, oldest first."""
        # TODO(you): about 7 lines
        raise NotImplementedError("task 6.2")

    def preferred(self, exclude: frozenset[str]) -> list[T]:
        """The instances that may serve, without `exclude` unless that is all there are."""
        trackers = self.assigned
        if exclude:
            trackers = [tracker for tracker in trackers if tracker.name not in exclude] or trackers
        return trackers

    def set_trackers(self, trackers: Sequence[T]) -> None:
        """Set the instances that can serve; requests running on others go on."""
        self._trackers = sorted(trackers, key=lambda tracker: tracker.name)
        self._reassign()

    def set_activators(self, count: int, self_index: int) -> None:
        """Set how many activators share the revision and which one this is, -1 for unknown."""
        self._activators, self._self_index = count, self_index
        self._reassign()

    def _reassign(self) -> None:
        everyone, limit = self._trackers, self._concurrency
        mine = assign_trackers(everyone, self._self_index, self._activators) if limit else list(everyone)
        self.assigned = mine
        capacity = revision_capacity(limit, len(mine), len(everyone), self._activators) if everyone else 0
        self.retry()
        self._breaker.resize(capacity)
