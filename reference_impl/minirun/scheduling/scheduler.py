"""The scheduling cycle: PreFilter, Filter, Score, Reserve, and back with Unreserve.

PreFilter finds the class of a pod, which is its request; Filter and Score are the policy's row in the table
of kept scores; Reserve takes CPU, memory and devices, from when on they are gone for others; Unreserve gives
them back, when binding failed or the pod has ended. PostFilter says why a pod fits nowhere. Permit and Bind
are the caller's: it holds the pods. Counterpart: the scheduling framework of kube-scheduler
(pkg/scheduler/framework).
"""

from collections.abc import Iterable
from typing import NamedTuple

from minirun.scheduling.cache import ScoreTable
from minirun.scheduling.cluster import Node, PodRequest, check_request
from minirun.scheduling.filters import why_unschedulable
from minirun.scheduling.policy import INFEASIBLE, Policy


class Placement(NamedTuple):
    """Where a pod is: the node's position and name, and the devices that are its."""

    pod: PodRequest
    position: int
    node: str
    devices: tuple[int, ...]


class Scheduler:
    """Places pods on nodes, one cycle at a time.

    nodes: in the order that decides between equal scores. They are the scheduler's from now on.
    """

    def __init__(self, nodes: Iterable[Node], policy: Policy) -> None:
        self.nodes = tuple(nodes)
        self.policy = policy
        self._table = ScoreTable(self.nodes, policy)

    def schedule(self, pod: PodRequest) -> Placement | None:
        """Reserves the best node for the pod. None if it fits nowhere: `why_not` says why.

        Raises ValueError for a request that makes no sense.
        """
        check_request(pod)
        scores = self._table.row(pod)
        index = self.policy.select(scores) if scores else 0
        if not scores or scores[index] == INFEASIBLE:
            return None
        return self.reserve(pod, index, self.policy.devices(pod, self.nodes[index]))

    def reserve(self, pod: PodRequest, index: int, devices: tuple[int, ...]) -> Placement:
        """Takes what the pod asks for on this node and these devices. ValueError if that is not free."""
        node = self.nodes[index]
        node.take(pod, devices)
        self._table.changed(index)
        return Placement(pod, index, node.name, devices)

    def unreserve(self, placement: Placement) -> None:
        """Gives back what a placement took, as if it had never been. ValueError if it was not there."""
        self.nodes[placement.position].give(placement.pod, placement.devices)
        self._table.changed(placement.position)

    def why_not(self, pod: PodRequest) -> str:
        """PostFilter: how many nodes there are, and how many of them have which reason."""
        return why_unschedulable(pod, self.nodes)
