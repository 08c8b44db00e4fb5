"""A platform's control room on a virtual loop: real store, real reconcilers, containers that are timers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from minirun.activation.path import Lease, RevisionPath
from minirun.control.children import Key
from minirun.control.context import Context
from minirun.control.controllers import Controllers
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import READY, find, status_of
from minirun.model.defaults import set_defaults
from minirun.model.meta import Condition, ObjectMeta, Resource, replace
from minirun.model.resources import (
    ConfigMap,
    Configuration,
    Container,
    Deployment,
    EnvVar,
    Pod,
    PodAutoscaler,
    Revision,
    RevisionSpec,
    RevisionTemplate,
    Route,
    Service,
    ServiceSpec,
    TrafficTarget,
)
from minirun.model.settings import SYSTEM_NAMESPACE, DefaultsSettings
from minirun.runtime.base import InstanceSpec
from minirun.runtime.virtual import Profile, VirtualRuntime, distribution
from minirun.simulation.loop import VirtualClock, run_virtual
from minirun.store.store import Store
from minirun.traffic.table import RouteTable

NS = "default"
GOOD = Profile(distribution("0.5"), distribution("0.1"))
CRASHING = Profile(distribution("0.1"), distribution("0.1"), start_failure=1.0)
DEAF = Profile(distribution("0.1"), distribution("0.1"), listens=False)


class MissingImageError(LookupError):
    """There is no such image."""


@dataclass(frozen=True)
class FoundImage:
    pinned: str
    note: str = ""


@dataclass
class World:
    """One control room. `profiles`: how containers of an image behave, GOOD for others."""

    clock: VirtualClock
    store: Store
    profiles: dict[str, Profile] = field(default_factory=dict)
    missing: set[str] = field(default_factory=lambda: {"missing"})

    def __post_init__(self) -> None:
        self.build()

    def build(self) -> None:
        """A platform on the store as it is, as after a start of the process."""
        self.runtime = VirtualRuntime(self.clock, Random(1), self._profile)
        table = RouteTable("localhost")
        self.ctx = Context(self.store, self.clock, Random(2), self.runtime, self, table, "8080")
        self.controllers = Controllers(self.ctx)

    def crash(self) -> None:
        """The platform is gone from one moment to the next; its containers run on."""
        self.controllers.queue.close()
        self.controllers._meter.stop()
        self.store._subscribers.clear()

    def _profile(self, spec: InstanceSpec) -> Profile:
        return self.profiles.get(spec.image.partition("@")[0], GOOD)

    def resolve(self, reference: str) -> FoundImage:
        if reference in self.missing:
            raise MissingImageError(f"there is no image {reference!r}")
        return FoundImage(f"{reference}@sha256:{reference.encode().hex():0>64}")

    # doing

    def deploy(
        self,
        name: str,
        image: str = "hello",
        *,
        traffic: list[TrafficTarget] | None = None,
        annotations: Mapping[str, str] | None = None,
        revision: str = "",
        env: str = "",
        own: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        concurrency: int = 0,
        containers: Sequence[Container] = (),
        **spec: int,
    ) -> Service:
        """Creates or changes a Service, as the API would; `own` are its own annotations."""
        old = self.store.find(Service, NS, name)
        container = Container(image=image, env=[EnvVar(name="X", value=env)] if env else [])
        template = RevisionTemplate(
            metadata=ObjectMeta(name=revision, annotations=dict(annotations or {})),
            spec=RevisionSpec(
                containers=list(containers) or [container], container_concurrency=concurrency, **spec
            ),
        )
        meta = old.metadata if old else ObjectMeta(name=name, namespace=NS)
        meta = replace(meta, annotations=dict(own or {}), labels=dict(labels or {}))
        new = Service(
            metadata=meta,
            spec=ServiceSpec(template=template, traffic=traffic or []),
            status=old.status if old else Service().status,
        )
        new = set_defaults(new, old, DefaultsSettings(), "tester")
        return self.store.update(new) if old else self.store.create(new)

    def settings(self, name: str, **data: str) -> None:
        """Writes a ConfigMap of `knative-serving`; `_` stands for `-`."""
        meta = ObjectMeta(name=name, namespace=SYSTEM_NAMESPACE)
        new = ConfigMap(metadata=meta, data={key.replace("_", "-"): value for key, value in data.items()})
        old = self.store.find(ConfigMap, SYSTEM_NAMESPACE, name)
        self.store.update(new) if old else self.store.create(new)

    async def until(self, is_true: Callable[[], object], seconds: float = 1000.0) -> None:
        """Returns when the store has made it true."""
        async with asyncio.timeout(seconds):
            while not is_true():
                await self.changed()

    async def changed(self) -> None:
        """Returns after the next write, or 50 ms."""
        event = asyncio.Event()
        self.store.subscribe(lambda _: event.set())
        try:
            async with asyncio.timeout(0.05):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self.store._subscribers.pop()

    async def until_ready(self, name: str) -> Service:
        """Returns the Service when it is Ready in its present generation."""

        def is_ready() -> bool:
            service = self.service(name)
            return (
                status_of(service.status.conditions) == "True"
                and service.status.observed_generation == service.metadata.generation
            )

        await self.until(is_ready)
        return self.service(name)

    async def settle(self) -> None:
        """Returns when no reconciler has anything to do right now."""
        await self.controllers.queue.idle()

    # seeing

    def service(self, name: str) -> Service:
        return self.store.get(Service, NS, name)

    def configuration(self, name: str) -> Configuration:
        return self.store.get(Configuration, NS, name)

    def route(self, name: str) -> Route:
        return self.store.get(Route, NS, name)

    def revision(self, name: str) -> Revision:
        return self.store.get(Revision, NS, name)

    def autoscaler(self, revision: str) -> PodAutoscaler:
        return self.store.get(PodAutoscaler, NS, revision)

    def deployment(self, revision: str) -> Deployment:
        return self.store.get(Deployment, NS, f"{revision}-deployment")

    def pods(self, revision: str = "") -> list[Pod]:
        return [p for p in self.store.select(Pod, NS) if p.metadata.name.startswith(revision)]

    def condition(self, resource: Resource, type_: str = READY) -> Condition:
        found = find(resource.status.conditions, type_)  # type: ignore[attr-defined]
        assert found is not None, f"{resource.kind} has no condition {type_}"
        return found

    def verdict(self, service: str) -> str:
        """The Service's Ready: "True", "False" or "Unknown"."""
        return status_of(self.service(service).status.conditions)

    def path(self, revision: str) -> RevisionPath:
        entry = self.ctx.paths.entry(NS, revision)
        assert entry is not None
        return entry.path

    def revision_for(self, host: str) -> str | None:
        """Which revision the next request to `host` goes to."""
        match = self.ctx.table.lookup(host)
        return match.split.pick() if match else None

    async def request(self, host: str, seconds: float = 0.1) -> str:
        """Sends a request that takes that long; returns the revision that answered."""
        revision = self.revision_for(host)
        assert revision is not None, f"no route for {host}"
        path = self.path(revision)
        lease: Lease = path.try_acquire() or await path.acquire(60)
        await asyncio.sleep(seconds)
        lease.release()
        return revision

    def seconds(self) -> float:
        return self.clock.monotonic_ns() / SECOND_NS


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    """The world while its platform runs."""
    await world.controllers.start()
    try:
        yield world
    finally:
        await world.controllers.stop()


def new_world(clock: VirtualClock) -> World:
    ids = Random(3)
    return World(clock, Store(clock, new_uid=lambda: str(UUID(int=ids.getrandbits(128), version=4))))


def play(scene: Callable[[World], Coroutine[object, object, None]]) -> World:
    """Runs a scene in a running world, in virtual time; no reconciler may have logged an error."""
    errors: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = errors.append  # type: ignore[method-assign]
    log = logging.getLogger("minirun.control")
    log.addHandler(handler)

    async def run(clock: VirtualClock) -> World:
        world = new_world(clock)
        async with running(world):
            await scene(world)
        return world

    try:
        world = run_virtual(run)
    finally:
        log.removeHandler(handler)
    assert not errors, errors[0].getMessage() + str(errors[0].exc_info)
    return world


def key(reconciler: str, name: str) -> Key:
    return Key(reconciler, NS, name)
