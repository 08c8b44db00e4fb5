"""Nodes, their devices, and what a pod asks for.

A GPU device has 1,000 thousandths. A pod asks for k devices and for m thousandths of each: a fraction of one
device, or whole ones, which must be empty. A node is what is left of it, and how many pods of each request
are on it; `take` and `give` are the only ways to change it, they undo each other, and neither leaves the
bounds. Counterparts: `NodeInfo` of kube-scheduler; `nvidia.com/gpu` as counted by NVIDIA's device plugin.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

DEVICE_MILLI = 1000  # a device in thousandths


class Taint(NamedTuple):
    """Keeps pods off a node that do not tolerate it; `PreferNoSchedule` keeps none off."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"


class Toleration(NamedTuple):
    """Matches taints: an empty key or effect matches all; operator `Exists` matches any value."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        return (
            self.effect in ("", taint.effect)
            and (self.key == taint.key or (not self.key and self.operator == "Exists"))
            and (self.operator == "Exists" or self.value == taint.value)
        )


class PodRequest(NamedTuple):
    """What a pod asks for. Equal requests are one class: they score alike on every node.

    gpu_count: devices; gpu_milli: thousandths of each. models: which GPU models it may get;
    none is any.
    """

    cpu_milli: int
    memory_mib: int
    gpu_count: int = 0
    gpu_milli: int = 0
    models: tuple[str, ...] = ()
    tolerations: tuple[Toleration, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it needs empty devices, rather than a share of one."""
        return self.gpu_count > 0 and self.gpu_milli == DEVICE_MILLI

    @property
    def total_gpu_milli(self) -> int:
        return self.gpu_count * self.gpu_milli


def check_request(pod: PodRequest) -> None:
    """Raises ValueError for a request that no node can mean: a negative one, or shares of several devices."""
    if min(pod.cpu_milli, pod.memory_mib, pod.gpu_count, pod.gpu_milli) < 0:
        raise ValueError(f"a pod asks for {pod[:4]}, which is negative; ask for 0 or more of each")
    if pod.gpu_count > 1 and pod.gpu_milli != DEVICE_MILLI:
        raise ValueError(
            f"a pod asks for {pod.gpu_milli}/1000 of {pod.gpu_count} devices; "
            "several devices are given whole, so ask for 1000 of each, or for a share of one"
        )
    if pod.gpu_count == 1 and not 0 < pod.gpu_milli <= DEVICE_MILLI:
        raise ValueError(f"a pod asks for {pod.gpu_milli}/1000 of a device; ask for 1 to 1000")


@dataclass(slots=True)
class Node:
    """A node: what it has, and what is free. `devices` is the free thousandths of each, in device order."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpu_count: int = 0
    model: str = ""
    taints: tuple[Taint, ...] = ()
    free_cpu_milli: int = field(init=False)
    free_memory_mib: int = field(init=False)
    devices: tuple[int, ...] = field(init=False)
    pods: Counter[PodRequest] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self.free_cpu_milli = self.cpu_milli
        self.free_memory_mib = self.memory_mib
        self.devices = (DEVICE_MILLI,) * self.gpu_count

    def emptied(self) -> "Node":
        """The same node with nothing on it."""
        return Node(self.name, self.cpu_milli, self.memory_mib, self.gpu_count, self.model, self.taints)

    def take(self, pod: PodRequest, devices: tuple[int, ...]) -> None:
        """Gives a pod its CPU, memory and these devices; ValueError, and no change, if they are not free."""
        self._change(pod, devices, -1)
        self.pods[pod] += 1

    def give(self, pod: PodRequest, devices: tuple[int, ...]) -> None:
        """The opposite of `take`; ValueError, and no change, if the pod was never here."""
        if not self.pods[pod]:
            raise ValueError(f"node {self.name!r} holds no pod that asks for {pod}; give back what it took")
        self._change(pod, devices, 1)
        self.pods[pod] -= 1
        if not self.pods[pod]:
            del self.pods[pod]

    def _change(self, pod: PodRequest, devices: tuple[int, ...], sign: int) -> None:
        cpu = self.free_cpu_milli + sign * pod.cpu_milli
        memory = self.free_memory_mib + sign * pod.memory_mib
        free = list(self.devices)
        for device in devices:
            free[device] += sign * pod.gpu_milli
        within = all(0 <= left <= DEVICE_MILLI for left in free) and len(set(devices)) == pod.gpu_count
        if not (within and 0 <= cpu <= self.cpu_milli and 0 <= memory <= self.memory_mib):
            raise ValueError(f"node {self.name!r} can't change by {pod} on devices {devices}: it has {self}")
        self.free_cpu_milli, self.free_memory_mib, self.devices = cpu, memory, tuple(free)
