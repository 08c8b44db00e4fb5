"""What operators set: typed views of the ConfigMaps of namespace `knative-serving`.

A settings class is the whole rule of one ConfigMap: a field's name is the key with `_` for `-`, its default
is the default, its type says how the text is read, and `_check` says what must hold between the values.
Unknown keys are ignored, as Knative ignores them. Counterparts in Knative: pkg/apis/config
(config-defaults), pkg/gc, pkg/deployment, pkg/reconciler/route/config (config-domain), networking
pkg/config and pkg/observability.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

from minirun.model.clock import SECOND_NS
from minirun.model.durations import format_duration, parse_duration
from minirun.model.names import SUBDOMAIN_1123, objections
from minirun.model.quantity import parse_quantity

SYSTEM_NAMESPACE: Final = "knative-serving"
UNLIMITED: Final = -1
INT32_MAX: Final = (1 << 31) - 1


class Settings:
    """What is made from a ConfigMap's `data`: base of the dataclasses below."""

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Self:
        """The settings in a ConfigMap's `data`; keys that are not there keep their default.

        Raises:
            ValueError: a value can't be read or is out of range; one sentence with the key and the value.
        """
        values: dict[str, object] = {}
        for field in fields(cls):  # type: ignore[arg-type]  # every subclass is a dataclass
            key = _key(field.name)
            if key in data:
                kind = "duration" if field.name.endswith("_ns") else type(field.default).__name__
                try:
                    values[field.name] = _READERS[kind](data[key])
                except ValueError as error:
                    raise ValueError(f'failed to parse "{key}": {error}') from None
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        """Raises ValueError when a value is out of range."""

    def _within(self, name: str, low: int, high: int) -> None:
        if not low <= (value := getattr(self, name)) <= high:
            raise ValueError(f"expected {low} <= {value} <= {high}: {_key(name)}")

    def _at_most(self, name: str, limit: str) -> None:
        low, high = getattr(self, name), getattr(self, limit)
        if low > high:
            raise ValueError(f"{_key(name)} ({low}) cannot be greater than {_key(limit)} ({high})")


@dataclass(frozen=True)  # slots would break super()
class DefaultsSettings(Settings):
    """`config-defaults`: what a revision gets that does not say; timeouts in seconds, 0 is none.

    The response-start timeout defaults to the revision timeout. `readiness_probe`, which is no key of
    Knative's: whether a container that declares no readiness probe gets one.
    """

    revision_timeout_seconds: int = 300
    max_revision_timeout_seconds: int = 600
    revision_response_start_timeout_seconds: int = 300
    revision_idle_timeout_seconds: int = 0
    container_concurrency: int = 0
    container_concurrency_max_limit: int = 1000
    allow_container_concurrency_zero: bool = True
    enable_service_links: bool = False
    revision_cpu_request: str = ""
    revision_memory_request: str = ""
    revision_cpu_limit: str = ""
    revision_memory_limit: str = ""
    readiness_probe: bool = True

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Self:
        if timeout := data.get("revision-timeout-seconds"):
            data = {"revision-response-start-timeout-seconds": timeout, **data}
        return super().parse(data)

    def _check(self) -> None:
        self._at_most("revision_timeout_seconds", "max_revision_timeout_seconds")
        self._at_most("revision_response_start_timeout_seconds", "revision_timeout_seconds")
        self._at_most("revision_idle_timeout_seconds", "revision_timeout_seconds")
        self._within("container_concurrency_max_limit", 1, INT32_MAX)
        self._within("container_concurrency", 0, self.container_concurrency_max_limit)
        for name in ("cpu_request", "memory_request", "cpu_limit", "memory_limit"):
            if text := getattr(self, f"revision_{name}"):
                parse_quantity(text)


@dataclass(frozen=True, slots=True)
class GCSettings(Settings):
    """`config-gc`: which revisions without traffic are taken away. "disabled" (-1) switches a rule off."""

    retain_since_create_time_ns: int = 48 * 3600 * SECOND_NS
    retain_since_last_active_time_ns: int = 15 * 3600 * SECOND_NS
    min_non_active_revisions: int = 20
    max_non_active_revisions: int = 1000

    def _check(self) -> None:
        least, most = self.min_non_active_revisions, self.max_non_active_revisions
        if least < 0:
            raise ValueError(f"min-non-active-revisions must be non-negative, was: {least}")
        if 0 <= most < least:
            raise ValueError(f"min-non-active-revisions({least}) must be <= max-non-active-revisions({most})")


@dataclass(frozen=True, slots=True)
class NetworkSettings(Settings):
    """`config-network`.

    `rollout_duration`: the seconds in which a new latest revision takes over.
    `autocreate_cluster_domain_claims`: whether a DomainMapping may claim a domain that nobody has; here it
    may, unlike in Knative, where a ClusterDomainClaim has to be made first.
    """

    rollout_duration: int = 0
    autocreate_cluster_domain_claims: bool = True

    def _check(self) -> None:
        if self.rollout_duration < 0:
            raise ValueError(f"rollout-duration must be a positive integer, but was {self.rollout_duration}")


@dataclass(frozen=True, slots=True)
class DomainSettings(Settings):
    """`config-domain`: the part of an address after NAME.NAMESPACE. `localhost` needs no DNS."""

    domain: str = "localhost"

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Self:
        """The domain: the first key that names one; Knative's `_example` is skipped.

        Raises:
            ValueError: a key is no domain name, or has a selector.
        """
        domains = [key for key in data if not key.startswith("_")]
        for domain in domains:
            if objections(SUBDOMAIN_1123, domain):
                raise ValueError(f'"{domain}" is not a domain name: it may have a-z, 0-9, "-" and "."')
            if data[domain].strip():
                raise ValueError(
                    f'the domain "{domain}" has a selector; one domain serves all: leave it empty'
                )
        return cls(domains[0]) if domains else cls()


@dataclass(frozen=True, slots=True)
class DeploymentSettings(Settings):
    """`config-deployment`: how long a revision may take to become ready before it has failed."""

    progress_deadline_ns: int = 600 * SECOND_NS

    def _check(self) -> None:
        deadline = format_duration(self.progress_deadline_ns)
        if self.progress_deadline_ns <= 0:
            raise ValueError(f"progress-deadline cannot be a non-positive duration, was {deadline}")
        if self.progress_deadline_ns % SECOND_NS:
            raise ValueError(f"progress-deadline must be rounded to a whole second, was: {deadline}")


@dataclass(frozen=True, slots=True)
class ObservabilitySettings(Settings):
    """`config-observability`: whether each request is written to the log."""

    logging_enable_request_log: bool = False


SIDECAR_PROBES: Final = "probes of sidecars"
_POD_FEATURES: Final = {
    "multi-container-probing": SIDECAR_PROBES,
    "kubernetes.podspec-nodeselector": "nodeSelector",
    "kubernetes.podspec-tolerations": "tolerations",
    "kubernetes.podspec-runtimeclassname": "runtimeClassName",
}


@dataclass(frozen=True, slots=True)
class FeaturesSettings(Settings):
    """`config-features`: the fields of a pod that users may set though Knative has them switched off."""

    pod_fields: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Self:
        said = {field: data.get(key, "disabled").lower() for key, field in _POD_FEATURES.items()}
        return cls(frozenset(field for field, flag in said.items() if flag in ("enabled", "allowed")))


CONFIG_MAPS: Final[dict[str, type[Settings]]] = {
    "config-defaults": DefaultsSettings,
    "config-features": FeaturesSettings,
    "config-gc": GCSettings,
    "config-network": NetworkSettings,
    "config-domain": DomainSettings,
    "config-deployment": DeploymentSettings,
    "config-observability": ObservabilitySettings,
}


def _key(name: str) -> str:
    return name.removesuffix("_ns").replace("_", "-").replace("logging-", "logging.")


def _integer(text: str) -> int:
    if text.lower() == "disabled":
        return UNLIMITED
    if not re.fullmatch(r"[+-]?[0-9]+", text) or abs(int(text)) > INT32_MAX:
        raise ValueError(f'"{text}" is not a whole number')
    return int(text)


def _duration(text: str) -> int:
    return UNLIMITED if text.lower() == "disabled" else parse_duration(text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f'"{text}" is neither true nor false')
    return text.lower() == "true"


_READERS: Final[dict[str, Callable[[str], object]]] = {
    "int": _integer,
    "duration": _duration,
    "bool": _boolean,
    "str": str,
}
