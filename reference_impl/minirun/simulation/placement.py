"""Replays a trace of pods against a placement policy: how much of the GPUs is in use when how much was asked.

Pods arrive one after the other and none leaves; one that fits nowhere is dropped. After each, the demand that
arrived and what is allocated are percentages of all GPUs; aX is the mean allocation while the demand,
rounded, is X %. The experiment, the file formats and the figures to compare with are those of *Beware of
Fragmentation* (USENIX ATC'23) and the Alibaba trace that was published with it.
"""

import csv
import gzip
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

import msgspec

from minirun.scheduling.catalog import POLICIES
from minirun.scheduling.cluster import DEVICE_MILLI, Node, PodRequest, check_request
from minirun.scheduling.fgd import Cause, fragment, target_classes
from minirun.scheduling.policy import Workload
from minirun.scheduling.scheduler import Scheduler

Row = TypeVar("Row")
LOADS = (80, 90, 95, 100, 110, 130)  # % of the GPUs that were asked for


class TraceFileError(ValueError):
    """A file that is not a trace of this kind. The text names the file and what it lacks."""


class Order(msgspec.Struct, frozen=True):
    """In which order rows of the pods file arrive, and which node comes first of equally good ones."""

    pods: list[int]
    node_rank: list[int]


@dataclass(frozen=True, slots=True)
class Experiment:
    """The nodes, the pods they are asked for, and the order of arrival, which are row numbers."""

    nodes: tuple[Node, ...]
    pods: tuple[PodRequest, ...]
    order: Order

    @classmethod
    def read(cls, nodes: Path, pods: Path, order: Path) -> "Experiment":
        """From two CSV files and a JSON file, which may be packed with gzip.

        Raises TraceFileError for one that can't be read, lacks a column, or names rows that are not there.
        """
        made = cls(tuple(_rows(nodes, _node)), tuple(_rows(pods, _pod)), _read_order(order))
        if max(made.order.pods, default=0) >= len(made.pods) or min(made.order.pods, default=0) < 0:
            raise TraceFileError(f"{order}: it names pods that {pods} has not; that has {len(made.pods)}")
        if len({node.name for node in made.nodes}) < len(made.nodes):
            raise TraceFileError(f"{nodes}: some nodes have the same name; give each `sn` of its own")
        if sorted(made.order.node_rank) != list(range(len(made.nodes))):
            raise TraceFileError(
                f"{order}: `node_rank` must give each of the {len(made.nodes)} nodes one rank"
            )
        return made

    def run(self, policy: str, clock: Callable[[], int], seed: int = 0) -> "PlacementReport":
        """Offers all pods to the policy of this name. clock: nanoseconds, to measure each cycle with."""
        workload = Workload(self.pods, self.nodes, random.Random(seed))
        ranked = sorted(zip(self.order.node_rank, self.nodes, strict=True), key=lambda pair: pair[0])
        scheduler = Scheduler((node.emptied() for _, node in ranked), POLICIES[policy](workload))
        report = PlacementReport(policy, sum(node.gpu_count for node in self.nodes) * DEVICE_MILLI)
        for row in self.order.pods:
            pod = self.pods[row]
            began = clock()
            placed = scheduler.schedule(pod)
            report.record(pod, placed is not None, clock() - began)
        report.idle_gpus = idle_by_cause(scheduler.nodes, self.pods)
        return report


@dataclass(slots=True)
class PlacementReport:
    """What a policy did with a trace. `idle_gpus`: what is free in the end, by why it can't be used."""

    policy: str
    capacity_milli: int
    idle_gpus: dict[str, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    refused_8_early: int = 0
    _arrived_milli: int = 0
    _allocated_milli: int = 0
    _curve: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    _cycles_ns: list[int] = field(default_factory=list)

    def record(self, pod: PodRequest, placed: bool, cycle_ns: int) -> None:
        """One pod was offered."""
        self._cycles_ns.append(cycle_ns)
        self._arrived_milli += pod.total_gpu_milli
        arrived = 100 * self._arrived_milli / self.capacity_milli
        if placed:
            self._allocated_milli += pod.total_gpu_milli
        else:
            self.refused[size(pod)] += 1
            self.refused_8_early += pod.gpu_count == 8 and arrived <= 100
        self._curve[round(arrived)].append(round(100 * self._allocated_milli / self.capacity_milli, 2))

    def curve(self) -> dict[int, float]:
        """Percent of the GPUs that are allocated, by percent of the GPUs that were asked for."""
        return {load: statistics.fmean(samples) for load, samples in self._curve.items()}

    def summary(self) -> "PlacementSummary":
        """The figures that are told of a policy."""
        ordered = sorted(self._cycles_ns) or [0]
        curve = self.curve()
        return PlacementSummary(
            self.policy,
            {f"a{load}": round(curve[load], 2) for load in LOADS if load in curve},
            dict(sorted(self.refused.items())),
            self.refused_8_early,
            self.idle_gpus,
            round(len(ordered) * 1e9 / max(1, sum(ordered))),
            ordered[len(ordered) // 2] / 1e6,
            ordered[len(ordered) * 99 // 100] / 1e6,
        )


class PlacementSummary(msgspec.Struct, frozen=True, rename="camel"):
    """A report in figures.

    allocated: percent by load (`a80`), where the trace reaches it. refused: pods by size (`size`); of those
    of 8 GPUs, also how many before the demand was 100 %. idle_gpus: as in the report. Cycles in milliseconds.
    """

    policy: str
    allocated: dict[str, float]
    refused: dict[str, int]
    refused_8_before_100: int
    idle_gpus: dict[str, float]
    attempts_per_second: int
    p50_ms: float
    p99_ms: float


def size(pod: PodRequest) -> str:
    """How pods are grouped in the report: no GPU, a share of one, or the number of whole ones."""
    return "share" if pod.gpu_count and not pod.whole else str(pod.gpu_count)


def idle_by_cause(nodes: Sequence[Node], pods: Sequence[PodRequest]) -> dict[str, float]:
    """GPUs that are free, by why a pod of the workload can't use them; `usable` is what it can.

    It is the mean over the pods' target classes that ask for GPUs, each as frequent as it is.
    """
    asking = target_classes(pod for pod in pods if pod.gpu_count)
    idle: dict[str, float] = dict.fromkeys(
        (*(str(cause) for cause in Cause if cause != Cause.ASKS_NO_GPU), "usable"), 0.0
    )
    for node in nodes:
        for target in asking:
            cause, lost = fragment(target, node.free_cpu_milli, node.devices, node.model)
            idle[cause] += target.popularity * lost / DEVICE_MILLI
            idle["usable"] += target.popularity * (sum(node.devices) - lost) / DEVICE_MILLI
    return {cause: round(gpus, 1) for cause, gpus in idle.items()}


def _opened(path: Path) -> TextIO:
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _read_order(path: Path) -> Order:
    try:
        with _opened(path) as file:
            return msgspec.json.decode(file.read(), type=Order)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise TraceFileError(f"{path}: {error}; it needs `pods` and `node_rank`, lists of numbers") from None


def _rows(path: Path, made_of: Callable[[dict[str, str]], Row]) -> Iterator[Row]:
    with _opened(path) as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                yield made_of(row)
            except KeyError as error:
                raise TraceFileError(f"{path}, line {number}: there is no column {error}") from None
            except (ValueError, TypeError) as error:
                raise TraceFileError(f"{path}, line {number}: {error}") from None


def _node(row: dict[str, str]) -> Node:
    return Node(row["sn"], int(row["cpu_milli"]), int(row["memory_mib"]), int(row["gpu"]), row["model"])


def _pod(row: dict[str, str]) -> PodRequest:
    cpu, memory, count, milli = (
        int(row[each]) for each in ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
    )
    pod = PodRequest(cpu, memory, count, milli, tuple(filter(None, row["gpu_spec"].split("|"))))
    check_request(pod)
    return pod
