"""Route → the table that requests are routed by.

Targets are resolved to revisions; only when all of them can serve is the table programmed, and only then does
the status say so: a revision that is not ready takes nothing from one that works. A new latest revision may
take over in steps (`traffic/rollout.py`). Revisions are labelled with who means them. Counterparts:
pkg/reconciler/route and pkg/reconciler/labeler in knative/serving.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from minirun.control.children import ACTIVE, RESERVE, Key
from minirun.control.context import Context
from minirun.control.ingress import make_rules, place_services, report_ingress
from minirun.model.clock import SECOND_NS
from minirun.model.conditions import FALSE, TRUE, UNKNOWN, is_true, mark, status_of
from minirun.model.durations import parse_duration
from minirun.model.labels import (
    ROLLOUT,
    ROLLOUT_DURATION,
    ROUTES,
    ROUTING_STATE,
    ROUTING_STATE_MODIFIED,
    VISIBILITY,
)
from minirun.model.meta import replace, with_meta
from minirun.model.regions import host_label, place_of
from minirun.model.resources import Addressable, Configuration, Revision, Route, TrafficTarget
from minirun.store.store import Store, edit
from minirun.traffic.rollout import Rollout, goal, next_step_after_seconds, observe_ready, step

K = TypeVar("K", Configuration, Revision)

CLUSTER_DOMAIN = "svc.cluster.local"
_ROLLING = ("RolloutInProgress", "A gradual rollout of the latest revision(s) is in progress.")
_NOT_OWNED = 'There is an existing placeholder Service "{}" that we do not own.'
_NO_TLS = ("TLSNotEnabled", "external-domain-tls is not enabled")


class BadTarget(Exception):  # noqa: N818 - Knative's word
    """A target that can't get traffic: what condition AllTrafficAssigned says of it."""

    def __init__(self, status: str, message: str, reason: str = "RevisionMissing") -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


def resolve(target: TrafficTarget, namespace: str, store: Store) -> TrafficTarget:
    """The target with the name of a revision that can serve.

    A latest ready revision keeps its traffic when it fails later: there is no better one.

    Raises:
        BadTarget: what it names is not there, or can't serve (yet).
    """
    if target.revision_name:
        if _is_coming(store, namespace, target.revision_name):
            raise BadTarget(UNKNOWN, f'Revision "{target.revision_name}" is not yet ready.')
        revision = _find(store, Revision, namespace, target.revision_name)
        if is_true(revision.status.conditions):
            return target
        if status_of(revision.status.conditions) == FALSE:
            raise BadTarget(FALSE, f'Revision "{target.revision_name}" failed to become ready.')
        raise BadTarget(UNKNOWN, f'Revision "{target.revision_name}" is not yet ready.')
    configuration = _find(store, Configuration, namespace, target.configuration_name)
    latest, name = configuration.status.latest_ready_revision_name, target.configuration_name
    if latest:
        return replace(target, revision_name=_find(store, Revision, namespace, latest).metadata.name)
    if status_of(configuration.status.conditions) == FALSE:
        raise BadTarget(FALSE, f'Configuration "{name}" does not have any ready Revision.')
    raise BadTarget(UNKNOWN, f'Configuration "{name}" is waiting for a Revision to become ready.')


def _is_coming(store: Store, namespace: str, revision: str) -> bool:
    """Whether a Configuration names this revision and it is only not made yet."""
    return store.find(Revision, namespace, revision) is None and any(
        configuration.spec.template.metadata.name == revision
        for configuration in store.select(Configuration, namespace)
    )


def _find(store: Store, type_: type[K], namespace: str, name: str) -> K:
    found = store.find(type_, namespace, name)
    if found is None:
        kind = type_.__name__
        raise BadTarget(FALSE, f'{kind} "{name}" referenced in traffic not found.', f"{kind}Missing")
    return found


def resolve_all(route: Route, store: Store) -> list[TrafficTarget]:
    """All targets resolved. Raises BadTarget: the first that has failed, or else that is not ready yet."""
    resolved: list[TrafficTarget] = []
    bad: list[BadTarget] = []
    for target in route.spec.traffic:
        try:
            resolved.append(resolve(target, route.metadata.namespace, store))
        except BadTarget as error:
            bad.append(error)
    if bad:
        raise min(bad, key=lambda error: error.status != FALSE)
    return resolved


def rollout_step(
    route: Route, targets: Iterable[TrafficTarget], duration_seconds: float, now_ns: int
) -> tuple[Rollout | None, dict[tuple[str, str], list[tuple[str, int]]], float | None]:
    """The rollout's state, what it makes of the shares of latest revisions, and when to step again."""
    if duration_seconds <= 0:
        return None, {}, None
    state = Rollout.from_annotation(route.metadata.annotations.get(ROLLOUT, "{}"))
    goals = [
        goal(t.configuration_name, t.percent, t.revision_name, t.tag)
        for t in targets
        if t.configuration_name and t.percent
    ]
    # The table serves a share as soon as it is programmed, so the first percent is observed at once.
    stepped = step(state, goals, now_ns)
    planned = observe_ready(stepped.rollout, now_ns, duration_seconds)
    return planned, stepped.percents, next_step_after_seconds(planned, now_ns)


def split_latest(
    targets: Iterable[TrafficTarget], shares: dict[tuple[str, str], list[tuple[str, int]]]
) -> list[TrafficTarget]:
    """The traffic as it is routed: each target's revision, or during a rollout the several that share it."""
    routed = []
    for target in targets:
        shared = shares.get((target.tag, target.configuration_name))
        target = replace(target, configuration_name="")
        if shared is None:
            routed.append(target)
        else:
            routed += [replace(target, revision_name=name, percent=percent) for name, percent in shared]
    return routed


def table_targets(
    traffic: Sequence[TrafficTarget],
) -> tuple[list[tuple[str, int]], dict[str, list[tuple[str, int]]]]:
    """What the table is told: revisions and percents of the route's own hosts, and of each tag's."""
    own: dict[str, int] = {}
    tags: dict[str, list[tuple[str, int]]] = {}
    for target in traffic:
        own[target.revision_name] = own.get(target.revision_name, 0) + (target.percent or 0)
        if target.tag:
            tags.setdefault(target.tag, []).append((target.revision_name, target.percent or 1))
    return list(own.items()), tags


def program(ctx: Context, route: Route, traffic: Sequence[TrafficTarget]) -> None:
    """Makes the gateway route as `traffic` says."""
    namespace, name = route.key
    for target in traffic:
        revision = ctx.store.find(Revision, namespace, target.revision_name)
        if revision is not None:
            ctx.paths.ensure(revision)
    own, tags = table_targets(traffic)
    domain = ctx.settings.domain.domain
    aliases = {tag: run_hosts(ctx, route, tag) for tag in ("", *tags)}
    local = _is_local(route)
    ctx.table.set_route(namespace, name, own, tags, cluster_local=local, domain=domain, aliases=aliases)


def expose(ctx: Context, route: Route, traffic: Sequence[TrafficTarget]) -> str:
    """Makes what stands for a Route in Kubernetes; returns the name of a Service that is in the way."""
    own, tags = table_targets(traffic)
    taken = place_services(ctx, route, tags)
    hosts = {} if _is_local(route) else {tag: host_of(ctx, route, tag) for tag in ("", *tags)}
    report_ingress(ctx, route, make_rules(route, own, tags, hosts))
    return taken


def _is_local(route: Route) -> bool:
    return route.metadata.labels.get(VISIBILITY) == "cluster-local"


def run_hosts(ctx: Context, route: Route, tag: str = "") -> list[str]:
    """The hosts of a route, or of one of its tags, that Cloud Run gives it; none in a knative namespace."""
    namespace, name = route.key
    domains = ctx.profile(namespace).run_domains
    if not domains or _is_local(route):
        return []
    label = host_label(name, place_of(namespace), tag)
    return [f"{label}.{domain}" for domain in domains]


def host_of(ctx: Context, route: Route, tag: str = "") -> str:
    """The host that is shown for a route or for one of its tags."""
    namespace, name = route.key
    domain = CLUSTER_DOMAIN if _is_local(route) else ctx.settings.domain.domain
    hosts = run_hosts(ctx, route, tag)
    return hosts[0] if hosts else f"{tag}-{name}.{namespace}.{domain}".removeprefix("-")


def url_of(ctx: Context, route: Route, tag: str = "") -> str:
    """The address of a route or of one of its tags; inside the cluster it is at port 80."""
    return f"http://{host_of(ctx, route, tag)}" + ("" if _is_local(route) else ctx.port_suffix)


def label_revisions(ctx: Context, route: Route, former: Iterable[TrafficTarget]) -> None:
    """Notes on each revision whether this Route means it; one that no Route means is in reserve.

    Meant are those that have traffic or are declared, and the newest of a Configuration that is followed,
    ready or not, so that it can start.
    """
    namespace, name = route.key
    meant = {target.revision_name for target in (*route.spec.traffic, *route.status.traffic)}
    known: dict[str, Revision] = {}
    for configuration_name in {target.configuration_name for target in route.spec.traffic}:
        configuration = ctx.store.find(Configuration, namespace, configuration_name)
        if configuration is not None:
            status = configuration.status
            meant |= {status.latest_created_revision_name, status.latest_ready_revision_name}
    for revision_name in meant | {target.revision_name for target in former}:
        revision = ctx.store.find(Revision, namespace, revision_name)
        if revision is not None:
            for owner in revision.metadata.owner_references:
                known |= {r.metadata.name: r for r in ctx.store.dependents(owner.uid, Revision)}
            known[revision_name] = revision
    for revision in known.values():
        label(ctx, revision, name, revision.metadata.name in meant)


def label(ctx: Context, revision: Revision, route: str, is_meant: bool) -> None:
    """Adds a route to, or takes it from, those that mean a revision; sets its routing state accordingly."""
    meta = revision.metadata
    before = set(filter(None, meta.annotations.get(ROUTES, "").split(",")))
    routes = before | {route} if is_meant else before - {route}
    state = ACTIVE if routes else RESERVE
    if routes == before and state == meta.labels.get(ROUTING_STATE):
        return
    annotations = meta.annotations | {ROUTES: ",".join(sorted(routes))}
    if not routes:
        del annotations[ROUTES]
    if state != meta.labels.get(ROUTING_STATE):
        annotations[ROUTING_STATE_MODIFIED] = ctx.now()
    labels = meta.labels | {ROUTING_STATE: state}
    ctx.store.update(with_meta(revision, labels=labels, annotations=annotations))


def rollout_seconds(ctx: Context, route: Route) -> float:
    """How long a new latest revision takes to take over; the annotation wins over the ConfigMap."""
    text = route.metadata.annotations.get(ROLLOUT_DURATION)
    try:
        return parse_duration(text) / SECOND_NS if text else float(ctx.settings.network.rollout_duration)
    except ValueError:
        return 0.0  # the door refuses it; an old one means no rollout, as in Knative


def forget(ctx: Context, namespace: str, name: str) -> None:
    """Stops routing for a Route that is gone."""
    ctx.table.remove_route(namespace, name)
    ctx.references.track(namespace, name, ())
    for revision in ctx.store.select(Revision, namespace):
        if name in revision.metadata.annotations.get(ROUTES, "").split(","):
            label(ctx, revision, name, False)


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Programs the table with a Route's traffic, if all of it can be served, and reports it."""
    route = ctx.living(Route, namespace, name)
    if route is None:
        forget(ctx, namespace, name)
        return None
    targets = [Key("Revision", namespace, t.revision_name) for t in route.spec.traffic if t.revision_name]
    follows = [Key("Configuration", namespace, t.configuration_name) for t in route.spec.traffic]
    ctx.references.track(namespace, name, targets + follows)
    now, status, again = ctx.now(), route.status, None
    conditions = status.conditions
    try:
        resolved = resolve_all(route, ctx.store)
    except BadTarget as bad:
        program(ctx, route, status.traffic)  # what worked goes on
        conditions = mark("Route", conditions, now, "AllTrafficAssigned", bad.status, bad.reason, str(bad))
    else:
        duration, now_ns = rollout_seconds(ctx, route), ctx.clock.unix_ns()
        rollout, shares, again = rollout_step(route, resolved, duration, now_ns)
        traffic = split_latest(resolved, shares)
        program(ctx, route, traffic)
        annotations = {k: v for k, v in route.metadata.annotations.items() if k != ROLLOUT}
        if rollout is not None and rollout.configurations:
            annotations[ROLLOUT] = rollout.to_annotation()
        route = with_meta(route, annotations=annotations)
        traffic = [replace(t, url=url_of(ctx, route, t.tag) if t.tag else "") for t in traffic]
        status = replace(status, traffic=traffic)
        rolling = rollout is not None and any(len(c.revisions) > 1 for c in rollout.configurations)
        conditions = mark("Route", conditions, now, "AllTrafficAssigned", TRUE)
        ingress = (UNKNOWN, *_ROLLING) if rolling else (TRUE, "", "")
        if taken := expose(ctx, route, traffic):
            ingress = (FALSE, "NotOwned", _NOT_OWNED.format(taken))
        conditions = mark("Route", conditions, now, "IngressReady", *ingress)
        conditions = mark("Route", conditions, now, "CertificateProvisioned", TRUE, *_NO_TLS)
    status = replace(
        status,
        observed_generation=route.metadata.generation,
        conditions=conditions,
        url=url_of(ctx, route),
        address=Addressable(url=f"http://{name}.{namespace}.{CLUSTER_DOMAIN}"),
    )
    label_revisions(ctx, replace(route, status=status), route.status.traffic)
    edit(ctx.store, route, status=status)
    return again
