"""The whole platform in virtual time: what a load does to one Service, second by second."""

import asyncio
import logging
from typing import Any  # cases are JSON of many shapes

from minirun.model.resources import PodAutoscaler
from minirun.overlay import PARTS, where
from minirun.runtime.virtual import Profile, distribution
from minirun.simulation.loop import VirtualClock, run_virtual
from minirun.simulation.trace import NAMESPACE, Simulation, SimulationOptions
from minirun.simulation.workload import Arrivals

APP = "app"


class Observed(Simulation):
    """A simulation that notes what there is at the end of each second."""

    def __init__(self, options: SimulationOptions, clock: VirtualClock) -> None:
        super().__init__(options, clock)
        self.seconds: list[tuple[int, int, int, float | None]] = []

    async def sample(self, interval_seconds: float) -> None:
        answered = 0
        while True:
            await asyncio.sleep(1)
            wanted = [each.status.desired_scale or 0 for each in self.store.select(PodAutoscaler, NAMESPACE)]
            latencies = self.clients.latencies[answered:]
            answered += len(latencies)
            slowest = max(latencies, default=None)
            self.seconds.append((sum(wanted), len(self.runtime.processes), self.clients.waiting, slowest))


class Faults(logging.Handler):
    """What parts have raised in the platform, which logs it and goes on: each place once."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        place = where(error) if error is not None else ""
        if place and place not in self.found:
            self.found.append(place)


def course(case: dict[str, Any]) -> dict[str, Any]:
    """A load, {load, concurrency, service, start, annotations, seed}, and what came of it: `bench.Course`."""
    options = SimulationOptions(
        Profile(start=distribution(case["start"]), service=distribution(case["service"])),
        case["concurrency"],
        case["annotations"],
        seed=case["seed"],
    )
    trace = [Arrivals(second, APP, requests) for second, requests in enumerate(case["load"])]
    seen: list[Observed] = []
    faults = Faults()
    for name in ("minirun", "asyncio"):
        logging.getLogger(name).addHandler(faults)

    async def run(clock: VirtualClock) -> Any:
        seen.append(Observed(options, clock))
        return await seen[0].run(trace)

    report = run_virtual(run)
    desired, instances, waiting, latency = zip(*seen[0].seconds, strict=True)
    return {
        "load": [*case["load"], *[0] * (len(desired) - len(case["load"]))],
        "desired": desired,
        "instances": instances,
        "waiting": waiting,
        "latency": latency,
        "p50": report.latency.p50,
        "p95": report.latency.p95,
        "errors": report.errors,
        "cold_starts": report.cold_starts,
        "instance_seconds": report.instance_seconds,
        "faults": faults.found,
        "parts": [str(part) for part in PARTS.values()],
    }
