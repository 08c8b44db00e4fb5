"""Fragmentation gradient descent: put a pod where it makes the least of the free GPUs useless.

Free GPU on a node is a fragment, seen by a class of pods, if no pod of the class could use it: the node has
not the CPU, not the model or not enough devices, or it is what is left on devices too full for it. What is
expected over the classes that make up 95 % of the workload is the node's fragmentation F; the node where
placing the pod raises F least wins. Source: *Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
Fragmentation Gradient Descent*, USENIX ATC'23. Scores go through a sigmoid and are cut to 0 to 100; the ties
that this makes, decided by the order of the nodes, are worth a point of allocation.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from minirun.scheduling.cluster import DEVICE_MILLI, Node, PodRequest
from minirun.scheduling.policy import Policy, Workload, tightest_devices

COVERED = 0.95  # the share of pods that the target classes make up
REMEMBERED = 1 << 17  # results kept of each memoised function


class TargetClass(NamedTuple):
    """Pods that ask for the same (memory apart), and which share of the target pods they are."""

    cpu_milli: int
    gpu_count: int
    gpu_milli: int
    models: tuple[str, ...]
    popularity: float = 0.0


class NodeState(NamedTuple):
    """What a placement policy looks at: free CPU, free thousandths of each device, the model."""

    cpu_milli: int
    devices: tuple[int, ...]
    model: str


class Cause(StrEnum):
    """Why a class can't use what is free on a node."""

    ASKS_NO_GPU = "asks for no GPU"
    CPU = "lack of CPU"
    MODEL = "wrong model"
    GPU = "lack of GPU"
    LEFTOVER = "leftover"


def target_classes(pods: Iterable[PodRequest]) -> list[TargetClass]:
    """The most frequent classes that together are 95 % of the pods, with their popularity, which sums to 1.

    Of equally frequent ones that come first which ask for more CPU, thousandths, devices, and whose models,
    joined by `|`, sort last. The class that crosses 95 % is in.
    """
    counts = Counter(TargetClass(pod.cpu_milli, pod.gpu_count, pod.gpu_milli, pod.models) for pod in pods)
    ordered = sorted(counts, key=lambda each: (counts[each], *_order(each)))
    taken: list[TargetClass] = []
    covered, enough = 0, COVERED * counts.total()
    while ordered and covered < enough:
        taken.append(ordered.pop())
        covered += counts[taken[-1]]
    return [each._replace(popularity=counts[each] / covered) for each in taken]


def _order(target: TargetClass) -> tuple[int, int, int, str]:
    return target.cpu_milli, target.gpu_milli, target.gpu_count, "|".join(target.models)


def fragment(
    target: TargetClass, free_cpu_milli: int, devices: Sequence[int], model: str
) -> tuple[Cause, int]:
    """How many of a node's free GPU thousandths pods of this class can't use, and why.

    devices: the free thousandths of each. All of them if the class asks for no GPU, or the node has not its
    CPU, not its model, or fewer devices than it asks for; else what is on devices with less than it asks for.
    """
    left = sum(devices)
    if not target.gpu_count:
        return Cause.ASKS_NO_GPU, left
    if free_cpu_milli < target.cpu_milli:
        return Cause.CPU, left
    if target.models and model not in target.models:
        return Cause.MODEL, left
    small = [free for free in devices if free < target.gpu_milli]
    if len(devices) - len(small) < target.gpu_count:
        return Cause.GPU, left
    return Cause.LEFTOVER, sum(small)


def fragmentation(
    targets: Iterable[TargetClass], free_cpu_milli: int, devices: Sequence[int], model: str
) -> float:
    """F of a node: the fragments that each class sees, in thousandths, weighted by its popularity."""
    return sum(target.popularity * fragment(target, free_cpu_milli, devices, model)[1] for target in targets)


def fgd_score(before: float, after: float) -> int:
    """0 to 100 for a placement that changes F, in thousandths, from `before` to `after`; 50 if not at all.

    What sums differ by because of their order (a millionth) is no change.
    """
    return math.floor(100 / (1 + math.exp(-round(before - after, 6) / DEVICE_MILLI)))


class Fgd(Policy):
    """The published policy. A share tries every device that fits and goes on the best one.

    Results are remembered, since many nodes are alike: F sees no more of a node than its model, its devices
    in any order, and the step that its CPU is on between the targets' CPU requests.
    """

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.targets = target_classes(workload.pods)
        self._cpu_steps = sorted({target.cpu_milli for target in self.targets})
        self._alike = lru_cache(REMEMBERED)(self._merged)
        self._fragmentation = lru_cache(REMEMBERED)(self._fragmentation_at)
        self._best = lru_cache(REMEMBERED)(self._find_best)

    def score(self, pod: PodRequest, node: Node) -> float:
        return self._best(pod, node.free_cpu_milli, node.devices, node.model)[0]

    def devices(self, pod: PodRequest, node: Node) -> tuple[int, ...]:
        return self._best(pod, node.free_cpu_milli, node.devices, node.model)[1]

    def value(self, pod: PodRequest, state: NodeState, before: float, after: float) -> float:
        """The score of placing the pod on a node in this state, given F before and after."""
        return fgd_score(before, after)

    def _find_best(
        self, pod: PodRequest, cpu_milli: int, devices: tuple[int, ...], model: str
    ) -> tuple[float, tuple[int, ...]]:
        """The best value on such a node, and the devices that give it; of equals the first."""
        state = NodeState(cpu_milli, devices, model)
        before = self._fragmentation(self._step(cpu_milli), tuple(sorted(devices)), model)
        step = self._step(cpu_milli - pod.cpu_milli)
        best: tuple[float, tuple[int, ...]] | None = None
        for chosen in candidates(pod, devices):
            rest = list(devices)
            for index in chosen:
                rest[index] -= pod.gpu_milli
            after = self._fragmentation(step, tuple(sorted(rest)), model)
            value = self.value(pod, state, before, after)
            if best is None or value > best[0]:
                best = value, chosen
        assert best is not None, "only nodes that fit are scored"
        return best

    def _step(self, cpu_milli: int) -> int:
        """How many of the targets' CPU requests, each counted once, the free CPU covers."""
        return bisect_right(self._cpu_steps, cpu_milli)

    def _fragmentation_at(self, step: int, ascending: tuple[int, ...], model: str) -> float:
        cpu_milli = self._cpu_steps[step - 1] if step else -1
        return fragmentation(self._alike(cpu_milli, model), 0, ascending, "")

    def _merged(self, cpu_milli: int, model: str) -> list[TargetClass]:
        """The targets by what decides on a node with this CPU and model: the devices that they ask for."""
        popularity: dict[tuple[int, int], float] = {}
        for target in self.targets:
            served = cpu_milli >= target.cpu_milli and (not target.models or model in target.models)
            devices = (target.gpu_count, target.gpu_milli) if served else (0, 0)
            popularity[devices] = popularity.get(devices, 0.0) + target.popularity
        return [TargetClass(0, *devices, (), weight) for devices, weight in popularity.items()]


def candidates(pod: PodRequest, devices: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The ways to place a pod on a node's devices: a share on each that fits (once for each that are equally
    full: the first of them), whole devices on the first empty ones."""
    if pod.gpu_count != 1 or pod.whole:
        yield tightest_devices(pod, devices)
        return
    first = {free: index for index, free in reversed(list(enumerate(devices)))}
    yield from (
        (index,) for free, index in sorted(first.items(), key=lambda item: item[1]) if free >= pod.gpu_milli
    )
