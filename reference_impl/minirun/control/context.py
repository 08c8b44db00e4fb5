"""What reconcilers are given: the store and the parts of the platform that they steer.

Nothing here decides anything. `Settings` reads the ConfigMaps of namespace `knative-serving`, parsed once
for each version; `References` knows which Routes mean an object that perhaps is not there yet. Counterparts:
knative.dev/pkg's configmap stores and its tracker.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

from minirun.autoscaling.multiscaler import MultiScaler
from minirun.autoscaling.settings import AutoscalerSettings
from minirun.control.children import Key
from minirun.control.endpoints import Paths
from minirun.control.images import Images
from minirun.model.clock import Clock
from minirun.model.meta import Resource, rfc3339
from minirun.model.profiles import Profile, profile_of
from minirun.model.resources import ConfigMap, Namespace
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
R = TypeVar("R", bound=Resource)
S = TypeVar("S")


class Parsed(Generic[S]):
    """An attribute of `Settings`: one ConfigMap; if it can't be parsed, its last good values stay."""

    def __init__(self, name: str, parse: Callable[[Mapping[str, str]], S]) -> None:
        self._name, self._parse = name, parse

    def __get__(self, settings: "Settings", _: type["Settings"]) -> S:
        stored = settings.store.find(ConfigMap, SYSTEM_NAMESPACE, self._name)
        seen, values = settings.parsed.get(self._name, (None, None))
        if values is None or seen is not stored:
            try:
                values = self._parse(stored.data if stored else {})
            except ValueError as error:
                log.error("ConfigMap %s can't be used, the last good values stay: %s", self._name, error)
                values = values or self._parse({})
            settings.parsed[self._name] = stored, values
        return values  # type: ignore[return-value]  # one parser for each name


class Settings:
    """The operators' ConfigMaps, read at every use."""

    autoscaler = Parsed("config-autoscaler", AutoscalerSettings.from_config_map)
    deployment = Parsed("config-deployment", DeploymentSettings.parse)
    domain = Parsed("config-domain", DomainSettings.parse)
    gc = Parsed("config-gc", GCSettings.parse)
    observability = Parsed("config-observability", ObservabilitySettings.parse)
    network = Parsed("config-network", NetworkSettings.parse)

    def __init__(self, store: Store) -> None:
        self.store = store
        self.parsed: dict[str, tuple[ConfigMap | None, object]] = {}


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

    @property
    def port_suffix(self) -> str:
        """The port as addresses end in it: `:8080`, or nothing."""
        return f":{self.url_port}" if self.url_port else ""

    def now(self) -> str:
        """The time, as objects carry it."""
        return rfc3339(self.clock.unix_ns())

    def living(self, type_: type[R], namespace: str, name: str) -> R | None:
        """The object, if it is there and is not being deleted."""
        found = self.store.find(type_, namespace, name)
        return None if found is None or found.metadata.deletion_timestamp else found

    def profile(self, namespace: str) -> Profile:
        """The profile of a namespace."""
        return profile_of(self.store.find(Namespace, "", namespace))

    def _decided(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        self.enqueue(Key("PodAutoscaler", namespace, name))
