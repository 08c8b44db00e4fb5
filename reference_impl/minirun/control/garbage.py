"""What goes when something goes: dependents, a namespace's content, and revisions that nobody needs.

An object whose last owner is gone is deleted. An owner that is deleted with the finalizer
`foregroundDeletion` stays until the dependents that block it are gone; with `orphan` it lets go of them. A
namespace that is deleted stays until it is empty.
Counterparts: Kubernetes' garbage collector and namespace controller, knative/serving's pkg/reconciler/gc.
"""

from collections.abc import Sequence

from minirun.control.children import RESERVE
from minirun.control.context import Context
from minirun.model.clock import SECOND_NS
from minirun.model.labels import NO_GC, ROUTING_STATE, ROUTING_STATE_MODIFIED
from minirun.model.meta import FOREGROUND, ORPHAN, Resource, unix_seconds, with_meta
from minirun.model.resources import KINDS, TYPE_OF, Configuration, Namespace, NamespaceSpec, Revision
from minirun.model.settings import UNLIMITED, GCSettings
from minirun.store.store import Store, edit


def release(store: Store, child: Resource, owner_uid: str) -> bool:
    """Takes one owner off a child; returns whether it has another one."""
    owners = [owner for owner in child.metadata.owner_references if owner.uid != owner_uid]
    store.update(with_meta(child, owner_references=owners))
    return bool(owners)


def cascade(ctx: Context, uid: str, _: str) -> float | None:
    """Deletes what the owner `uid`, which is gone, has owned alone."""
    for child in ctx.store.all_dependents(uid):
        if len(child.metadata.owner_references) > 1:
            release(ctx.store, child, uid)
        else:
            ctx.store.delete(type(child), *child.key)
    return None


def blocks(child: Resource, owner_uid: str) -> bool:
    """Whether an owner that is deleted in the foreground waits for a child."""
    return any(o.uid == owner_uid and o.block_owner_deletion for o in child.metadata.owner_references)


def finalize(ctx: Context, namespace: str, kind_and_name: str) -> float | None:
    """Does what the finalizers of an owner that is being deleted ask for. The name is `TypeName/name`."""
    kind, _, name = kind_and_name.partition("/")
    type_ = TYPE_OF.get(kind)
    owner: Resource | None = ctx.store.find(type_, namespace, name) if type_ else None
    if owner is None or not owner.metadata.deletion_timestamp:
        return None
    uid, finalizers, store = owner.metadata.uid, owner.metadata.finalizers, ctx.store
    for child in store.all_dependents(uid):
        if ORPHAN in finalizers or (FOREGROUND in finalizers and len(child.metadata.owner_references) > 1):
            release(store, child, uid)
        elif FOREGROUND in finalizers:
            finalizer = FOREGROUND if store.all_dependents(child.metadata.uid) else ""
            store.delete(type(child), *child.key, finalizer=finalizer)
    if not any(blocks(child, uid) for child in store.all_dependents(uid)):
        kept = [each for each in finalizers if each not in (FOREGROUND, ORPHAN)]
        store.update(with_meta(owner, finalizers=kept))
    return None


def empty_namespace(ctx: Context, _: str, name: str) -> float | None:
    """Deletes all that is in a namespace that is being deleted, and lets it go when it is empty."""
    namespace = ctx.store.find(Namespace, "", name)
    if namespace is not None and not namespace.metadata.deletion_timestamp:
        return None
    rows = [row for row in KINDS if row.namespaced]
    for row in rows:
        for resource in ctx.store.select(row.type, name):
            ctx.store.delete(row.type, *resource.key)
    if namespace is not None and not any(ctx.store.select(row.type, name) for row in rows):
        edit(ctx.store, namespace, spec=NamespaceSpec())
    return None


def last_active_ns(revision: Revision) -> int:
    """When a revision's routing state changed last, or else when it was made."""
    meta = revision.metadata
    text = meta.annotations.get(ROUTING_STATE_MODIFIED) or meta.creation_timestamp
    return unix_seconds(text) * SECOND_NS


def is_collectable(revision: Revision, configuration: Configuration) -> bool:
    """Whether a revision may ever be collected: no Route means it, and it is not one of the latest."""
    meta, status = revision.metadata, configuration.status
    return (
        meta.name not in (status.latest_ready_revision_name, status.latest_created_revision_name)
        and meta.annotations.get(NO_GC, "").lower() != "true"
        and meta.labels.get(ROUTING_STATE) == RESERVE
    )


def stale_at_ns(revision: Revision, settings: GCSettings) -> int | None:
    """From when on a revision is older than its retention; None if no rule goes by time."""
    created_ns = unix_seconds(revision.metadata.creation_timestamp) * SECOND_NS
    limits = (
        (settings.retain_since_create_time_ns, created_ns),
        (settings.retain_since_last_active_time_ns, last_active_ns(revision)),
    )
    return max((since + limit for limit, since in limits if limit != UNLIMITED), default=None)


def revisions_to_delete(
    revisions: Sequence[Revision], configuration: Configuration, settings: GCSettings, now_ns: int
) -> tuple[list[Revision], int | None]:
    """Which of a Configuration's revisions go now, and when (unix ns) the next one may go.

    The least recently active goes first. Those past their retention go until `min-non-active-revisions` are
    left; then, whatever their age, those beyond `max-non-active-revisions` (knative/serving pkg/gc).
    """
    idle = sorted((r for r in revisions if is_collectable(r, configuration)), key=last_active_ns)
    spare = max(0, len(idle) - settings.min_non_active_revisions)
    ages = [(revision, stale_at_ns(revision, settings)) for revision in idle] if spare else []
    stale = [revision for revision, at_ns in ages if at_ns is not None and at_ns <= now_ns]
    gone = stale[:spare]
    kept = [revision for revision in idle if revision not in gone]
    most = settings.max_non_active_revisions
    if most != UNLIMITED and len(kept) > most:
        gone += kept[: len(kept) - most]
    later = [at_ns for _, at_ns in ages if at_ns is not None and at_ns > now_ns]
    return gone, min(later) if later and len(idle) - len(gone) > settings.min_non_active_revisions else None


def collect_revisions(ctx: Context, namespace: str, name: str) -> float | None:
    """Deletes the revisions of the Configuration `name` that nobody needs any more."""
    configuration = ctx.living(Configuration, namespace, name)
    if configuration is None:
        return None
    revisions = list(ctx.store.dependents(configuration.metadata.uid, Revision))
    now_ns = ctx.clock.unix_ns()
    gone, next_ns = revisions_to_delete(revisions, configuration, ctx.settings.gc, now_ns)
    for revision in gone:
        ctx.store.delete(Revision, *revision.key)
    return None if next_ns is None else (next_ns - now_ns) / SECOND_NS
