"""Where a revision's requests can go: the registry of paths, and what puts instances into them.

`Paths` holds one `RevisionPath` for each Revision; the platform's router looks it up on every request. The
reconciler sets a path's instances from its ready Pods, and puts the activator in or out of it as its
ServerlessService says. Counterparts: Kubernetes' EndpointSlice controller, and the private and public
Services of pkg/reconciler/serverlessservice in knative/serving.
"""

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from minirun.activation.path import Endpoint, RevisionPath
from minirun.activation.reporter import ActivatorStat
from minirun.autoscaling.lifecycle import SERVE
from minirun.autoscaling.spec import DeciderSpec, MetricSpec, ScalePolicy
from minirun.control.children import Key, deployment_name
from minirun.control.pods import READY_ANNOTATION, STARTED_ANNOTATION
from minirun.model.clock import SECOND_NS, Clock
from minirun.model.conditions import is_true
from minirun.model.labels import PORT_ANNOTATION
from minirun.model.resources import Deployment, Pod, Revision, ServerlessService

if TYPE_CHECKING:
    from minirun.control.context import Context


class Specs(NamedTuple):
    """What a revision's annotations ask of the autoscaler."""

    policy: ScalePolicy
    decider: DeciderSpec
    metric: MetricSpec


class StartUps:
    """How long a revision's instances take from the start of their process until they are ready, on average.

    `mean_seconds` is None until one was seen.
    """

    def __init__(self) -> None:
        self.mean_seconds: float | None = None
        self._count = 0
        self._ready: set[str] = set()

    def note(self, ready: Iterable[Pod]) -> None:
        """These Pods are ready; those that were not the last time have just started."""
        before, self._ready = self._ready, set()
        for pod in ready:
            meta = pod.metadata
            self._ready.add(meta.name)
            if meta.name not in before:
                began_ns, ready_ns = (
                    int(meta.annotations[a]) for a in (STARTED_ANNOTATION, READY_ANNOTATION)
                )
                self._count += 1
                mean = self.mean_seconds or 0.0
                self.mean_seconds = mean + ((ready_ns - began_ns) / SECOND_NS - mean) / self._count


class Entry:
    """A revision that requests can reach.

    `key` is `namespace/name`, `revision` the object as last seen (its timeouts are in `revision.spec`),
    `ready` the number of ready instances, `metric` what the autoscaler reads of it, `specs` what the
    autoscaler reads in the revision's annotations, with what it was made from, `proxied` whether the
    ServerlessService wants the activator in the path, `start_ups` how long its instances took to start.
    """

    __slots__ = ("key", "metric", "path", "proxied", "ready", "revision", "specs", "start_ups")

    def __init__(self, key: str, revision: Revision, path: RevisionPath) -> None:
        self.key, self.revision, self.path = key, revision, path
        self.ready = 0
        self.metric = MetricSpec()
        self.specs: tuple[object, Specs] | None = None
        self.proxied = True
        self.start_ups = StartUps()

    @property
    def through_activator(self) -> bool:
        """Whether a request sent now passes the activator: what Knative finds out with a probe."""
        return self.proxied or not self.ready


class Paths:
    """All paths, by revision.

    `on_first_request`, set by `Controllers`, is called when a silent revision gets a request.
    """

    def __init__(self, clock: Clock, rng: Random) -> None:
        self._clock, self._rng = clock, rng
        self._entries: dict[str, Entry] = {}
        self.active: dict[str, Entry] = {}  # those that may have something to report
        self.on_first_request: Callable[[Entry, ActivatorStat], None] = lambda entry, stat: None

    def entry(self, namespace: str, revision: str) -> Entry | None:
        """The path with what is known of its revision; None if there is no such revision."""
        return self._entries.get(f"{namespace}/{revision}")

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def ensure(self, revision: Revision) -> Entry:
        """The entry of `revision`, made if it is new, and brought up to date with it."""
        namespace, name = revision.key
        key = f"{namespace}/{name}"
        entry = self._entries.get(key)
        if entry is None or entry.revision.metadata.uid != revision.metadata.uid:
            limit = revision.spec.container_concurrency or 0
            path = RevisionPath(namespace, name, limit, self._clock, self._rng, self._wake)
            entry = self._entries[key] = Entry(key, revision, path)
        entry.revision = revision
        return entry

    def remove(self, namespace: str, revision: str) -> None:
        """Forgets a revision, known or not; requests that run on its instances go on."""
        self._entries.pop(f"{namespace}/{revision}", None)
        self.active.pop(f"{namespace}/{revision}", None)

    def ready_count(self, key: str) -> int:
        """Ready instances of the revision `namespace/name`."""
        entry = self._entries.get(key)
        return entry.ready if entry else 0

    def _wake(self, path: RevisionPath, stat: ActivatorStat) -> None:
        entry = self._entries.get(f"{path.namespace}/{path.revision}")
        if entry is not None:
            self.active[entry.key] = entry
            self.on_first_request(entry, stat)


def is_ready(pod: Pod) -> bool:
    """Whether requests may be sent to a Pod: Knative's and Kubernetes' rule for an endpoint."""
    return (
        pod.status.phase == "Running"
        and not pod.metadata.deletion_timestamp
        and is_true(pod.status.conditions)
    )


def endpoint_of(pod: Pod) -> Endpoint:
    """A ready Pod's address."""
    return Endpoint(pod.metadata.name, pod.status.pod_ip, int(pod.metadata.annotations[PORT_ANNOTATION]))


def reconcile(ctx: "Context", namespace: str, name: str) -> float | None:
    """Brings the path of the revision `name` in line with its Pods and its ServerlessService."""
    entry = ctx.paths.entry(namespace, name)
    if entry is None:
        return None
    if ctx.store.find(Revision, namespace, name) is None:
        ctx.paths.remove(namespace, name)
        return None
    deployment = ctx.store.find(Deployment, namespace, deployment_name(name))
    pods = ctx.store.dependents(deployment.metadata.uid, Pod) if deployment else ()
    ready = [pod for pod in pods if is_ready(pod)]
    endpoints = [endpoint_of(pod) for pod in ready]
    entry.start_ups.note(ready)
    entry.path.queue_seconds = ctx.profile(namespace).queue_limit.seconds(entry.start_ups.mean_seconds)
    if endpoints:
        ctx.paths.active[entry.key] = entry
    before, entry.ready = entry.ready, len(endpoints)
    entry.path.set_endpoints(endpoints)
    sks = ctx.store.find(ServerlessService, namespace, name)
    entry.proxied = sks is None or sks.spec.mode != SERVE
    entry.path.set_proxy_mode(entry.proxied)
    if entry.ready != before:
        ctx.enqueue(Key("PodAutoscaler", namespace, name))
    return None
