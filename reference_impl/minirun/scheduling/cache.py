"""Scores that are kept, exactly: score[class][node], and a log of the nodes that changed.

Pods are of few classes, and a placement changes one node. So a class's row of scores is only brought up to
date for the nodes that changed since the class was last asked for; what it then holds is what scoring every
node anew would give. A row that fell behind by more than the log is long is dropped and made anew, so memory
has a bound. Nothing like it is in kube-scheduler, which filters and scores nodes (or a sample of them) for
each pod.
"""

from collections.abc import Sequence

from minirun.scheduling.cluster import Node, PodRequest
from minirun.scheduling.filters import filter_node
from minirun.scheduling.policy import INFEASIBLE, Policy

LOG_ROUNDS = 16  # how long the log may be, in nodes of the cluster


class ScoreTable:
    """The scores of all classes on all nodes. Nodes must only change by way of `changed`.

    nodes: in the order that decides between equal scores. The policy's score must be a function of the pod
    and the node alone.
    """

    def __init__(self, nodes: Sequence[Node], policy: Policy) -> None:
        self._nodes = nodes
        self._policy = policy
        self._log: list[int] = []
        self._rows: dict[PodRequest, list[float]] = {}
        self._seen: dict[PodRequest, int] = {}  # how much of the log is in the row

    def row(self, pod: PodRequest) -> list[float]:
        """The score of each node for the pod; INFEASIBLE where it does not fit. Not to be changed."""
        row = self._rows.get(pod)
        if row is None:
            row = self._rows[pod] = [score_node(self._policy, pod, node) for node in self._nodes]
        else:
            for index in set(self._log[self._seen[pod] :]):
                row[index] = score_node(self._policy, pod, self._nodes[index])
        self._seen[pod] = len(self._log)
        return row

    def changed(self, index: int) -> None:
        """Says that this node is not what it was."""
        self._log.append(index)
        if len(self._log) > LOG_ROUNDS * len(self._nodes):
            self._forget(len(self._log) // 2)

    def _forget(self, oldest: int) -> None:
        """Drops the oldest entries of the log, and the rows that have not seen them."""
        del self._log[:oldest]
        self._seen = {pod: seen - oldest for pod, seen in self._seen.items() if seen >= oldest}
        self._rows = {pod: self._rows[pod] for pod in self._seen}


def score_node(policy: Policy, pod: PodRequest, node: Node) -> float:
    """Filter and Score of one node: what the policy says, or INFEASIBLE."""
    return INFEASIBLE if filter_node(pod, node) else policy.score(pod, node)
