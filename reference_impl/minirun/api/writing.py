"""Create, update, patch and apply: from what a client sends to what is stored, and who owns which field.

A write is a document, which admission completes, and what its writer said in it, which they own from then on.
Every write is one synchronous call on the store, so nothing comes between reading an object and writing it
back. Counterpart: kube-apiserver's create, update and patch handlers with their field manager.
"""

import random
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from minirun.api.admission import admit, ensure_open
from minirun.api.bodies import media_type, parse_yaml, read_body, read_document
from minirun.api.patching import APPLY_PATCH, PATCHES, accepted_patches
from minirun.api.requests import (
    Target,
    caller,
    field_validation,
    find_object,
    is_dry_run,
    is_true,
    written,
)
from minirun.api.status import (
    StatusError,
    already_exists,
    apply_conflict,
    conflict,
    invalid_options,
    unsupported_media_type,
)
from minirun.model.clock import Clock
from minirun.model.decoding import DecodingError, duplicate_fields, parse_json, without_nulls
from minirun.model.labels import LAST_APPLIED
from minirun.model.managedfields import (
    APPLY,
    UPDATE,
    Fields,
    Manager,
    changes,
    describe,
    fields_of,
    find_conflicts,
    hand_over,
    merge_applied,
    owned_part,
    read_owners,
    write_owners,
)
from minirun.model.meta import ManagedFieldsEntry, Resource, rfc3339, with_meta
from minirun.model.names import random_suffix
from minirun.model.resources import Namespace
from minirun.store.errors import AlreadyExistsError, ConflictError
from minirun.store.store import Store

NAME_PREFIX_MAX: Final = 58
MANAGER_MAX: Final = 128
KUBECTL: Final = "kubectl"  # what it calls itself when it applies on the server

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Write:
    """What a request wants to be stored.

    `document` is the whole object, `said` what the client said of it; `force` takes fields from others.
    """

    target: Target
    old: Resource | None
    document: Document
    said: Document
    duplicates: tuple[str, ...]
    manager: Manager
    force: bool = True


class Writing:
    """The verbs that write.

    Args:
        store: where objects live.
        clock: stamps who wrote what.
        rng: makes the suffixes of generated names.
    """

    def __init__(self, store: Store, clock: Clock, rng: random.Random) -> None:
        self._store, self._clock, self._rng = store, clock, rng

    async def create(self, request: Request, target: Target) -> Response:
        """POST: stores a new object under its name, or under one that is made for it."""
        if target.namespace is None:
            raise StatusError(
                400, "an object is created in a namespace: use /namespaces/NAMESPACE in the address"
            )
        return self._update(request, target, None, *await read_document(request))

    async def update(self, request: Request, target: Target) -> Response:
        """PUT: the document in place of the stored one."""
        body = await read_document(request)
        return self._update(request, target, find_object(self._store, target), *body)

    async def patch(self, request: Request, target: Target) -> Response:
        """PATCH: without a version in it, a patch goes on top of whatever is stored now."""
        said = media_type(request)
        accepted = accepted_patches(target.kind)
        if said not in accepted:
            raise unsupported_media_type(accepted)
        body = await read_body(request)
        if said == APPLY_PATCH:
            return self._apply(request, target, body)
        if "force" in request.query_params:
            raise invalid_options(
                "PatchOptions", "force: Forbidden: may not be specified for non-apply patch"
            )
        patch = PATCHES[said](body)
        old = find_object(self._store, target)
        document = patch(msgspec.to_builtins(old))
        if not isinstance(document, dict):
            raise StatusError(400, "the patch leaves no object: it must be a map with metadata and so on")
        return self._update(request, target, old, document, duplicate_fields(body))

    def _update(
        self,
        request: Request,
        target: Target,
        old: Resource | None,
        document: Document,
        duplicates: tuple[str, ...],
    ) -> Response:
        """Stores a document as a whole; all of it is what its writer says."""
        manager = manager_of(request, target, UPDATE)
        return self._store_it(request, Write(target, old, document, document, duplicates, manager))

    def _apply(self, request: Request, target: Target, body: bytes) -> Response:
        """Server-side apply: what is applied, over what is there, by who owns what; creates, too."""
        if not request.query_params.get("fieldManager"):
            raise invalid_options("PatchOptions", "fieldManager: Required value: is required for apply patch")
        manager = manager_of(request, target, APPLY)
        try:
            applied: Document = without_nulls(parse_yaml(body))
        except DecodingError as error:
            raise StatusError(400, f"error decoding YAML: {error}") from None
        metadata = applied.get("metadata")
        if isinstance(metadata, dict) and metadata.get("managedFields"):
            raise StatusError(400, "metadata.managedFields must be nil")
        for name in ("kind", "apiVersion"):
            if not applied.get(name):
                raise StatusError(400, f"Object '{name}' is missing in the applied configuration")
        old = self._store.find(target.kind.type, *target.key)
        if old is None and target.subresource:
            find_object(self._store, target)
        document = applied
        if old is not None:
            owners = read_owners(old.metadata.managed_fields)
            document = merge_applied(msgspec.to_builtins(old), applied, owners, manager)
        force = is_true(request.query_params, "force")
        write = Write(target, old, document, applied, duplicate_fields(body), manager, force)
        return self._store_it(request, write)

    def _store_it(self, request: Request, write: Write) -> Response:
        target, old = write.target, write.old
        if old is None:
            ensure_open(self._store, target)
        new, warnings = admit(
            self._store,
            target,
            write.document,
            old,
            field_validation(request),
            write.duplicates,
            caller(request),
        )
        new = self._owned(write, new)
        if old is None and not new.metadata.name:
            suffix = random_suffix(self._rng)
            new = with_meta(new, name=new.metadata.generate_name[:NAME_PREFIX_MAX] + suffix)
        try:
            store, tried = self._store.create if old is None else self._store.update, is_dry_run(request)
            if target.opens and not tried and self._store.find(Namespace, *target.opens.key) is None:
                self._store.create(target.opens)
            stored = store(new, dry_run=tried)
        except AlreadyExistsError:
            raise already_exists(target.kind, new.metadata.name) from None
        except ConflictError:
            raise conflict(target.kind, new.metadata.name) from None
        return written(stored, warnings, 200 if old else 201)

    def _owned(self, write: Write, new: Resource) -> Resource:
        """The object with its fields' owners after the write. Raises StatusError (409): others own some."""
        subresource, manager = write.target.subresource, write.manager
        before = write.old.metadata.managed_fields if write.old else []
        entries = before if manager.operation == APPLY else _entries(write, new, before)
        owners = read_owners(entries)
        live = msgspec.to_builtins(write.old) if write.old else {}
        change = changes(owned_part(live, subresource), owned_part(msgspec.to_builtins(new), subresource))
        said = fields_of(owned_part(write.said, subresource), branches=manager.operation == UPDATE)
        if not write.force and (taken := find_conflicts(owners, change, said, manager)):
            allowed = self._applied_by_client(write) if manager.name == KUBECTL else frozenset()
            listed = [
                (str(other), describe(path))
                for other in sorted(taken)
                for path in sorted(taken[other] - allowed)
            ]
            if listed:
                raise apply_conflict(listed)
        after = hand_over(owners, change, said, manager)
        now = rfc3339(self._clock.unix_ns())
        return with_meta(new, managed_fields=write_owners(after, entries, now))

    def _applied_by_client(self, write: Write) -> Fields:
        """The fields that are still as `kubectl apply` left them, by its annotation.

        `kubectl apply --server-side` may take these from others: so people move to it without a conflict
        (apimachinery pkg/util/managedfields, lastappliedmanager).
        """
        assert write.old is not None
        try:
            document = parse_json(write.old.metadata.annotations.get(LAST_APPLIED, "").encode())
            applied, _ = admit(self._store, write.target, document, None, "Ignore")
        except (DecodingError, StatusError):
            return frozenset()
        live, before = (owned_part(msgspec.to_builtins(each)) for each in (write.old, applied))
        since = changes(before, live)
        return fields_of(owned_part(document)) - since.touched - since.removed


def _entries(write: Write, new: Resource, before: list[ManagedFieldsEntry]) -> list[ManagedFieldsEntry]:
    """The entries that a write starts from: those in its document, which may reset them, or those stored."""
    metadata = write.document.get("metadata")
    said = metadata.get("managedFields") if isinstance(metadata, dict) else None
    if write.target.subresource or said is None:
        return before
    if said in ([], [{}]):
        return []
    try:
        read_owners(new.metadata.managed_fields)
    except (ValueError, RecursionError):
        return before
    return new.metadata.managed_fields


def manager_of(request: Request, target: Target, operation: str) -> Manager:
    """Who writes: as `fieldManager` says, or the program that the User-Agent names.

    Raises:
        StatusError (422): the name is too long.
    """
    name = request.query_params.get("fieldManager", "")
    if len(name) > MANAGER_MAX or not name.isprintable():
        options = "PatchOptions" if request.method == "PATCH" else "UpdateOptions"
        raise invalid_options(
            options, f"fieldManager: Invalid value: must be at most {MANAGER_MAX} printable characters"
        )
    agent = request.headers.get("user-agent", "").partition("/")[0]
    printable = "".join(filter(str.isprintable, agent))[:MANAGER_MAX]
    return Manager(name or printable or "unknown", operation, target.kind.api_version, target.subresource)
