"""The scheduling cycle: PreFilter, Filter, Score, Reserve, and back with Unreserve.

PreFilter finds the class of a pod, which is its request; Filter and Score are the policy's row in the table
of kept scores; Reserve takes CPU, memory and devices, from when on they are gone for others; Unreserve gives
them back, when binding failed or the pod has ended. PostFilter says why a pod fits nowhere. Permit and Bind
are the caller's: it holds the pods. Counterpart: the scheduling framework of kube-scheduler
(pkg/scheduler/framework).
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from minirun.scheduling.cache import ScoreTable
from minirun.scheduling.cluster import Node, PodRequest, check_request
from minirun.scheduling.filters import why_unschedulable
from minirun.scheduling.policy import INFEASIBLE, Policy


class Placement(NamedTuple):
    """Where a pod is: the node's name, and the devices that are its."""

    pod: PodRequest
    node: str
    devices: tuple[int, ...]


class Scheduler:
    """Places pods on nodes, one cycle at a time.

    nodes: in the order that decides between equal scores, of different names. They are the scheduler's from
    now on.
    """

    def __init__(self, nodes: Iterable[Node], policy: Policy) -> None:
        self.policy = policy
        self._set_nodes(nodes)

    def schedule(self, pod: PodRequest) -> Placement | None:
        """Reserves the best node for the pod. None if it fits nowhere: `why_not` says why.

        Raises ValueError for a request that makes no sense.
        """
        check_request(pod)
        scores = self._table.row(pod)
        position = self.policy.select(scores) if scores else 0
        if not scores or scores[position] == INFEASIBLE:
            return None
        node = self.nodes[position]
        return self.reserve(pod, node.name, self.policy.devices(pod, node))

    def reserve(self, pod: PodRequest, node: str, devices: tuple[int, ...]) -> Placement:
        """Takes what the pod asks for on this node and these devices.

        Raises ValueError if that is not free, KeyError if there is no such node.
        """
        position = self._positions[node]
        self.nodes[position].take(pod, devices)
        self._table.changed(position)
        return Placement(pod, node, devices)

    def unreserve(self, placement: Placement) -> None:
        """Gives back what a placement took, as if it had never been; nothing if the node is gone.

        Raises ValueError if the placement was not there.
        """
        position = self._positions.get(placement.node)
        if position is not None:
            self.nodes[position].give(placement.pod, placement.devices)
            self._table.changed(position)

    def add_node(self, node: Node) -> None:
        """A node came: the last of equals. ValueError if there is one of its name."""
        self._set_nodes((*self.nodes, node))

    def remove_node(self, name: str) -> None:
        """A node is gone, with all that is on it; KeyError if there is none of this name."""
        gone = self._positions[name]
        self._set_nodes(self.nodes[:gone] + self.nodes[gone + 1 :])

    def why_not(self, pod: PodRequest) -> str:
        """PostFilter: how many nodes there are, and how many of them have which reason."""
        return why_unschedulable(pod, self.nodes)

    def _set_nodes(self, nodes: Iterable[Node]) -> None:
        nodes = tuple(nodes)
        positions = {node.name: position for position, node in enumerate(nodes)}
        if len(positions) < len(nodes):
            twice = next(name for name, count in Counter(node.name for node in nodes).items() if count > 1)
            raise ValueError(f"there is more than one node {twice!r}; give each node a name of its own")
        self.nodes, self._positions = nodes, positions
        self._table = ScoreTable(self.nodes, self.policy)
