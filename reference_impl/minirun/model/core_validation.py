"""What the API server itself refuses of core kinds: keys, sizes, and changes of what is immutable.

Counterparts: Kubernetes' pkg/apis/core/validation, for ConfigMap and Secret, and its decoding of times.
"""

from collections.abc import Iterator
from typing import Final

from minirun.model.meta import Resource, unix_seconds
from minirun.model.names import CONFIG_KEY, objections
from minirun.model.resources import ConfigMap, CoreEvent, Secret

DATA_BYTES_MAX: Final = 1 << 20
_IMMUTABLE: Final = "field is immutable when `immutable` is set"


def check_core(new: Resource, old: Resource | None) -> Iterator[str]:
    """What is wrong with a ConfigMap or a Secret, as `path: Why: ...` each; other kinds have no rules here.

    Args:
        old: what is stored; None on create.
    """
    if isinstance(new, ConfigMap):
        text = {key: len(value.encode()) for key, value in new.data.items()}
        binary = {key: len(value) for key, value in (new.binary_data or {}).items()}
        yield from _data({"data": text, "binaryData": binary})
        for key in sorted(text.keys() & binary.keys()):
            yield f'data[{key}]: Invalid value: "{key}": duplicate of key present in binaryData'
        if isinstance(old, ConfigMap) and old.immutable:
            yield from _changes(
                {"data": new.data != old.data, "binaryData": new.binary_data != old.binary_data}
            )
    elif isinstance(new, Secret):
        yield from _data({"data": {key: len(value) for key, value in new.data.items()}})
        if isinstance(old, Secret) and new.type != old.type:
            yield f'type: Invalid value: "{new.type}": field is immutable'
        if isinstance(old, Secret) and old.immutable:
            yield from _changes({"data": new.data != old.data})
    if isinstance(new, (ConfigMap, Secret)) and getattr(old, "immutable", False) and not new.immutable:
        yield f"immutable: Forbidden: {_IMMUTABLE}"


def check_times(new: Resource) -> Iterator[str]:
    """What is no time where one is meant, as `path: Why: ...` each: in an Event, and in conditions."""
    said: dict[str, str | None] = {}
    if isinstance(new, CoreEvent):
        said["firstTimestamp"], said["lastTimestamp"] = new.first_timestamp, new.last_timestamp
        said["eventTime"] = new.event_time
    for number, condition in enumerate(getattr(getattr(new, "status", None), "conditions", ())):
        said[f"status.conditions[{number}].lastTransitionTime"] = condition.last_transition_time
    for path, text in said.items():
        try:
            unix_seconds(text) if text else None
        except (ValueError, OverflowError):
            yield f'{path}: Invalid value: "{text}": must be an RFC 3339 time, like 2026-11-24T10:00:00Z'


def _data(sizes: dict[str, dict[str, int]]) -> Iterator[str]:
    """Rules for maps of keys to sizes in bytes, by the field's name."""
    for path, keys in sizes.items():
        for key in keys:
            for text in objections(CONFIG_KEY, key):
                yield f'{path}[{key}]: Invalid value: "{key}": {text}'
    if sum(sum(keys.values()) for keys in sizes.values()) > DATA_BYTES_MAX:
        yield f"data: Too long: may not be more than {DATA_BYTES_MAX} bytes"


def _changes(changed: dict[str, bool]) -> Iterator[str]:
    for path, is_changed in changed.items():
        if is_changed:
            yield f"{path}: Forbidden: {_IMMUTABLE}"
