"""A container's environment: its `env` and `envFrom`, with what ConfigMaps and Secrets say at this moment.

It is read when the container starts, so that a restart sees new values, and one that waits for a Secret
starts once that is there. In namespaces with the profile `cloudrun` a Secret stands for one of Secret
Manager's: its keys are its versions (`1`, `2`, ...), and `latest` is the highest of them, or the only key
there is. Counterpart: the kubelet's makeEnvironmentVariables; secrets of Cloud Run.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from minirun.model.expansion import expand
from minirun.model.resources import ConfigMap, Container, EnvFromSource, EnvVar, KeySelector, Secret
from minirun.runtime.base import StartError
from minirun.store.store import Store

CONFIG_ERROR: Final = "CreateContainerConfigError"
LATEST: Final = "latest"


class ConfigError(StartError):
    """A ConfigMap, a Secret or a key in it is not there; the message is the kubelet's."""

    def __init__(self, message: str) -> None:
        super().__init__(CONFIG_ERROR, message)


class Configs(NamedTuple):
    """The ConfigMaps and Secrets of a namespace; `versioned`: the keys of a Secret are its versions."""

    store: Store
    namespace: str
    versioned: bool = False

    def read(self, kind: type[ConfigMap | Secret], name: str, optional: bool | None) -> Mapping[str, bytes]:
        """All that is in one. Raises ConfigError when it is not there and not `optional`."""
        found = self.store.find(kind, self.namespace, name)
        if found is None and not optional:
            raise ConfigError(f'{kind.__name__.lower()} "{name}" not found')
        if isinstance(found, ConfigMap):
            binary = found.binary_data if isinstance(found.binary_data, dict) else {}
            return {key: text.encode() for key, text in found.data.items()} | binary
        return found.data if isinstance(found, Secret) else {}

    def value(self, kind: type[ConfigMap | Secret], wanted: KeySelector) -> bytes | None:
        """What is under one key; None when it is `optional` and not there. Raises ConfigError."""
        data = self.read(kind, wanted.name, wanted.optional)
        key = (
            latest_version(data) if kind is Secret and self.versioned and wanted.key == LATEST else wanted.key
        )
        if key not in data and not wanted.optional:
            where = f"{kind.__name__} {self.namespace}/{wanted.name}"
            raise ConfigError(f"couldn't find key {wanted.key} in {where}")
        return data.get(key)


def latest_version(data: Mapping[str, bytes]) -> str:
    """Which key `latest` means: the highest number, or else the only key there is."""
    numbers = [key for key in data if key.isdecimal()]
    if LATEST in data or not (numbers or len(data) == 1):
        return LATEST
    return max(numbers, key=int) if numbers else next(iter(data))


def environment(container: Container, configs: Configs) -> dict[str, str]:
    """The variables of a container.

    Whole ConfigMaps and Secrets come first, later ones win over earlier ones, and `env` wins over all. A
    value may name variables before it as `$(NAME)`. One that is optional and not there is left out.

    Raises:
        ConfigError
    """
    values: dict[str, str] = {}
    for source in container.env_from:
        values |= {source.prefix + key: _text(value) for key, value in _read_all(source, configs).items()}
    for variable in container.env:
        value = _value_of(variable, configs, values)
        if value is not None:
            values[variable.name] = value
    return values


def _read_all(source: EnvFromSource, configs: Configs) -> Mapping[str, bytes]:
    if (ref := source.config_map_ref) is not None:
        return configs.read(ConfigMap, ref.name, ref.optional)
    if (ref := source.secret_ref) is not None:
        return configs.read(Secret, ref.name, ref.optional)
    return {}


def _value_of(variable: EnvVar, configs: Configs, before: Mapping[str, str]) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, before)
    kind, wanted = (ConfigMap, source.config_map_key_ref), (Secret, source.secret_key_ref)
    found = [configs.value(type_, ref) for type_, ref in (kind, wanted) if ref is not None]
    return None if not found or found[0] is None else _text(found[0])


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")  # as the operating system turns it into bytes again
