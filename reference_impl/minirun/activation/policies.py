"""Which instance gets the next request: load-balancing policies over trackers.

A policy picks one tracker with a free slot and takes the slot, or answers None. Which policy a revision gets
follows from its containerConcurrency. Counterpart: knative/serving pkg/activator/net/lb_policy.go.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from minirun.concurrency.breaker import Breaker

QUEUE_DEPTH_FACTOR = 10  # queue-proxy lets 10 * containerConcurrency requests wait


class Tracker:
    """One instance's slots. Without a limit (`container_concurrency` 0) it has no breaker and always has
    room.

    `in_flight` counts the requests that were given a slot: it is the weight that random-choice-2 compares.
    """

    __slots__ = ("breaker", "in_flight", "name")

    def __init__(self, name: str, container_concurrency: int) -> None:
        limit = container_concurrency
        self.name = name
        self.in_flight = 0
        self.breaker = Breaker(QUEUE_DEPTH_FACTOR * limit, limit, limit) if limit > 0 else None

    def reserve(self) -> bool:
        """Take a slot if one is free; give it back with `release`."""
        if self.breaker is not None and not self.breaker.reserve():
            return False
        self.in_flight += 1
        return True

    def release(self, reserved: bool = True) -> None:
        """Give a slot back, a reserved one or one that was waited for in the breaker's queue."""
        self.in_flight -= 1
        if self.breaker is not None:
            if reserved:
                self.breaker.release()
            else:
                self.breaker.leave()


T = TypeVar("T", bound=Tracker)
Policy = Callable[[Sequence[T]], T | None]


def first_available(trackers: Sequence[T]) -> T | None:
    """The first with a free slot: fills instances one after the other, so that idle ones can go."""
    for tracker in trackers:
        if tracker.reserve():
            return tracker
    return None


class RoundRobin:
    """The next with a free slot, after the one that was taken last."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, trackers: Sequence[T]) -> T | None:
        count = len(trackers)
        start = self._next if self._next < count else 0
        for offset in range(count):
            position = (start + offset) % count
            if trackers[position].reserve():
                self._next = position + 1
                return trackers[position]
        return None


class RandomChoice2:
    """The less loaded of two random ones, by coin if equal: nearly as even as comparing all of them."""

    def __init__(self, rng: Random) -> None:
        self._random = rng.random

    def __call__(self, trackers: Sequence[T]) -> T | None:
        count = len(trackers)
        if count < 2:
            return first_available(trackers)
        one, other = 0, 1
        if count > 2:
            one, other = int(self._random() * count), int(self._random() * (count - 1))
            other += other >= one  # drawn from the rest: shift past the first
        tracker, rival = trackers[one], trackers[other]
        if rival.in_flight < tracker.in_flight or (
            rival.in_flight == tracker.in_flight and self._random() < 0.5
        ):
            tracker = rival
        return tracker if tracker.reserve() else None


def policy_for(container_concurrency: int, rng: Random) -> Policy[T]:
    """A fresh policy for one revision; `container_concurrency` 0 is no limit."""
    if container_concurrency == 0:
        return RandomChoice2(rng)
    return first_available if container_concurrency <= 3 else RoundRobin()
