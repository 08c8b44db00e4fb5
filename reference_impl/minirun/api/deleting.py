"""Delete: one object or all that are selected, at once or as soon as finalizers and dependents allow.

What an object owns is the garbage collector's work (`control/garbage.py`); here an owner only gets the
finalizer that makes it wait for its dependents (Foreground) or let go of them (Orphan). Counterpart:
kube-apiserver's registry store.
"""

from typing import Final

import msgspec
from starlette.requests import Request

from minirun.api.bodies import convert, read_document
from minirun.api.requests import Target, find_object, is_dry_run, whole
from minirun.api.selectors import parse_selector
from minirun.api.status import StatusError, conflict
from minirun.model.decoding import without_nulls
from minirun.model.meta import FOREGROUND, ORPHAN, Resource, replace
from minirun.model.resources import Namespace, NamespaceStatus, Pod
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.store.errors import ConflictError
from minirun.store.store import Store

ALWAYS_THERE: Final = ("default", SYSTEM_NAMESPACE)
FINALIZERS: Final = {"": "", "Background": "", "Foreground": FOREGROUND, "Orphan": ORPHAN}
"""What a propagation policy adds to an object that has dependents."""


class Preconditions(msgspec.Struct, frozen=True, rename="camel"):
    uid: str = ""
    resource_version: str = ""


class DeleteOptions(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a DELETE, whatever its apiVersion."""

    propagation_policy: str = ""
    grace_period_seconds: int | None = None
    preconditions: Preconditions = Preconditions()
    dry_run: list[str] = []


async def read_delete_options(request: Request) -> DeleteOptions:
    """What the body and the query say; the query wins. Raises StatusError (400)."""
    document, _ = await read_document(request, optional=True)
    options = convert(without_nulls(document), DeleteOptions)
    policy = request.query_params.get("propagationPolicy") or options.propagation_policy
    if policy not in FINALIZERS:
        raise StatusError(400, f'propagationPolicy "{policy}" is none of Background, Foreground, Orphan')
    if options.dry_run not in ([], ["All"]):
        raise StatusError(400, f"dryRun {options.dry_run} is not supported; the only value is All")
    return replace(
        options,
        propagation_policy=policy,
        grace_period_seconds=_grace_seconds(request, options),
        dry_run=options.dry_run or ["All"] * is_dry_run(request),
    )


def _grace_seconds(request: Request, options: DeleteOptions) -> int | None:
    """What a Pod is given to end in; less than nothing is a second, as in Kubernetes."""
    said = request.query_params.get("gracePeriodSeconds")
    if said is None:
        seconds = options.grace_period_seconds
        return 1 if seconds is not None and seconds < 0 else seconds
    return 1 if said.startswith("-") else whole(said, "gracePeriodSeconds")


def remove(store: Store, old: Resource, options: DeleteOptions) -> Resource:
    """Takes an object away, or marks it as going; returns what it is then.

    Raises:
        ConflictError: it is not the object that the preconditions mean.
    """
    wanted = options.preconditions
    finalizer = FINALIZERS[options.propagation_policy]
    if finalizer and not store.all_dependents(old.metadata.uid):
        finalizer = ""
    gone = store.delete(
        type(old),
        *old.key,
        uid=wanted.uid,
        version=wanted.resource_version,
        finalizer=finalizer,
        grace_seconds=options.grace_period_seconds if isinstance(old, Pod) else None,
    )
    if isinstance(gone, Namespace) and store.find(Namespace, *gone.key) is not None:
        return store.update(replace(gone, status=NamespaceStatus(phase="Terminating")))
    return gone


async def delete_object(store: Store, request: Request, target: Target) -> tuple[Resource, bool]:
    """Deletes what the address names; returns it as it is then, and whether it is gone.

    Raises:
        StatusError (400, 403, 404, 409)
    """
    options = await read_delete_options(request)
    old = find_object(store, target)
    if isinstance(old, Namespace) and target.name in ALWAYS_THERE:
        raise StatusError(403, f'namespaces "{target.name}" is forbidden: this namespace may not be deleted')
    if options.dry_run:
        return old, True
    try:
        gone = remove(store, old, options)
    except ConflictError:
        wanted, meta = options.preconditions, old.metadata
        what, want, got = ("ResourceVersion", wanted.resource_version, meta.resource_version)
        if wanted.uid not in ("", meta.uid):
            what, want, got = "UID", wanted.uid, meta.uid
        why = f"Precondition failed: {what} in precondition: {want}, {what} in object meta: {got}"
        raise conflict(target.kind, target.name, why) from None
    return gone, store.find(type(gone), *gone.key) is None


async def delete_collection(store: Store, request: Request, target: Target) -> list[Resource]:
    """Deletes what is selected; returns it as it was. Raises StatusError (400, 405)."""
    options, selector = await read_delete_options(request), parse_selector(request.query_params)
    if target.kind.type is Namespace:
        raise StatusError(405, "namespaces are deleted one by one, by name")
    gone = [r for r in store.select(target.kind.type, target.namespace) if selector.matches(r)]
    if not options.dry_run:
        for resource in gone:
            remove(store, resource, replace(options, preconditions=Preconditions()))
    return gone
