"""Runs all reconcilers: who is called when what changes, and the order of start and stop.

`WATCHES` is the whole wiring: a change of an object of some kind asks for the reconcile of other objects,
which it finds by name, by owner, by label or by reference. Counterpart: the `NewController` functions of
pkg/reconciler in knative/serving, with their informers' event handlers.
"""

from collections.abc import Callable, Iterable
from typing import Final

from minirun.control import (
    autoscale,
    configuration,
    deployment,
    domainmapping,
    endpoints,
    garbage,
    job,
    revision,
    route,
    service,
)
from minirun.control.children import Key
from minirun.control.context import Context
from minirun.control.instances import Kubelet, remove_leftovers
from minirun.control.measure import Meter, wake
from minirun.control.queue import Reconcile, WorkQueue
from minirun.control.recorder import FLUSH_SECONDS, Recorder
from minirun.control.revision import failure_of
from minirun.control.service_scaling import scaled_by_route
from minirun.model.labels import CANCELLED_ANNOTATION, CONFIGURATION, REVISION, ROUTES
from minirun.model.meta import Resource
from minirun.model.resources import (
    KINDS,
    Configuration,
    DomainMapping,
    Job,
    Namespace,
    Pod,
    PodAutoscaler,
    Revision,
    Route,
    Task,
    type_name_of,
)
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.store.store import Event

Find = Callable[[Context, Event], Iterable[Key]]
"""Which keys to add after an event."""

RECONCILERS: Final[dict[str, Reconcile]] = {
    "Service": service.reconcile,
    "Configuration": configuration.reconcile,
    "Route": route.reconcile,
    "Revision": revision.reconcile,
    "PodAutoscaler": autoscale.reconcile,
    "Deployment": deployment.reconcile,
    "Job": job.reconcile_job,
    "Execution": job.reconcile_execution,
    "Task": job.reconcile_task,
    "Endpoints": endpoints.reconcile,
    "RevisionGC": garbage.collect_revisions,
    "Cascade": garbage.cascade,
    "Finalize": garbage.finalize,
    "Namespace": garbage.empty_namespace,
    "DomainMapping": domainmapping.reconcile,
}
"""The reconciler of each name in a `Key`; that of `Pod` is the `Kubelet`, which has a state of its own."""

EVENTS: Final = Key("Events", "", "")
STOP_GRACE_SECONDS: Final = 5.0  # for all instances at once, when the platform stops
URGENT: Final = (
    ("Deployment", "Pod"),
    ("PodAutoscaler", "Endpoints"),
    ("Configuration", "Task"),
    ("Route",),
    ("Revision", "Execution"),
)
"""Those between a request and its instance go first, and of these those who start it. Then who is summed up
goes before who sums up, so that what a change leads to is told once and not at every step."""


def itself(ctx: Context, event: Event) -> Iterable[Key]:
    """The object, unless only its status changed: that is the reconciler's own doing."""
    new, old = event.object, event.old
    if old is None or event.type == "DELETED" or _declared(new) != _declared(old):
        yield Key(new.type_name, *new.key)


def _declared(resource: Resource) -> tuple[object, ...]:
    meta = resource.metadata
    end = meta.deletion_timestamp, meta.deletion_grace_period_seconds, meta.finalizers
    return meta.generation, *end, meta.owner_references, meta.labels, meta.annotations


def itself_always(ctx: Context, event: Event) -> Iterable[Key]:
    """The object, also after a change of status that the next decision depends on."""
    yield Key(event.object.type_name, *event.object.key)


def owner(ctx: Context, event: Event) -> Iterable[Key]:
    """Those who made the object."""
    for reference in event.object.metadata.owner_references:
        made_by = type_name_of(reference)
        if made_by in RECONCILERS:
            yield Key(made_by, event.object.metadata.namespace, reference.name)


def owner_of_lost(ctx: Context, event: Event) -> Iterable[Key]:
    """Those who made an object that somebody has taken away."""
    if event.type == "DELETED":
        yield from owner(ctx, event)


def mappings_of_route(ctx: Context, event: Event) -> Iterable[Key]:
    """The domains that stand for a Route."""
    namespace, name = event.object.key
    found = ctx.store.select(DomainMapping, namespace)
    return (Key("DomainMapping", *each.key) for each in found if each.spec.ref.name == name)


def rivals_for_a_domain(ctx: Context, event: Event) -> Iterable[Key]:
    """All mappings of a domain whose claim has changed."""
    found = ctx.store.select(DomainMapping)
    return (Key("DomainMapping", *e.key) for e in found if e.metadata.name == event.object.metadata.name)


def labelled(reconciler: str, label: str) -> Find:
    """The object that a label names, for `reconciler`."""

    def find(ctx: Context, event: Event) -> Iterable[Key]:
        meta = event.object.metadata
        if label in meta.labels:
            yield Key(reconciler, meta.namespace, meta.labels[label])

    return find


def revision_of_failed(ctx: Context, event: Event) -> Iterable[Key]:
    """The Revision of a Pod whose container has failed: how it ended is the Revision's to say."""
    pod = event.object
    if isinstance(pod, Pod) and failure_of([pod]) is not None:
        yield from labelled("Revision", REVISION)(ctx, event)


def tasks_of_cancelled(ctx: Context, event: Event) -> Iterable[Key]:
    """The Tasks of an Execution that somebody wants to end."""
    meta = event.object.metadata
    if CANCELLED_ANNOTATION in meta.annotations and event.type != "DELETED":
        yield from (Key("Task", *task.key) for task in ctx.store.dependents(meta.uid, Task))


def named(reconciler: str) -> Find:
    """The object's own name, for another reconciler."""
    return lambda ctx, event: (Key(reconciler, *event.object.key),)


def routes_that_mean_it(ctx: Context, event: Event) -> Iterable[Key]:
    """The Routes whose traffic names the object."""
    namespace = event.object.metadata.namespace
    for name in ctx.references.referrers(Key(event.object.type_name, *event.object.key)):
        yield Key("Route", namespace, name)


def users_of_settings(ctx: Context, event: Event) -> Iterable[Key]:
    """All that depends on a ConfigMap."""
    namespace, name = event.object.key
    for kind, reconciler in SETTINGS_USERS.get(name, ()) if namespace == SYSTEM_NAMESPACE else ():
        yield from (Key(reconciler, *each.key) for each in ctx.store.select(kind))


def users_of_image(ctx: Context, event: Event) -> Iterable[Key]:
    """The revisions that may have waited for this image, and all Jobs: they see the latest one."""
    yield from (Key("Job", *each.key) for each in ctx.store.select(Job))
    for each in ctx.store.select(Revision):
        if not each.status.container_statuses:
            yield Key("Revision", *each.key)


SETTINGS_USERS: Final[dict[str, tuple[tuple[type[Resource], str], ...]]] = {
    "config-autoscaler": ((PodAutoscaler, "PodAutoscaler"),),
    "config-deployment": ((PodAutoscaler, "PodAutoscaler"),),
    "config-domain": ((Route, "Route"),),
    "config-network": ((Route, "Route"), (DomainMapping, "DomainMapping")),
    "config-gc": ((Configuration, "RevisionGC"),),
}

WATCHES: Final[dict[str, tuple[Find, ...]]] = {
    "Service": (itself,),
    "Configuration": (itself, owner, routes_that_mean_it, named("RevisionGC")),
    "Route": (itself, owner, mappings_of_route, scaled_by_route),
    "Revision": (itself, owner, routes_that_mean_it, labelled("RevisionGC", CONFIGURATION)),
    "PodAutoscaler": (itself_always, owner),
    "ServerlessService": (named("Endpoints"), owner_of_lost),
    "Deployment": (itself, owner),
    "Pod": (itself, labelled("Endpoints", REVISION), owner, revision_of_failed),
    "ConfigMap": (users_of_settings,),
    "Job": (itself,),
    "Execution": (itself, tasks_of_cancelled, owner),
    "Task": (itself, owner),
    "Image": (users_of_image,),
    "Namespace": (itself,),
    "DomainMapping": (itself,),
    "ClusterDomainClaim": (rivals_for_a_domain,),
    "CoreService": (owner_of_lost,),
    "Ingress": (owner_of_lost,),
}
"""Who is reconciled after a change of an object of each kind, the most urgent first."""


def ends_of(ctx: Context, event: Event) -> Iterable[Key]:
    """What the garbage collector has to do after an event: for dependents, and for owners that wait."""
    new = event.object
    namespace = ctx.store.find(Namespace, "", new.metadata.namespace)
    if event.type != "MODIFIED" and namespace is not None and namespace.metadata.deletion_timestamp:
        yield Key("Namespace", "", namespace.metadata.name)
    if event.type == "DELETED":
        yield Key("Cascade", new.metadata.uid, "")
        for reference in new.metadata.owner_references:
            yield Key("Finalize", new.metadata.namespace, f"{type_name_of(reference)}/{reference.name}")
    elif new.metadata.deletion_timestamp:
        yield Key("Finalize", new.metadata.namespace, f"{new.type_name}/{new.metadata.name}")


class Controllers:
    """The reconcilers of a platform at work.

    Args:
        ctx: what they work with; its `enqueue` and the hooks of its paths are set here.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.kubelet = Kubelet(ctx)
        self._recorder = Recorder(ctx)
        reconcilers = RECONCILERS | {"Pod": self.kubelet.reconcile, EVENTS.reconciler: self._recorder.flush}
        self.queue = WorkQueue(ctx, reconcilers, URGENT)
        self._meter = Meter(ctx)

    async def start(self) -> None:
        """Ends left-overs of an earlier life, then reconciles everything; returns when all is programmed."""
        ctx = self.ctx
        await remove_leftovers(ctx)
        await ctx.runtime.open()
        ctx.enqueue = self.queue.add
        ctx.paths.on_first_request = lambda entry, stat: wake(ctx, entry, stat)
        for each in ctx.store.select(Revision):
            ctx.paths.ensure(each)
        ctx.store.subscribe(self._on_event)
        self._enqueue_everything()
        self._meter.start()
        await self.queue.idle()

    async def stop(self) -> None:
        """Stops reconciling and ends all instances; returns when they are gone."""
        self._meter.stop()
        self.queue.close()
        try:
            self._recorder.flush(self.ctx)
            await self.kubelet.stop(STOP_GRACE_SECONDS)
        finally:  # whatever went wrong before, such as a full disk
            await self.ctx.runtime.close()

    def _on_event(self, event: Event) -> None:
        if self._recorder.note(event):
            self.queue.add_after(EVENTS, FLUSH_SECONDS)
        for find in WATCHES.get(event.object.type_name, ()):
            for key in find(self.ctx, event):
                self.queue.add(key)
        for key in ends_of(self.ctx, event):
            self.queue.add(key)

    def _enqueue_everything(self) -> None:
        """Every object once, and the ends of those that are gone but still named by others."""
        objects = [each for row in KINDS for each in self.ctx.store.select(row.type)]
        uids = {each.metadata.uid for each in objects}
        for each in objects:
            namespace, name = each.key
            if each.type_name in RECONCILERS:
                self.queue.add(Key(each.type_name, namespace, name))
            if isinstance(each, Configuration):
                self.queue.add(Key("RevisionGC", namespace, name))
            if each.metadata.deletion_timestamp:
                self.queue.add(Key("Finalize", namespace, f"{each.type_name}/{name}"))
            for reference in each.metadata.owner_references:
                if reference.uid not in uids:
                    self.queue.add(Key("Cascade", reference.uid, ""))
            for route_name in filter(None, each.metadata.annotations.get(ROUTES, "").split(",")):
                self.queue.add(Key("Route", namespace, route_name))
