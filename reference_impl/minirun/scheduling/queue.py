"""The pods that wait to be placed: who is next, who is tried again, and when.

A pod is active (to be tried now), backing off (to be tried at a time), or unschedulable (no node has
room, so trying again is of no use before something changes). A change in the cluster moves all
unschedulable pods on; each then waits for the rest of its backoff, 1 s after the first failure, twice as
long after each other one, at most 10 s. Active pods are tried by priority, then in the order in which
they came. A pod that fits nowhere blocks none behind it. Counterpart: `PriorityQueue` of kube-scheduler
(pkg/scheduler/backend/queue), from which the times are. Times are nanoseconds of the monotonic clock.
"""

import heapq
from dataclasses import dataclass
from typing import Generic, TypeVar

from minirun.model.clock import SECOND_NS

FIRST_BACKOFF_NS = SECOND_NS
LONGEST_BACKOFF_NS = 10 * SECOND_NS

K = TypeVar("K")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[K]):
    key: K
    order: tuple[int, int]  # the higher priority first, then who came first; no two are equal
    failures: int = 0
    again_ns: int = 0


class SchedulingQueue(Generic[K]):
    """Keys of pods that wait. A pod stays here, untried or being tried, until it is removed."""

    def __init__(self) -> None:
        self._pods: dict[K, _Waiting[K]] = {}
        self._active: list[tuple[tuple[int, int], _Waiting[K]]] = []
        self._backoff: list[tuple[int, tuple[int, int], _Waiting[K]]] = []
        self._unschedulable: dict[K, _Waiting[K]] = {}
        self._came = 0

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, key: K, priority: int = 0) -> None:
        """A pod wants a node; without effect if it waits already."""
        if key not in self._pods:
            self._came += 1
            pod = self._pods[key] = _Waiting(key, (-priority, self._came))
            heapq.heappush(self._active, (pod.order, pod))

    def remove(self, key: K) -> None:
        """A pod has its node, or is no more."""
        self._pods.pop(key, None)
        self._unschedulable.pop(key, None)

    def pop(self, now_ns: int) -> K | None:
        """The pod to try now, or None. What comes of it is told by `remove` or `park`."""
        while self._backoff and self._backoff[0][0] <= now_ns:
            _, order, pod = heapq.heappop(self._backoff)
            heapq.heappush(self._active, (order, pod))
        while self._active:
            pod = heapq.heappop(self._active)[1]
            if self._pods.get(pod.key) is pod:
                return pod.key
        return None

    def park(self, key: K, now_ns: int) -> None:
        """No node has room for the pod that was tried; it waits for `changed`, and for its backoff."""
        if pod := self._pods.get(key):
            pod.again_ns = now_ns + min(FIRST_BACKOFF_NS << min(pod.failures, 8), LONGEST_BACKOFF_NS)
            pod.failures += 1
            self._unschedulable[key] = pod

    def changed(self) -> None:
        """Something ended, or a node came or changed: what did not fit may fit when its backoff is over."""
        for pod in self._unschedulable.values():
            heapq.heappush(self._backoff, (pod.again_ns, pod.order, pod))
        self._unschedulable.clear()

    def next_ns(self) -> int | None:
        """From when on `pop` may have a pod: 0 is at once, None is not before the next `add` or `changed`."""
        if self._active:
            return 0
        return self._backoff[0][0] if self._backoff else None
