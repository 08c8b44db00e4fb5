"""What reconcilers are given: the store and the parts of the platform that they steer.

Nothing here decides anything. `Settings` reads the ConfigMaps of namespace `knative-serving`, parsed once
for each version; `References` knows which Routes mean an object that perhaps is not there yet. Counterparts:
knative.dev/pkg's configmap stores and its tracker.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, TypeVar

from minirun.autoscaling.multiscaler import MultiScaler
from minirun.autoscaling.settings import AutoscalerSettings
from minirun.control.children import Key
from minirun.control.endpoints import Paths
from minirun.model.clock import Clock
from minirun.model.meta import rfc3339
from minirun.model.resources import ConfigMap
from minirun.model.settings import (
    SYSTEM_NAMESPACE,
    DeploymentSettings,
    DomainSettings,
    GCSettings,
    NetworkSettings,
    ObservabilitySettings,
)
from minirun.runtime.base import InstanceSpec, Log, Runtime
from minirun.store.store import Store
from minirun.traffic.table import RouteTable

log = logging.getLogger("minirun.control")
S = TypeVar("S")


class ResolvedImage(Protocol):
    """`pinned` names the content for good: `name@sha256:...`; `note` is what users should know of it."""

    @property
    def pinned(self) -> str: ...
    @property
    def note(self) -> str: ...


class Images(Protocol):
    """Finds images; raises LookupError or ValueError with a sentence when it can't."""

    def resolve(self, reference: str) -> ResolvedImage: ...


class Settings:
    """The operators' ConfigMaps, read at every use; one that can't be parsed leaves its last good values."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parsed: dict[str, tuple[ConfigMap | None, object]] = {}

    def _read(self, name: str, parse: Callable[[Mapping[str, str]], S]) -> S:
        stored = self._store.find(ConfigMap, SYSTEM_NAMESPACE, name)
        seen, settings = self._parsed.get(name, (None, None))
        if settings is None or seen is not stored:
            try:
                settings = parse(stored.data if stored else {})
            except ValueError as error:
                log.error("ConfigMap %s can't be used, the last good values stay: %s", name, error)
                settings = settings or parse({})
            self._parsed[name] = stored, settings
        return settings  # type: ignore[return-value]  # one parser for each name

    @property
    def autoscaler(self) -> AutoscalerSettings:
        return self._read("config-autoscaler", AutoscalerSettings.from_config_map)

    @property
    def deployment(self) -> DeploymentSettings:
        return self._read("config-deployment", DeploymentSettings.parse)

    @property
    def domain(self) -> DomainSettings:
        return self._read("config-domain", DomainSettings.parse)

    @property
    def gc(self) -> GCSettings:
        return self._read("config-gc", GCSettings.parse)

    @property
    def observability(self) -> ObservabilitySettings:
        return self._read("config-observability", ObservabilitySettings.parse)

    @property
    def network(self) -> NetworkSettings:
        return self._read("config-network", NetworkSettings.parse)


class References:
    """Who means whom by name: kept by those who refer, asked when what they refer to changes."""

    def __init__(self) -> None:
        self._referrers: dict[Key, set[str]] = {}
        self._targets: dict[tuple[str, str], frozenset[Key]] = {}

    def track(self, namespace: str, referrer: str, targets: Iterable[Key]) -> None:
        """Sets all that `referrer` means now; nothing, when it is gone."""
        for target in self._targets.pop((namespace, referrer), ()):
            self._referrers[target].discard(referrer)
            if not self._referrers[target]:
                del self._referrers[target]
        for target in targets:
            self._referrers.setdefault(target, set()).add(referrer)
        self._targets[namespace, referrer] = frozenset(targets)

    def referrers(self, target: Key) -> list[str]:
        """The names of those in the same namespace who mean `target`."""
        return sorted(self._referrers.get(target, ()))


def _discard(spec: InstanceSpec) -> Log:
    return lambda stream, line: None


@dataclass
class Context:
    """All that the reconcilers work with.

    Args:
        store, clock, rng, runtime: as everywhere.
        images: resolves a container's image to its digest.
        table: is programmed with what Routes say.
        url_port: the port in the addresses of Routes, as `status.url` shows them; empty for none.
        log_of: for a new instance, where its output goes.

    The rest is made here. `enqueue(key, after_seconds=0)` asks for a reconcile; it is set by `Controllers`.
    """

    store: Store
    clock: Clock
    rng: Random
    runtime: Runtime
    images: Images
    table: RouteTable
    url_port: str = ""
    log_of: Callable[[InstanceSpec], Log] = _discard
    paths: Paths = field(init=False)
    multiscaler: MultiScaler = field(init=False)
    settings: Settings = field(init=False)
    references: References = field(init=False)
    enqueue: Callable[[Key], None] = field(init=False, default=lambda key: None)

    def __post_init__(self) -> None:
        self.paths = Paths(self.clock, self.rng)
        self.multiscaler = MultiScaler(self.paths.ready_count, self._decided)
        self.settings = Settings(self.store)
        self.references = References()

    def now(self) -> str:
        """The time, as objects carry it."""
        return rfc3339(self.clock.unix_ns())

    def _decided(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        self.enqueue(Key("PodAutoscaler", namespace, name))
