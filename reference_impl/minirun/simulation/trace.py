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

from minirun.model.clock import SECOND_NS
from minirun.model.conditions import FALSE, READY, TRUE, find
from minirun.model.defaults import set_defaults
from minirun.model.meta import ObjectMeta
from minirun.model.resources import (
    ConfigMap,
    Container,
    RevisionSpec,
    RevisionTemplate,
    Service,
    ServiceSpec,
)
from minirun.model.settings import SYSTEM_NAMESPACE, DefaultsSettings
from minirun.platform import Core, build
from minirun.runtime.virtual import Profile, VirtualRuntime, distribution
from minirun.simulation.clients import Clients
from minirun.simulation.loop import VirtualClock, run_virtual
from minirun.simulation.report import Percentiles, SimulationReport
from minirun.simulation.workload import Arrivals, read_trace, spread
from minirun.store.store import Store

NAMESPACE = "default"
COLUMNS = 60
DEPLOY_SECONDS = 600.0


class DeployError(Exception):
    """A Service of the trace did not become ready."""


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

    profile: Profile = Profile(distribution("0.5"), distribution("0.1"))  # noqa: RUF009
    concurrency: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    poisson: bool = False
    seed: int = 0

    def service(self, name: str) -> Service:
        """The Service that is deployed for a name in the trace."""
        spec = RevisionSpec(containers=[Container(image="hello")], container_concurrency=self.concurrency)
        meta = ObjectMeta(annotations=dict(self.annotations))
        new = Service(
            metadata=ObjectMeta(name=name, namespace=NAMESPACE),
            spec=ServiceSpec(template=RevisionTemplate(metadata=meta, spec=spec)),
        )
        return set_defaults(
            new, None, DefaultsSettings.parse(self.settings.get("config-defaults", {})), "minirun"
        )


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
        for name, data in options.settings.items():
            meta = ObjectMeta(name=name, namespace=SYSTEM_NAMESPACE)
            self.store.create(ConfigMap(metadata=meta, data=dict(data)))
        self.core: Core = build(store=self.store, clock=clock, rng=platform, runtime=self.runtime)
        self.clients = Clients(self.core.router, self.runtime, clock)
        self._samples: list[Counter[str]] = []

    async def deploy(self, names: Sequence[str]) -> dict[str, str]:
        """Deploys a Service for each name; returns their hosts when all are ready, or raises DeployError."""
        watch = self.store.watch([Service])
        hosts: dict[str, str] = {}
        for name in names:
            self.store.create(self._options.service(name))
        try:
            async with asyncio.timeout(DEPLOY_SECONDS):
                while len(hosts) < len(names):
                    service = (await anext(watch)).object
                    assert isinstance(service, Service)
                    ready = find(service.status.conditions, READY)
                    if ready and ready.status == FALSE:
                        raise DeployError(f"service {service.metadata.name} is not ready: {ready.message}")
                    if ready and ready.status == TRUE:
                        hosts[service.metadata.name] = urlsplit(service.status.url).netloc
        except TimeoutError:
            missing = ", ".join(sorted(set(names) - set(hosts)))
            raise DeployError(f"not ready after {DEPLOY_SECONDS:g} s: {missing}") from None
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


def simulate(
    trace: Sequence[Arrivals],
    options: SimulationOptions = SimulationOptions(),
) -> SimulationReport:
    """Runs a trace, sorted by second and with at least one row, through the platform in virtual time.

    Raises:
        DeployError: a Service did not become ready.
    """
    return run_virtual(lambda clock: Simulation(options, clock).run(trace))


def simulate_csv(
    path: str | Path,
    options: SimulationOptions = SimulationOptions(),
) -> SimulationReport:
    """Runs the trace in a CSV file; see `workload.read_trace` and `simulate`.

    Raises:
        ValueError: the file is no trace; one sentence with the file and the line.
        OSError: the file can't be read.
        DeployError: a Service did not become ready.
    """
    with Path(path).open(encoding="utf-8", newline="") as lines:
        try:
            trace = read_trace(lines)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return simulate(trace, options)
