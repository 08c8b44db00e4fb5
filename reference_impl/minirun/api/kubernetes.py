"""The Kubernetes API over the store: get, list, watch, create, update, patch and delete of each kind.

An address is /api/v1 or /apis/GROUP/VERSION, [/namespaces/NAMESPACE], /PLURAL, [/NAME]; the table `KINDS`
says which there are. Reading goes straight to the store; what writes is in `writing` and `deleting`.
Counterpart: kube-apiserver, as kubectl, kn and client libraries use it.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from minirun.api.bodies import read_document
from minirun.api.deleting import ALWAYS_THERE, delete_collection, delete_object
from minirun.api.jobs import ACTIONS, Call
from minirun.api.listoptions import continue_token, read_list_options
from minirun.api.requests import (
    JSON,
    Encoder,
    LineStream,
    Target,
    caller,
    find_object,
    is_dry_run,
    json_response,
)
from minirun.api.selectors import parse_selector
from minirun.api.status import StatusError, details_of, success, version_too_large
from minirun.api.watching import Watching
from minirun.api.writing import Writing
from minirun.model.clock import Clock
from minirun.model.meta import Resource, rfc3339, with_meta
from minirun.model.resources import Kind, Namespace
from minirun.store.errors import GoneError
from minirun.store.store import Store

TOO_OLD_VERSION: Final = "The resourceVersion for the provided list is too old."
TOO_OLD_PAGE: Final = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


def seed_namespaces(store: Store) -> None:
    """Makes the two namespaces that are always there."""
    for name in ALWAYS_THERE:
        if store.find(Namespace, "", name) is None:
            store.create(with_meta(Namespace(), name=name))


class KubernetesAPI:
    """The verbs.

    Args:
        store: where objects live.
        clock: stamps who wrote what.
        rng: makes the suffixes of generated names.
    """

    def __init__(self, store: Store, clock: Clock, rng: random.Random) -> None:
        self._store, self._clock, self._rng = store, clock, rng
        writing = Writing(store, clock, rng)
        self._encode = Encoder()
        self._watching = Watching(store, self._encode)
        self._verbs: dict[tuple[str, bool], Callable[[Request, Target], Awaitable[Response]]] = {
            ("GET", True): self._get,
            ("GET", False): self._list,
            ("POST", False): writing.create,
            ("PUT", True): writing.update,
            ("PATCH", True): writing.patch,
            ("DELETE", True): self._delete,
            ("DELETE", False): self._delete_collection,
        }
        seed_namespaces(store)

    def close(self) -> None:
        """Ends all watches."""
        self._watching.close()

    async def handle(self, request: Request, target: Target) -> Response:
        """Answers one request. Raises StatusError."""
        name, _, action = target.name.partition(":")
        if action and request.method == "POST":
            return await self._act(request, target._replace(name=name), action)
        verb = self._verbs.get((request.method, bool(target.name)))
        deletes = request.method == "DELETE" and target.kind.deletable and target.name
        not_written = target.kind.read_only and request.method != "GET" and not deletes
        if verb is None or not_written or (target.subresource and request.method == "DELETE"):
            raise StatusError(
                405,
                f"{target.kind.resource} are not written through this address with {request.method}: "
                "the server does not allow this method on the requested resource",
            )
        return await verb(request, target)

    async def _act(self, request: Request, target: Target, action: str) -> Response:
        """POST to `NAME:ACTION`."""
        act = ACTIONS.get((target.kind.type, action))
        if act is None:
            raise StatusError(404, f"{target.kind.resource} have no action {action}")
        document, _ = await read_document(request, optional=True)
        now = rfc3339(self._clock.unix_ns())
        call = Call(self._store, self._rng, caller(request), now, document, is_dry_run(request))
        return json_response(act(call, find_object(self._store, target)))

    # reading

    async def _get(self, request: Request, target: Target) -> Response:
        return json_response(self._encode(find_object(self._store, target)))

    async def _list(self, request: Request, target: Target) -> Response:
        options, selector = read_list_options(request.query_params), parse_selector(request.query_params)
        if options.version is not None and options.version > self._store.version:
            raise version_too_large(options.version, self._store.version)
        if options.watch:
            lines = self._watching.lines(target.kind, target.namespace, selector, options)
            return LineStream(lines, JSON)
        version = options.version if options.exact and options.version else self._store.version
        try:
            there = self._store.select(target.kind.type, target.namespace, at=version)
        except GoneError:
            raise StatusError(410, TOO_OLD_PAGE if options.start[1] else TOO_OLD_VERSION) from None
        found = [r for r in there if r.key > options.start and selector.matches(r)]
        page = found[: options.limit or None]
        metadata: dict[str, object] = {"resourceVersion": str(version)}
        if len(page) < len(found):
            metadata["continue"] = continue_token(version, page[-1].key)
            metadata["remainingItemCount"] = len(found) - len(page)
        return self._collection(target.kind, page, metadata)

    def _collection(self, kind: Kind, items: Iterable[Resource], metadata: dict[str, object]) -> Response:
        head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
        body = b",".join(map(self._encode, items))
        return json_response(msgspec.json.encode(head)[:-1] + b',"items":[' + body + b"]}")

    # deleting

    async def _delete(self, request: Request, target: Target) -> Response:
        last, is_gone = await delete_object(self._store, request, target)
        if not is_gone:
            return json_response(self._encode(last))
        details = details_of(target.kind, target.name) | {"uid": last.metadata.uid}
        return json_response(success(details))

    async def _delete_collection(self, request: Request, target: Target) -> Response:
        gone = await delete_collection(self._store, request, target)
        return self._collection(target.kind, gone, {"resourceVersion": str(self._store.version)})
