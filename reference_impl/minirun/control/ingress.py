"""What stands for a Route in Kubernetes: a Service under each of its names, and its Ingress.

The Services only hold the names: requests for them go to the gateway. The Ingress says what the gateway has
been programmed with. Counterparts: pkg/reconciler/route/resources/{service,ingress}.go in knative/serving.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from minirun.control.children import child_meta, claim, put
from minirun.control.cluster import INGRESS_NAME, INGRESS_NAMESPACE
from minirun.control.context import Context
from minirun.model.conditions import TRUE, mark
from minirun.model.labels import LAST_APPLIED, ROLLOUT, ROUTE
from minirun.model.meta import ObjectMeta, replace, with_meta
from minirun.model.names import child_name
from minirun.model.resources import (
    CoreService,
    CoreServiceSpec,
    Ingress,
    IngressPath,
    IngressRule,
    IngressRuleValue,
    IngressSpec,
    IngressSplit,
    Route,
    ServicePort,
    Status,
)
from minirun.store.store import edit

GATEWAY_HOST = f"{INGRESS_NAME}.{INGRESS_NAMESPACE}.svc.cluster.local"
REVISION_PORT = 80

Targets = Sequence[tuple[str, int]]


def inherited(route: Route, name: str = "") -> ObjectMeta:
    """The metadata of what stands for a Route, or for one of its tags."""
    meta = route.metadata
    annotations = {k: v for k, v in meta.annotations.items() if k not in (LAST_APPLIED, ROLLOUT)}
    return child_meta(route, meta.labels | {ROUTE: meta.name}, annotations, name)


def placeholder_name(route: Route, tag: str) -> str:
    """The name of the Service that stands for a Route, or for one of its tags."""
    return child_name(f"{tag}-{route.metadata.name}" if tag else route.metadata.name, "")


def make_placeholder(route: Route, tag: str) -> CoreService:
    """The Service that stands for a Route, or for one of its tags."""
    spec = CoreServiceSpec(
        type="ExternalName",
        external_name=GATEWAY_HOST,
        ports=[ServicePort(name="http2", port=REVISION_PORT)],
        session_affinity="None",
    )
    return CoreService(metadata=inherited(route, placeholder_name(route, tag)), spec=spec)


def place_services(ctx: Context, route: Route, tags: Iterable[str]) -> str:
    """Makes the Services of a Route and its tags, and takes away those of tags that it has no more.

    Labels and annotations are added to those that a Service has; none is taken off, as in Knative.

    Returns:
        The name of a Service that is somebody else's; empty if there is none.
    """
    wanted = [make_placeholder(route, tag) for tag in ("", *tags)]
    for service in wanted:
        stored = claim(ctx.store, route, service)
        if stored is None:
            return service.metadata.name
        labels = stored.metadata.labels | service.metadata.labels
        annotations = stored.metadata.annotations | service.metadata.annotations
        edit(ctx.store, with_meta(stored, labels=labels, annotations=annotations), spec=service.spec)
    names = {service.metadata.name for service in wanted}
    for stored in list(ctx.store.dependents(route.metadata.uid, CoreService)):
        if stored.metadata.name not in names:
            ctx.store.delete(CoreService, *stored.key)
    return ""


def make_rules(
    route: Route, own: Targets, tags: Mapping[str, Targets], public_hosts: Mapping[str, str]
) -> Iterator[IngressRule]:
    """What each name of a Route leads to, inside and, for those in `public_hosts` (by tag), outside."""
    namespace, name = route.metadata.namespace, route.metadata.name
    for tag, targets in {"": own, **tags}.items():
        splits = [
            IngressSplit(
                service_namespace=namespace,
                service_name=revision,
                service_port=REVISION_PORT,
                percent=percent if tag == "" or len(targets) > 1 else 100,
            )
            for revision, percent in targets
            if percent
        ]
        leads_to = IngressRuleValue(paths=[IngressPath(splits=splits)])
        label = f"{tag}-{name}" if tag else name
        inside = [f"{label}.{namespace}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local")]
        yield IngressRule(hosts=inside, visibility="ClusterLocal", http=leads_to)
        if host := public_hosts.get(tag):
            yield IngressRule(hosts=[host], visibility="ExternalIP", http=leads_to)


def report_ingress(ctx: Context, route: Route, rules: Iterable[IngressRule]) -> None:
    """Writes down what the gateway has been programmed with for a Route."""
    wanted = Ingress(
        metadata=inherited(route),
        spec=IngressSpec(http_option="Enabled", rules=list(rules)),
    )
    stored: Ingress | None = ctx.store.find(Ingress, *wanted.key)
    conditions = stored.status.conditions if stored else []
    for type_ in ("NetworkConfigured", "LoadBalancerReady"):
        conditions = mark("Ingress", conditions, ctx.now(), type_, TRUE)
    put(ctx.store, stored, replace(wanted, status=Status(conditions=conditions)))
