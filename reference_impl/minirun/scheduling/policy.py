"""What a placement policy is: a score for each node that fits, and which of its devices a pod gets.

Counterparts in the scheduling framework: Score is `score`; choosing the best node is `select`. NormalizeScore
brings the scores of several plugins to one range before they are added up; here one policy scores alone, and
normalising would keep the order of its scores, so there is no such step. `devices` is what a device plugin's
GetPreferredAllocation answers.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from minirun.scheduling.cluster import DEVICE_MILLI, Node, PodRequest

INFEASIBLE: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Workload:
    """What a policy may know beforehand: pods like those that will come, the nodes, and its dice."""

    pods: Sequence[PodRequest] = ()
    nodes: Sequence[Node] = ()
    rng: random.Random = field(default_factory=lambda: random.Random(0))


class Policy:
    """A policy; subclasses give `score`. It is only asked about nodes that fit."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def score(self, pod: PodRequest, node: Node) -> float:
        """How good the node is for the pod: a function of both alone, so that it may be kept."""
        raise NotImplementedError

    def devices(self, pod: PodRequest, node: Node) -> tuple[int, ...]:
        """The indices of the devices that the pod gets on this node."""
        return tightest_devices(pod, node.devices)

    def select(self, scores: Sequence[float]) -> int:
        """The index of the node to take: the best; of equals the first."""
        return scores.index(max(scores))


def tightest_devices(pod: PodRequest, free_milli: Sequence[int]) -> tuple[int, ...]:
    """A share goes on the fitting device with the least left, whole devices are the first empty ones.

    free_milli: what is left of each device. Of equals the first; the pod must fit.
    """
    fitting = [index for index, left in enumerate(free_milli) if left >= pod.gpu_milli]
    if pod.gpu_count == 1 and pod.gpu_milli < DEVICE_MILLI:
        return (min(fitting, key=free_milli.__getitem__),)
    return tuple(fitting[: pod.gpu_count])
