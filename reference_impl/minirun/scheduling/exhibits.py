"""The published policies to compare with: each is its formula. Only FGD is more than an exhibit.

Sources: the simulator of *Beware of Fragmentation* (USENIX ATC'23) for best-fit, dot-product, packing,
clustering and random; kube-scheduler's NodeResourcesFit and NodeResourcesBalancedAllocation for the other
two. Scores are integers, and the rounding is part of the policy: it decides what is a tie.
"""

from collections.abc import Sequence

from minirun.scheduling.cluster import DEVICE_MILLI, Node, PodRequest
from minirun.scheduling.policy import INFEASIBLE, Policy

MAX_CPU_MILLI = 128_000  # the largest node of the published cluster
MAX_GPU_MILLI = 8_000


class Random(Policy):
    """Any node that fits."""

    def score(self, pod: PodRequest, node: Node) -> float:
        return 0

    def select(self, scores: Sequence[float]) -> int:
        fitting = [index for index, score in enumerate(scores) if score != INFEASIBLE]
        return self.workload.rng.choice(fitting) if fitting else 0


class BestFit(Policy):
    """The node where the least is left afterwards."""

    def score(self, pod: PodRequest, node: Node) -> float:
        cpu = (node.free_cpu_milli - pod.cpu_milli) / MAX_CPU_MILLI
        gpu = (sum(node.devices) - pod.total_gpu_milli) / MAX_GPU_MILLI
        return int(100 * (1 - (cpu / 2 + gpu / 2)))


class DotProduct(Policy):
    """The node where what is free and what is asked for point least in the same direction."""

    def score(self, pod: PodRequest, node: Node) -> float:
        cpu = node.free_cpu_milli / MAX_CPU_MILLI * pod.cpu_milli / MAX_CPU_MILLI
        gpu = sum(node.devices) / MAX_GPU_MILLI * pod.total_gpu_milli / MAX_GPU_MILLI
        return int(100 * (1 - (cpu + gpu) / 2))


class Clustering(Policy):
    """Pods of a kind together: shares, or whole devices of one number; then the fuller node."""

    def score(self, pod: PodRequest, node: Node) -> float:
        if not pod.gpu_count:
            return 0
        kinds, mine = {_kind(each) for each in node.pods if each.gpu_count}, _kind(pod)
        together = 25 if not kinds else 75 if kinds == {mine} else 50 if mine in kinds else 0
        return together + 25 * (MAX_GPU_MILLI - sum(node.devices)) // MAX_GPU_MILLI


def _kind(pod: PodRequest) -> int:
    return pod.gpu_count if pod.whole else 0


class Packing(Policy):
    """Used devices before empty ones, used nodes before empty ones."""

    def score(self, pod: PodRequest, node: Node) -> float:
        if not pod.gpu_count:
            return 0
        empty = node.devices.count(DEVICE_MILLI)
        if empty == node.gpu_count:
            return max(33 - empty, empty)
        chosen = [node.devices[index] for index in self.devices(pod, node)]
        if DEVICE_MILLI in chosen:
            return max(50 - chosen.count(DEVICE_MILLI), 33)
        return max(100 - sum(left * 100 // DEVICE_MILLI for left in chosen) // 10, 50)


class LeastAllocated(Policy):
    """kube-scheduler as it comes: spread, and keep CPU and memory in balance; it sees no GPUs."""

    def score(self, pod: PodRequest, node: Node) -> float:
        cpu = node.free_cpu_milli - pod.cpu_milli
        memory = node.free_memory_mib - pod.memory_mib
        least = (cpu * 100 // node.cpu_milli + memory * 100 // node.memory_mib) // 2
        return least + int(100 * (1 - abs(cpu / node.cpu_milli - memory / node.memory_mib) / 2))


class MostAllocated(Policy):
    """kube-scheduler told to pack: CPU, memory and GPU count 1 : 1 : 5."""

    def score(self, pod: PodRequest, node: Node) -> float:
        cpu = (node.cpu_milli - node.free_cpu_milli + pod.cpu_milli) * 100 // node.cpu_milli
        memory = (node.memory_mib - node.free_memory_mib + pod.memory_mib) * 100 // node.memory_mib
        capacity = node.gpu_count * DEVICE_MILLI
        gpu = (capacity - sum(node.devices) + pod.total_gpu_milli) * 100 // capacity if capacity else 0
        return (cpu + memory + 5 * gpu) // 7
