# Your part of minirun, lab 6. `lab check 6` says how far it is.
"""How many requests one activator may let through to a revision, and through which instances.

Several activators share a revision's instances without talking to each other: each computes its own part from
its place among them. Counterpart: `calculateCapacity` and `assignSlice` of knative/serving
(pkg/activator/net/throttler.go).
"""

from collections.abc import Sequence
from typing import TypeVar

MAX_CAPACITY = 2**31 - 1

T = TypeVar("T")


def revision_capacity(container_concurrency: int, trackers: int, backends: int, activators: int) -> int:
    """Requests that may run at once through this activator.

    Args:
        container_concurrency: requests one instance may serve at once; 0 is no limit.
        trackers: instances assigned to this activator; 0 where only the service's own address can be used.
        backends: ready instances of the revision.
        activators: activators that share the revision.
    """
    # TODO(you): about 6 lines
    raise NotImplementedError("task 6.1")


def assign_trackers(trackers: Sequence[T], self_index: int, activators: int) -> list[T]:
    """This activator's own part of the sorted `trackers`; what cannot be divided evenly goes to the first
    activators.

    Args:
        self_index: this activator's place among the sorted activators; -1 if not known yet, which assigns
            all.
        activators: how many there are. With more activators than trackers, a tracker is shared.
    """
    # TODO(you): about 8 lines
    raise NotImplementedError("task 6.1")
