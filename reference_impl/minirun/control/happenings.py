"""What is worth telling of a change: from the object before and after to what happened, as pure functions.

`TELLERS` is the table: for each type of object the functions that look at it. Reasons and messages are those
of the controllers whose work it is: knative/serving's reconcilers, Kubernetes' deployment controller and its
kubelet. They become Events (`control/recorder.py`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from minirun.model.conditions import FALSE, READY, TRUE, find
from minirun.model.meta import Condition, OwnerReference, Resource
from minirun.model.resources import (
    Configuration,
    Deployment,
    ObjectReference,
    Pod,
    PodContainerStatus,
)

NORMAL, WARNING = "Normal", "Warning"
KUBELET: Final = "kubelet"


class Happening(NamedTuple):
    """Something that happened to an object, and which component says so."""

    about: ObjectReference
    type: str
    reason: str
    message: str
    component: str


Teller = Callable[[Resource | None, Resource], Iterator[Happening]]
"""What happened between an object (None: it was not there) and the next state of it."""


def reference_to(resource: Resource) -> ObjectReference:
    """How an Event names an object."""
    meta = resource.metadata
    return ObjectReference(resource.api_version, resource.kind, meta.name, meta.namespace, meta.uid)


def _reference_to_owner(owner: OwnerReference, namespace: str) -> ObjectReference:
    return ObjectReference(owner.api_version, owner.kind, owner.name, namespace, owner.uid)


def created_by(component: str, what: str) -> Teller:
    """A child is made: its owner's controller says so."""

    def tell(old: Resource | None, new: Resource) -> Iterator[Happening]:
        owner = next((each for each in new.metadata.owner_references if each.controller), None)
        if old is None and owner is not None:
            about = _reference_to_owner(owner, new.metadata.namespace)
            yield Happening(about, NORMAL, "Created", f'Created {what} "{new.metadata.name}"', component)

    return tell


def _ready(resource: Resource | None) -> Condition | None:
    return find(getattr(getattr(resource, "status", None), "conditions", ()), READY)


def becomes_ready(component: str, reason: str, message: str) -> Teller:
    """Ready turned True."""

    def tell(old: Resource | None, new: Resource) -> Iterator[Happening]:
        was, now = _ready(old), _ready(new)
        if now is not None and now.status == TRUE and (was is None or was.status != TRUE):
            yield Happening(reference_to(new), NORMAL, reason, message, component)

    return tell


def fails(component: str) -> Teller:
    """Ready turned False, or is so for another reason."""

    def tell(old: Resource | None, new: Resource) -> Iterator[Happening]:
        was, now = _ready(old), _ready(new)
        if now is None or now.status != FALSE:
            return
        if was is None or (was.status, was.reason, was.message) != (FALSE, now.reason, now.message):
            reason = now.reason or "InternalError"
            yield Happening(reference_to(new), WARNING, reason, now.message, component)

    return tell


def latest_is_ready(old: Resource | None, new: Resource) -> Iterator[Happening]:
    """A Configuration has a newer revision that works."""
    if isinstance(new, Configuration) and isinstance(old, Configuration):
        latest = new.status.latest_ready_revision_name
        if latest and latest != old.status.latest_ready_revision_name:
            message = f'LatestReadyRevisionName updated to "{latest}"'
            component = "configuration-controller"
            yield Happening(reference_to(new), NORMAL, "LatestReadyUpdate", message, component)


def scales(old: Resource | None, new: Resource) -> Iterator[Happening]:
    """A Deployment is to have another number of pods, zero perhaps."""
    if not isinstance(new, Deployment):
        return
    before, now = old.spec.replicas if isinstance(old, Deployment) else 0, new.spec.replicas
    if before != now:
        direction = "up" if now > before else "down"
        message = f"Scaled {direction} replica set {new.metadata.name} from {before} to {now}"
        yield Happening(reference_to(new), NORMAL, "ScalingReplicaSet", message, "deployment-controller")


def pod_lives(old: Resource | None, new: Resource) -> Iterator[Happening]:
    """A pod's containers start, fail, are waited for, or are stopped."""
    if not isinstance(new, Pod):
        return
    about = reference_to(new)
    was = {s.name: s for s in old.status.container_statuses} if isinstance(old, Pod) else {}
    for status in new.status.container_statuses:
        for type_, reason, message in _container_lives(was.get(status.name), status, new):
            yield Happening(about, type_, reason, message, KUBELET)
    if new.metadata.deletion_timestamp and old is not None and not old.metadata.deletion_timestamp:
        for container in new.spec.containers:
            yield Happening(about, NORMAL, "Killing", f"Stopping container {container.name}", KUBELET)


def _container_lives(
    was: PodContainerStatus | None, now: PodContainerStatus, pod: Pod
) -> Iterator[tuple[str, str, str]]:
    before, after = was.state if was else None, now.state
    restarted = was is not None and now.restart_count > was.restart_count
    if after.running is not None and (before is None or before.running is None or restarted):
        yield NORMAL, "Started", f"Started container {now.name}"
    if after.waiting is None or (before is not None and before.waiting == after.waiting):
        return
    if after.waiting.reason == "CrashLoopBackOff":
        where = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
        yield WARNING, "BackOff", f"Back-off restarting failed container {now.name} in pod {where}"
    elif after.waiting.reason.endswith("Error"):
        yield WARNING, "Failed", f"Error: {after.waiting.message}"


TELLERS: Final[Mapping[str, tuple[Teller, ...]]] = {
    "Service": (fails("service-controller"),),
    "Configuration": (
        created_by("service-controller", "Configuration"),
        latest_is_ready,
        becomes_ready("configuration-controller", "ConfigurationReady", "Configuration becomes ready"),
        fails("configuration-controller"),
    ),
    "Route": (created_by("service-controller", "Route"), fails("route-controller")),
    "Revision": (
        created_by("configuration-controller", "Revision"),
        becomes_ready(
            "revision-controller", "RevisionReady", "Revision becomes ready upon all resources being ready"
        ),
        fails("revision-controller"),
    ),
    "CoreService": (created_by("route-controller", "placeholder service"),),
    "Ingress": (created_by("route-controller", "Ingress"),),
    "Deployment": (scales,),
    "Pod": (pod_lives,),
}


def happenings(old: Resource | None, new: Resource) -> Iterator[Happening]:
    """All that is worth telling of a change."""
    for tell in TELLERS.get(new.type_name, ()):
        yield from tell(old, new)
