"""DomainMapping → a host of the user's own, routed as the Service or Route that it stands for.

A domain belongs to the namespace whose mapping of it is the oldest. Counterpart: pkg/reconciler/domainmapping
in knative/serving, with claims of domains made by themselves (`autocreate-cluster-domain-claims`).
"""

from collections.abc import Iterable

from minirun.control.context import Context
from minirun.model.conditions import FALSE, TRUE, UNKNOWN, mark
from minirun.model.meta import Resource, replace
from minirun.model.resources import (
    KIND_OF,
    TYPE_OF_KIND,
    Addressable,
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


def owner_of_domain(mappings: Iterable[DomainMapping]) -> DomainMapping | None:
    """Which of the mappings of one domain has it."""
    living = (each for each in mappings if not each.metadata.deletion_timestamp)
    return min(living, key=lambda each: (each.metadata.creation_timestamp, each.key), default=None)


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
    owner = owner_of_domain(each for each in ctx.store.select(DomainMapping) if each.metadata.name == name)
    if owner is None:
        ctx.table.set_alias(name, None)
    mapping = ctx.living(DomainMapping, namespace, name)
    if mapping is None:
        return None
    status, conditions = mapping.status, mapping.status.conditions

    def seen(type_: str, status: str, reason: str = "", message: str = "") -> None:
        nonlocal conditions
        conditions = mark("DomainMapping", conditions, ctx.now(), type_, status, reason, message)

    url = f"http://{name}{ctx.port_suffix}"
    seen("CertificateProvisioned", TRUE, *_NO_TLS)
    if owner is not mapping or not ctx.settings.network.autocreate_cluster_domain_claims:
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
