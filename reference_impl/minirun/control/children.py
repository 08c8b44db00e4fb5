"""What reconcilers share: ownership, and plain conditions."""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from minirun.model.meta import Condition, ObjectMeta, Resource, replace
from minirun.model.names import child_name
from minirun.model.resources import Ingress, ServerlessService
from minirun.store.store import Store

R = TypeVar("R", bound=Resource)
Reported = TypeVar("Reported", Ingress, ServerlessService)

ACTIVE, RESERVE, PENDING = "active", "reserve", "pending"


class Key(NamedTuple):
    """One piece of work: which reconciler, for which object."""

    reconciler: str
    namespace: str
    name: str


def deployment_name(revision: str) -> str:
    """The Deployment of a revision."""
    return child_name(revision, "-deployment")


def child_meta(
    owner: Resource, labels: dict[str, str], annotations: dict[str, str], name: str = ""
) -> ObjectMeta:
    """The metadata of what `owner` makes beside it; `name` is the owner's if it is empty."""
    return ObjectMeta(
        name=name or owner.metadata.name,
        namespace=owner.metadata.namespace,
        labels=labels,
        annotations=annotations,
        owner_references=[owner.owner_reference()],
    )


def is_controlled_by(child: Resource, owner: Resource) -> bool:
    """Whether `owner` made `child` and decides over it."""
    uid = owner.metadata.uid
    return any(ref.controller and ref.uid == uid for ref in child.metadata.owner_references)


def claim(store: Store, owner: Resource, wanted: R) -> R | None:
    """What is stored under a child's name, made now if nothing is; None if it is somebody else's."""
    stored = store.find(type(wanted), *wanted.key)
    if stored is None:
        return store.create(wanted)
    return stored if is_controlled_by(stored, owner) else None


def put(store: Store, stored: Reported | None, wanted: Reported) -> Reported:
    """Writes spec and status of a child that is known to be served as soon as it is written."""
    if stored is None:
        return store.create(replace(wanted, status=replace(wanted.status, observed_generation=1)))
    generation = stored.metadata.generation + (stored.spec != wanted.spec)
    status = replace(wanted.status, observed_generation=generation)
    return store.update(replace(stored, spec=wanted.spec, status=status))


def set_condition(conditions: Iterable[Condition], now: str, seen: Condition) -> list[Condition]:
    """The conditions of a kind without a happy one (Deployment, Pod), after one was observed.

    As in Kubernetes, the time of transition moves with the status only.
    """
    by_type = {condition.type: condition for condition in conditions}
    before = by_type.get(seen.type)
    moved = before is None or before.status != seen.status
    since = now if moved or before is None else before.last_transition_time
    by_type[seen.type] = replace(seen, last_transition_time=since)
    return [by_type[type_] for type_ in sorted(by_type)]
