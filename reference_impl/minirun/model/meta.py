"""What every object has: metadata, conditions, and the base of the typed resources.

Objects are frozen structs in Kubernetes' JSON shapes (camelCase outside, snake_case inside). A change is a
new object made with `replace`; nobody edits one in place, so an object can be handed to anyone.
Counterpart: apimachinery's `metav1.ObjectMeta` and knative.dev/pkg's `apis.Condition`.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace as replace

from minirun.model.clock import SECOND_NS

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"  # finalizers: wait for dependents, or let go of them


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A piece of an object; fields that hold their default are left out of the JSON."""


V = TypeVar("V", str, int, bool)


def always(value: V) -> V:
    """The default of a field that is in the JSON all the same: one that clients' schemas require."""
    return msgspec.field(default_factory=lambda: value)


class OwnerReference(Part, frozen=True):
    """Who an object belongs to; when the owner goes, the object goes (Kubernetes' garbage collection)."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ManagedFieldsEntry(Part, frozen=True):
    """Which fields one writer owns (`model/managedfields.py`)."""

    manager: str = ""
    operation: str = ""
    api_version: str = ""
    time: str = ""
    fields_type: str = ""
    fields_v1: dict[str, Any] = {}
    subresource: str = ""


class ObjectMeta(Part, frozen=True):
    """`metadata` of every object; times are RFC 3339 UTC, `resource_version` is the store's counter."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []
    finalizers: list[str] = []
    managed_fields: list[ManagedFieldsEntry] = []


class Condition(Part, frozen=True):
    """One observed aspect of an object: `status` is "True", "False" or "Unknown"."""

    type: str
    status: str
    severity: str = ""
    last_transition_time: str = ""
    reason: str = ""
    message: str = ""


class Resource(msgspec.Struct, frozen=True, rename="camel"):
    """Base of every stored kind. Subclasses give `api_version` and `kind` their constant defaults."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name): how reconcilers name an object of a known kind."""
        return self.metadata.namespace, self.metadata.name

    @property
    def type_name(self) -> str:
        """The name of its type: unique, where `kind` is `Service` in core/v1 and in Knative."""
        return type(self).__name__

    def owner_reference(self) -> OwnerReference:
        """The reference that a child of this object carries."""
        return OwnerReference(
            self.api_version,
            self.kind,
            self.metadata.name,
            self.metadata.uid,
            True,
            block_owner_deletion=True,
        )


R = TypeVar("R", bound=Resource)


def with_meta(resource: R, **changes: object) -> R:
    """The same object with some metadata fields changed."""
    return replace(resource, metadata=replace(resource.metadata, **changes))


def rfc3339(unix_ns: int) -> str:
    """`unix_ns` as Kubernetes writes times: UTC, whole seconds, rounded down (`2026-11-24T10:00:00Z`)."""
    return datetime.fromtimestamp(unix_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_seconds(text: str) -> int:
    """Seconds since 1970 of an RFC 3339 time, as `rfc3339` writes it. Raises ValueError: it is not one."""
    return int(datetime.fromisoformat(text).timestamp())
