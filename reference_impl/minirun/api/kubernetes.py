"""The Kubernetes API over the store: get, list, watch, create, update, patch and delete of each kind.

An address is /api/v1 or /apis/GROUP/VERSION, [/namespaces/NAMESPACE], /PLURAL, [/NAME]; the table `KINDS`
says which there are. Reading goes straight to the store; a write passes `Admission` first. Every write is one
synchronous call on the store, so nothing comes between reading an object and writing it back.
Counterpart: kube-apiserver, as kubectl, kn and client libraries use it.
"""

import base64
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from minirun.api.admission import admit
from minirun.api.requests import (
    JSON,
    MERGE_PATCH,
    Encoder,
    LineStream,
    Target,
    is_dry_run,
    is_true,
    json_response,
    read_body,
    read_document,
    whole,
    written,
)
from minirun.api.selectors import parse_selector
from minirun.api.status import StatusError, already_exists, conflict, details_of, not_found, success
from minirun.api.watching import Watching, WatchOptions
from minirun.model.decoding import merge_patch
from minirun.model.meta import Resource, replace, with_meta
from minirun.model.resources import KINDS, Kind, Namespace, Pod
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.store.errors import AlreadyExistsError, ConflictError
from minirun.store.store import Store

ALWAYS_THERE: Final = ("default", SYSTEM_NAMESPACE)


def seed_namespaces(store: Store) -> None:
    """Makes the two namespaces that are always there."""
    for name in ALWAYS_THERE:
        if store.find(Namespace, "", name) is None:
            store.create(with_meta(Namespace(), name=name))


SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: no words by accident
NAME_PREFIX_MAX: Final = 58


class KubernetesAPI:
    """The verbs.

    Args:
        store: where objects live.
        rng: makes the suffixes of generated names.
    """

    def __init__(self, store: Store, rng: random.Random) -> None:
        self._store = store
        self._rng = rng
        self._encode = Encoder()
        self._watching = Watching(store, self._encode)
        self._verbs: dict[tuple[str, bool], Callable[[Request, Target], Awaitable[Response]]] = {
            ("GET", True): self._get,
            ("GET", False): self._list,
            ("POST", False): self._create,
            ("PUT", True): self._update,
            ("PATCH", True): self._update,
            ("DELETE", True): self._delete,
            ("DELETE", False): self._delete_collection,
        }
        seed_namespaces(store)

    def close(self) -> None:
        """Ends all watches."""
        self._watching.close()

    async def handle(self, request: Request, target: Target) -> Response:
        """Answers one request. Raises StatusError."""
        verb = self._verbs.get((request.method, bool(target.name)))
        restarts_pod = request.method == "DELETE" and target.kind.type is Pod and target.name
        if verb is None or (target.kind.read_only and request.method != "GET" and not restarts_pod):
            raise StatusError(
                405,
                f"{target.kind.resource} are not written through this address with {request.method}: "
                "the server does not allow this method on the requested resource",
            )
        return await verb(request, target)

    # reading

    async def _get(self, request: Request, target: Target) -> Response:
        return json_response(self._encode(self._find(target)))

    async def _list(self, request: Request, target: Target) -> Response:
        query, selector = request.query_params, parse_selector(request.query_params)
        if is_true(request, "watch"):
            lines = self._watching.lines(target.kind, target.namespace, selector, WatchOptions.of(query))
            return LineStream(lines, JSON)
        start, version = _resume(query.get("continue", ""), str(self._store.version))
        limit = whole(query.get("limit", "0"), "limit")
        there = self._store.select(target.kind.type, target.namespace)
        found = [r for r in there if r.key > start and selector.matches(r)]
        page = found[:limit] if limit else found
        metadata: dict[str, object] = {"resourceVersion": version}
        if len(page) < len(found):
            resume_at = "\n".join((version, *page[-1].key))
            metadata["continue"] = base64.urlsafe_b64encode(resume_at.encode()).decode()
            metadata["remainingItemCount"] = len(found) - len(page)
        return self._collection(target.kind, page, metadata)

    def _collection(self, kind: Kind, items: Iterable[Resource], metadata: dict[str, object]) -> Response:
        head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
        body = b",".join(map(self._encode, items))
        return json_response(msgspec.json.encode(head)[:-1] + b',"items":[' + body + b"]}")

    def _find(self, target: Target) -> Resource:
        found = self._store.find(target.kind.type, *target.key)
        if found is None:
            raise not_found(target.kind, target.name)
        return found

    # writing

    async def _create(self, request: Request, target: Target) -> Response:
        if target.namespace is None:
            raise StatusError(
                400, "an object is created in a namespace: use /namespaces/NAMESPACE in the address"
            )
        document = await read_document(request, JSON)
        new, warnings = admit(self._store, target, document, None, _field_validation(request))
        if not new.metadata.name:
            suffix = "".join(self._rng.choices(SUFFIX_LETTERS, k=5))
            new = with_meta(new, name=new.metadata.generate_name[:NAME_PREFIX_MAX] + suffix)
        try:
            stored = self._store.create(new, dry_run=is_dry_run(request))
        except AlreadyExistsError:
            raise already_exists(target.kind, new.metadata.name) from None
        return written(msgspec.json.encode(stored), warnings, 201)

    async def _update(self, request: Request, target: Target) -> Response:
        """PUT, and PATCH: without a version in it, a patch is merged into whatever is stored now."""
        patched = request.method == "PATCH"
        document = await read_document(request, MERGE_PATCH if patched else JSON)
        old = self._find(target)
        if patched:
            merged = merge_patch(msgspec.to_builtins(old), document)
            assert isinstance(merged, dict)
            document = merged
        new, warnings = admit(self._store, target, document, old, _field_validation(request))
        try:
            stored = self._store.update(new, dry_run=is_dry_run(request))
        except ConflictError:
            raise conflict(target.kind, target.name) from None
        return written(msgspec.json.encode(stored), warnings)

    # deleting

    async def _delete(self, request: Request, target: Target) -> Response:
        options = await _delete_options(request)
        old = self._find(target)
        if isinstance(old, Namespace) and target.name in ALWAYS_THERE:
            raise StatusError(
                403, f'namespaces "{target.name}" is forbidden: this namespace may not be deleted'
            )
        wanted = options.preconditions
        try:
            if not options.dry_run:
                self._remove(old, options)
        except ConflictError:
            why = (
                f"Precondition failed: UID {wanted.uid or 'any'}, version {wanted.resource_version or 'any'} "
                f"were wanted, the object has {old.metadata.uid}, {old.metadata.resource_version}"
            )
            raise conflict(target.kind, target.name, why) from None
        if (lingering := self._store.find(target.kind.type, *target.key)) and lingering.metadata.finalizers:
            return json_response(self._encode(lingering))
        details = details_of(target.kind, target.name) | {"uid": old.metadata.uid}
        return json_response(msgspec.json.encode(success(details)))

    async def _delete_collection(self, request: Request, target: Target) -> Response:
        options, selector = await _delete_options(request), parse_selector(request.query_params)
        if target.kind.type is Namespace:
            raise StatusError(405, "namespaces are deleted one by one, by name")
        gone = [r for r in self._store.select(target.kind.type, target.namespace) if selector.matches(r)]
        for resource in () if options.dry_run else gone:
            self._remove(resource, options)
        return self._collection(target.kind, gone, {"resourceVersion": str(self._store.version)})

    def _remove(self, old: Resource, options: "DeleteOptions") -> None:
        """Takes an object away. What it owns, the garbage collector takes away; or nobody, if orphaned."""
        wanted = options.preconditions
        self._store.delete(type(old), *old.key, uid=wanted.uid, version=wanted.resource_version)
        if options.propagation_policy == "Orphan":
            for child in self._store.all_dependents(old.metadata.uid):
                owners = [o for o in child.metadata.owner_references if o.uid != old.metadata.uid]
                self._store.update(with_meta(child, owner_references=owners))
        if isinstance(old, Namespace):
            for kind in KINDS:
                for resource in self._store.select(kind.type, old.metadata.name) if kind.namespaced else ():
                    self._store.delete(kind.type, *resource.key)


class Preconditions(msgspec.Struct, frozen=True, rename="camel"):
    uid: str = ""
    resource_version: str = ""


class DeleteOptions(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a DELETE. Foreground is answered as Background is: what is owned follows at once."""

    propagation_policy: str = ""
    preconditions: Preconditions = Preconditions()
    dry_run: list[str] = []


async def _delete_options(request: Request) -> DeleteOptions:
    body = await read_body(request)
    try:
        options = msgspec.json.decode(body, type=DeleteOptions) if body else DeleteOptions()
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise StatusError(400, f"the body is no DeleteOptions: {error}") from None
    policy = request.query_params.get("propagationPolicy") or options.propagation_policy
    if policy not in ("", "Background", "Foreground", "Orphan"):
        raise StatusError(400, f'propagationPolicy "{policy}" is none of Background, Foreground, Orphan')
    dry_run = options.dry_run or ["All"] * is_dry_run(request)
    return replace(options, propagation_policy=policy, dry_run=dry_run)


def _field_validation(request: Request) -> str:
    return request.query_params.get("fieldValidation", "")


def _resume(token: str, version: str) -> tuple[tuple[str, str], str]:
    """After which object a page starts, and the version of the whole list: that of its first page.

    Later pages show what is stored now; whoever then watches from the first page's version misses nothing.
    """
    if not token:
        return ("", ""), version
    try:
        first, namespace, name = base64.urlsafe_b64decode(token).decode().split("\n")
    except ValueError:
        raise StatusError(
            410, "the continue parameter is not one that this server gave; list from the start"
        ) from None
    return (namespace, name), first
