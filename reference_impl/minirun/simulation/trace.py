"""Replays a trace of requests against the unchanged platform, in virtual time: a day in seconds.

One Service is deployed for each name in the trace, then its requests are sent. From the reconcilers to the
autoscaler it is the platform as `platform.build` puts it together; only the loop, the runtime and the clients
are virtual. Counterpart: the load tests of knative/serving (test/performance), which need a cluster.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from random import Random
from urllib.parse import urlsplit
from uuid import UUID

from minirun.api.admission import admit
from minirun.api.operator_settings import seed_settings
from minirun.api.requests import Target
from minirun.api.status import StatusError
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import READY, TRUE, find
from minirun.model.resources import KIND_OF, SERVING, Service
from minirun.platform import build
from minirun.runtime.virtual import Profile, VirtualRuntime, distribution
from minirun.simulation.clients import Clients
from minirun.simulation.loop import VirtualClock, run_virtual
from minirun.simulation.report import Percentiles, SimulationReport
from minirun.simulation.workload import Arrivals, read_trace, spread
from minirun.store.store import Store

NAMESPACE = "default"
PROFILE = Profile(start=distribution("0.5"), service=distribution("0.1"))
COLUMNS = 60
DEPLOY_SECONDS = 660.0  # a little more than the progress deadline


class DeployError(Exception):
    """A Service of the trace was refused, or did not become ready."""


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """How the Services of a trace are deployed, and how their containers behave.

    Args:
        profile: start-up and service times, and failures, of every container.
        concurrency: containerConcurrency; 0 is no limit.
        annotations: of every revision, such as `autoscaling.knative.dev/min-scale`.
        settings: the data of ConfigMaps in `knative-serving`, by name, such as `config-autoscaler`.
        poisson: requests arrive at random in their second, instead of evenly.
        seed: of all randomness; the same seed gives the same report.
    """

    profile: Profile = PROFILE
    concurrency: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    poisson: bool = False
    seed: int = 0

    def manifest(self, name: str) -> dict[str, object]:
        """The Service that is deployed for a name in the trace, as a user would write it."""
        spec = {"containerConcurrency": self.concurrency, "containers": [{"image": "hello"}]}
        template = {"metadata": {"annotations": dict(self.annotations)}, "spec": spec}
        meta = {"name": name}
        return {"apiVersion": SERVING, "kind": "Service", "metadata": meta, "spec": {"template": template}}


class Simulation:
    """One run of one trace, in the virtual time of `clock`."""

    def __init__(self, options: SimulationOptions, clock: VirtualClock) -> None:
        self._options = options
        self._clock = clock
        # Three sources, so that another policy meets the same arrivals.
        platform, containers, self._arrivals = (
            Random(f"{options.seed} {use}") for use in ("platform", "containers", "arrivals")
        )
        self.runtime = VirtualRuntime(clock, containers, lambda spec: options.profile)
        self.store = Store(clock, new_uid=lambda: str(UUID(int=platform.getrandbits(128), version=4)))
        seed_settings(self.store, options.settings)
        self.core = build(store=self.store, clock=clock, rng=platform, runtime=self.runtime)
        self.clients = Clients(self.core.router, self.runtime, clock)
        self._samples: list[Counter[str]] = []

    def create(self, name: str) -> None:
        """Creates a Service, through the same door as the API's."""
        target, document = Target(KIND_OF[Service], NAMESPACE, name), self._options.manifest(name)
        try:
            self.store.create(admit(self.store, target, document, None, "Strict").resource)
        except StatusError as error:
            raise DeployError(f"service {name} was refused: {error}") from None

    async def deploy(self, names: Sequence[str]) -> dict[str, str]:
        """Deploys a Service for each name; returns their hosts when all are ready, or raises DeployError."""
        watch = self.store.watch([Service])
        hosts: dict[str, str] = {}
        waiting = dict.fromkeys(names, "nothing was heard of it")
        try:
            async with asyncio.timeout(DEPLOY_SECONDS):
                for name in names:
                    self.create(name)
                while waiting:
                    service = self.store.get(Service, *(await anext(watch)).object.key)
                    name, ready = service.metadata.name, find(service.status.conditions, READY)
                    if ready and ready.status == TRUE:
                        hosts[name] = urlsplit(service.status.url).netloc
                        waiting.pop(name, None)
                    elif ready and name in waiting:
                        waiting[name] = ready.message
        except TimeoutError:
            name, message = next(iter(waiting.items()))
            text = f"service {name} was not ready within {DEPLOY_SECONDS:g} s: {message}"
            raise DeployError(text) from None
        finally:
            watch.close()
        return hosts

    async def replay(self, trace: Sequence[Arrivals], hosts: Mapping[str, str]) -> None:
        """Sends all requests of the trace, at their times from now; returns when the last second is over."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for second, rows in groupby(trace, key=lambda row: row.second):
            await asyncio.sleep(start + second - loop.time())
            for row in rows:
                for offset in spread(row.requests, self._arrivals if self._options.poisson else None):
                    loop.call_later(offset, self.clients.send, hosts[row.service])
        await asyncio.sleep(1)

    async def sample(self, interval_seconds: float) -> None:
        """Counts the instances of each Service at the end of each interval, until it is cancelled."""
        while True:
            await asyncio.sleep(interval_seconds)
            self._samples.append(Counter(p.spec.service for p in self.runtime.processes.values()))

    async def run(self, trace: Sequence[Arrivals]) -> SimulationReport:
        """Deploys, replays, and reports."""
        wall = time.perf_counter()
        names = sorted({row.service for row in trace})
        interval_seconds = max(1.0, (trace[-1].second + 1) / COLUMNS)
        await self.core.start()
        try:
            hosts = await self.deploy(names)
            started, container_ns = self.runtime.started, self.runtime.container_ns()
            began_ns = self._clock.monotonic_ns()
            sampling = asyncio.create_task(self.sample(interval_seconds))
            await self.replay(trace, hosts)
            await self.clients.all_answered()
            sampling.cancel()
            clients = self.clients
            return SimulationReport(
                seconds=(self._clock.monotonic_ns() - began_ns) / SECOND_NS,
                statuses=dict(sorted(clients.statuses.items())),
                latency=Percentiles.of(clients.latencies),
                waited=len(clients.waits),
                wait=Percentiles.of(clients.waits),
                cold_starts=self.runtime.started - started,
                instance_seconds=(self.runtime.container_ns() - container_ns) / SECOND_NS,
                interval_seconds=interval_seconds,
                instances={name: tuple(sample[name] for sample in self._samples) for name in names},
                wall_seconds=time.perf_counter() - wall,
            )
        finally:
            await self.core.stop()


def simulate(trace: Sequence[Arrivals], options: SimulationOptions = SimulationOptions()) -> SimulationReport:
    """Runs a trace, sorted by second and with at least one row, through the platform in virtual time.

    Raises:
        DeployError: a Service was refused, or did not become ready.
        ValueError: a setting is not allowed.
    """
    return run_virtual(lambda clock: Simulation(options, clock).run(trace))


def simulate_csv(path: str | Path, options: SimulationOptions = SimulationOptions()) -> SimulationReport:
    """Runs the trace in a CSV file; see `workload.read_trace` and `simulate`.

    Raises:
        ValueError: the file is no trace (one sentence with the file and the line), or a setting not allowed.
        OSError: the file can't be read.
        DeployError: a Service was refused, or did not become ready.
    """
    with Path(path).open(encoding="utf-8", newline="") as lines:
        try:
            trace = read_trace(lines)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return simulate(trace, options)
