# Your part of minirun, lab 2. `lab check 2` says how far it is.
"""Service → Configuration + Route: one document in place of two, and one answer to "is it ready?".

Labels and annotations go down to both children, conditions and status come up from them. Counterpart:
pkg/reconciler/service in knative/serving.
"""

from typing import TypeVar

from minirun.control.children import child_meta, claim
from minirun.control.configuration import taken_revision
from minirun.control.context import Context
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import FALSE, READY, TRUE, UNKNOWN, find, mark
from minirun.model.labels import LAST_APPLIED, ROLLOUT, ROLLOUT_DURATION, SERVICE, SERVICE_UID
from minirun.model.meta import ObjectMeta, replace, unix_seconds, with_meta
from minirun.model.resources import (
    Configuration,
    ConfigurationSpec,
    Route,
    RouteSpec,
    Service,
    ServiceStatus,
    TrafficTarget,
)
from minirun.store.store import Store, edit

Child = TypeVar("Child", Configuration, Route)
Seen = tuple[str, str, str]
"""What was observed: a condition's status, reason and message."""

REPEAT_AFTER_SECONDS = 2.0  # times are stamped in whole seconds, so after one second at least

_NOT_OWNED = 'There is an existing {} "{}" that we do not own.'
_OUT_OF_DATE = "The {} is still working to reflect the latest desired specification."
_NAME_TAKEN = 'The revision name "{}" is taken by a conflicting Revision, so traffic will not be migrated'
_NOT_MIGRATED = ("TrafficNotMigrated", "Traffic is not yet migrated to the latest revision.")


def inherited(service: Service, *without: str) -> ObjectMeta:
    """The metadata of a child: the Service's labels and annotations, but for some keys."""
    meta = service.metadata
    annotations = {k: v for k, v in meta.annotations.items() if k not in without}
    return child_meta(service, meta.labels | {SERVICE: meta.name, SERVICE_UID: meta.uid}, annotations)


def make_configuration(service: Service) -> Configuration:
    """The Configuration that a Service asks for."""
    meta = inherited(service, LAST_APPLIED, ROLLOUT_DURATION)
    return Configuration(metadata=meta, spec=ConfigurationSpec(template=service.spec.template))


def make_route(service: Service) -> Route:
    """The Route that a Service asks for; the latest revision is the latest of its own Configuration."""
    name = service.metadata.name
    traffic = [
        target if target.revision_name else replace(target, configuration_name=name, latest_revision=True)
        for target in service.spec.traffic or [TrafficTarget(latest_revision=True, percent=100)]
    ]
    return Route(metadata=inherited(service, LAST_APPLIED), spec=RouteSpec(traffic=traffic))


def apply(store: Store, service: Service, wanted: Child) -> Child | None:
    """Creates or updates a child; None if somebody else has its name."""
    stored = claim(store, service, wanted)
    if stored is None:
        return None
    state = {k: v for k, v in stored.metadata.annotations.items() if k == ROLLOUT}  # the Route's own
    annotations = wanted.metadata.annotations | state
    stored = with_meta(stored, labels=wanted.metadata.labels, annotations=annotations)
    return edit(store, stored, spec=wanted.spec)


def is_migrated(configuration: Configuration | None, route: Route) -> bool:
    """Whether the traffic that a Route reports is the one that is wanted of it, target by target.

    A target of a Configuration's latest revision means the latest ready one, and is reported by that name.
    The URLs of tags are reported only, and never declared.
    """
    # TODO(you): about 6 lines
    raise NotImplementedError("task 2.4")


def readiness(kind: str, name: str, child: Configuration | Route | None) -> Seen:
    """What a child says of itself, in so far as it speaks of its newest generation.

    Args:
        child: None if its name is somebody else's: False, `NotOwned`.

    Returns:
        Its condition Ready. Unknown, `OutOfDate`, if it has none, or has not observed its generation yet.
    """
    # TODO(you): about 6 lines
    raise NotImplementedError("task 2.4")


def routing(name: str, configuration: Configuration | None, route: Route | None, taken: str) -> Seen:
    """Whether requests go where they should: what condition RoutesReady of a Service is.

    Args:
        taken: the revision name that is wanted and that another revision has: a Route of ours is False then,
            `RevisionNameTaken`, whatever it says; empty if none.

    Returns:
        What the Route says; but a Route that is ready with other traffic than is wanted is Unknown,
        `TrafficNotMigrated`.
    """
    # TODO(you): about 6 lines
    raise NotImplementedError("task 2.4")


def next_status(
    service: Service, configuration: Configuration | None, route: Route | None, taken: str, now: str
) -> ServiceStatus:
    """The status that follows from the children; a child is None if its name is somebody else's.

    Args:
        taken: the revision name that the Configuration wants and another revision has; empty if none.
    """
    status, name = service.status, service.metadata.name
    of_configuration = readiness("Configuration", name, configuration)
    of_route = routing(name, configuration, route, taken)
    conditions = status.conditions
    conditions = mark("Service", conditions, now, "ConfigurationsReady", *of_configuration)
    conditions = mark("Service", conditions, now, "RoutesReady", *of_route)
    status = replace(status, conditions=conditions, observed_generation=service.metadata.generation)
    if configuration:
        status = replace(
            status,
            latest_created_revision_name=configuration.status.latest_created_revision_name,
            latest_ready_revision_name=configuration.status.latest_ready_revision_name,
        )
    if route:
        reported = route.status
        status = replace(status, url=reported.url, address=reported.address, traffic=reported.traffic)
    return status


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Brings a Service's children in line with it, and its status with them."""
    service = ctx.living(Service, namespace, name)
    if service is None:
        return None
    configuration = apply(ctx.store, service, make_configuration(service))
    taken = taken_revision(ctx.store, configuration) if configuration else ""
    if taken:  # its traffic stays where it is
        route = ctx.store.find(Route, namespace, name)
    else:
        route = apply(ctx.store, service, make_route(service))
    status = next_status(service, configuration, route, taken, ctx.now())
    return repeat_failure(ctx, edit(ctx.store, service, status=status))


def repeat_failure(ctx: Context, service: Service) -> float | None:
    """Says once more, a little later, that a Service failed; returns in how many seconds, if not yet.

    kn looks for failures only in events that come after its second look at a Service. One that is known at
    once, such as an image that is not there, would be told before that, and kn would wait for its timeout.
    """
    ready = find(service.status.conditions, READY)
    if ready is None or ready.status != FALSE:
        return None
    age_seconds = ctx.clock.unix_ns() / SECOND_NS - unix_seconds(ready.last_transition_time)
    if age_seconds < REPEAT_AFTER_SECONDS:
        return REPEAT_AFTER_SECONDS - age_seconds
    if age_seconds < 2 * REPEAT_AFTER_SECONDS:
        ctx.store.touch(service)
    return None
