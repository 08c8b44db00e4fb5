"""DomainMapping → a host of the user's own, routed as the Service or Route that it stands for.

A domain belongs to the namespace that its ClusterDomainClaim names. A mapping of a domain that nobody has
makes one, if `autocreate-cluster-domain-claims` lets it, which goes with the mapping. Counterpart:
pkg/reconciler/domainmapping in knative/serving.
"""

from minirun.control.context import Context
from minirun.model.conditions import FALSE, TRUE, UNKNOWN, mark
from minirun.model.meta import ObjectMeta, Resource, replace
from minirun.model.resources import (
    KIND_OF,
    TYPE_OF_KIND,
    Addressable,
    ClusterDomainClaim,
    ClusterDomainClaimSpec,
    DomainMapping,
    ObjectReference,
    Route,
    Service,
)
from minirun.store.store import Store, edit

CLAIMED, RESOLVED, INGRESS = "DomainClaimed", "ReferenceResolved", "IngressReady"
_TAKEN = ("DomainAlreadyClaimed", "The domain name is already in use by another DomainMapping")
_WAITS = ("IngressNotConfigured", "Ingress has not yet been reconciled.")
_NO_TLS = ("TLSNotEnabled", "external-domain-tls is not enabled")


class UnresolvedError(Exception):
    """What a mapping refers to has no address: what condition ReferenceResolved says of it."""


def claim(ctx: Context, domain: str, mapping: DomainMapping | None) -> str:
    """The namespace that has a domain, or nothing; `mapping` gets one that nobody has, if that is allowed."""
    found = ctx.store.find(ClusterDomainClaim, "", domain)
    if found is None and mapping is not None and ctx.settings.network.autocreate_cluster_domain_claims:
        meta = ObjectMeta(name=domain, owner_references=[mapping.owner_reference()])
        spec = ClusterDomainClaimSpec(namespace=mapping.metadata.namespace)
        found = ctx.store.create(ClusterDomainClaim(metadata=meta, spec=spec))
    return found.spec.namespace if found else ""


def resolve(store: Store, ref: ObjectReference, namespace: str) -> Route:
    """The Route that a reference comes to; a Service's has its name.

    Raises:
        UnresolvedError: there is no such object, or it has no address yet.
    """
    type_ = TYPE_OF_KIND.get((ref.api_version, ref.kind))
    if type_ is not Service and type_ is not Route:
        raise UnresolvedError(
            f"{ref.kind} of {ref.api_version} has no address; refer to a Service or a Route"
        )
    found: Resource | None = store.find(type_, namespace, ref.name)
    if found is None:
        raise UnresolvedError(f'{KIND_OF[type_].resource} "{ref.name}" not found')
    route = store.find(Route, namespace, ref.name)
    if route is None or route.status.address is None:
        raise UnresolvedError(f"address not set for {ref.kind} {namespace}/{ref.name}")
    return route


def reconcile(ctx: Context, namespace: str, name: str) -> float | None:
    """Routes a domain, if its mapping has it and what it refers to is there, and says so."""
    mapping = ctx.living(DomainMapping, namespace, name)
    owner = claim(ctx, name, mapping)
    if ctx.living(DomainMapping, owner, name) is None:
        ctx.table.set_alias(name, None)
    if mapping is None:
        return None
    status, conditions = mapping.status, mapping.status.conditions

    def seen(type_: str, status: str, reason: str = "", message: str = "") -> None:
        nonlocal conditions
        conditions = mark("DomainMapping", conditions, ctx.now(), type_, status, reason, message)

    url = f"http://{name}{ctx.port_suffix}"
    seen("CertificateProvisioned", TRUE, *_NO_TLS)
    if owner != namespace:
        seen(CLAIMED, FALSE, *_TAKEN)
    else:
        seen(CLAIMED, TRUE)
        try:
            route = resolve(ctx.store, mapping.spec.ref, namespace)
        except UnresolvedError as error:
            ctx.table.set_alias(name, None)
            seen(RESOLVED, FALSE, "ResolveFailed", str(error))
            seen(INGRESS, UNKNOWN, *_WAITS)
        else:
            ctx.table.set_alias(name, route.key)
            seen(RESOLVED, TRUE)
            seen(INGRESS, TRUE)
            status = replace(status, url=url, address=Addressable(url=url))
    generation = mapping.metadata.generation
    edit(ctx.store, mapping, status=replace(status, conditions=conditions, observed_generation=generation))
    return None
