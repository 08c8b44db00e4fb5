"""Long-running operations: what the v2 API answers to a write, and how it tells that the write took effect.

An operation names the generation of an object that its caller waits for. It is done when the controllers
have observed that generation and condition Ready is True or False; how it ended is kept, so that it stays
true when the object changes later. Operations are stored objects: a restart still answers. Counterpart:
google.longrunning.Operations.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from minirun.api.google import CANONICAL
from minirun.api.mapping import Document
from minirun.api.resource_names import page_of, parse_name
from minirun.api.status import StatusError
from minirun.model.meta import ObjectMeta
from minirun.model.regions import Place, place_of
from minirun.model.resources import TYPE_OF, Operation, OperationSpec, OperationStatus
from minirun.store.store import Store, edit

KEPT: Final = 500  # of a project in a region; the oldest go first
TYPE: Final = "type.googleapis.com/google.cloud.run.v2."
DELETE: Final = "delete"
WAIT_MAX_SECONDS: Final = 300.0
CANCEL: Final = "cancel"  # whoever cancels an execution gets what he wants when it fails

Look = Callable[[Place, str, str], tuple[Document, str, str] | None]
"""By place, kind and name: an object in its v2 form, and status and message of Ready; None: it is gone."""


class Operations:
    """The operations of all projects; methods take the messages of google.longrunning as JSON.

    Args:
        store: where they are kept.
        rng: makes their names.
        look: how the object of one is doing now.
    """

    def __init__(self, store: Store, rng: random.Random, look: Look) -> None:
        self._store, self._rng, self._look = store, rng, look

    def begin(self, place: Place, spec: OperationSpec, response: Document | None = None) -> Document:
        """A new operation, stored; one that has its response already is done."""
        there = self._store.select(Operation, place.namespace)
        there.sort(key=lambda operation: int(operation.metadata.resource_version))
        for old in there[: max(0, len(there) - KEPT + 1)]:
            self._store.delete(Operation, *old.key)
        meta = ObjectMeta(name=f"{self._rng.getrandbits(128):032x}", namespace=place.namespace)
        status = OperationStatus(response=response or {})
        return self._show(self._store.create(Operation(metadata=meta, spec=spec, status=status)))

    async def get(self, message: Document) -> Document:
        """Raises StatusError, as all of these do: it is no name (400), or there is none of it (404)."""
        return self._show(self._find(message))

    async def list(self, message: Document) -> Document:
        """One page."""
        place = parse_name(str(message["name"]).removesuffix("/operations")).place
        found = list(map(self._show, self._store.select(Operation, place.namespace)))
        return page_of("operations", found, message)

    async def delete(self, message: Document) -> Document:
        """Forgets it; what it stands for goes on."""
        self._store.delete(Operation, *self._find(message).key)
        return {}

    async def wait(self, message: Document) -> Document:
        """The operation when it is done, or as it is after `timeout`, a duration like 30s."""
        text = str(message.get("timeout", f"{WAIT_MAX_SECONDS}s"))
        try:
            seconds = min(max(0.0, float(text.removesuffix("s"))), WAIT_MAX_SECONDS)
        except ValueError:
            raise StatusError(400, f"timeout '{text}' is no duration like 30s") from None
        watch = self._store.watch([TYPE_OF[self._find(message).spec.kind]])
        try:
            async with asyncio.timeout(seconds):
                while not (shown := self._show(self._find(message))).get("done"):
                    await anext(watch)
        except (TimeoutError, StopAsyncIteration):
            return self._show(self._find(message))
        finally:
            watch.close()
        return shown

    def _find(self, message: Document) -> Operation:
        name = parse_name(message.get("name"))
        found = self._store.find(Operation, name.place.namespace, name.name)
        if found is None:
            raise StatusError(404, f"Operation '{name.parent}/operations/{name.name}' does not exist.")
        return found

    def _show(self, operation: Operation) -> Document:
        place, spec = place_of(operation.metadata.namespace), operation.spec
        seen = self._look(place, spec.kind, spec.name)
        status = operation.status
        if not (status.response or status.error):
            status = outcome(spec, seen)
            if status.response or status.error:
                edit(self._store, operation, status=status)
        type_ = {"@type": TYPE + spec.kind}
        shown: Document = {
            "name": f"{place.parent}/operations/{operation.metadata.name}",
            "metadata": type_ | (status.response or (seen[0] if seen else {})),
        }
        if status.error:
            return shown | {"done": True, "error": status.error}
        return shown | {"done": True, "response": type_ | status.response} if status.response else shown


def outcome(spec: OperationSpec, seen: tuple[Document, str, str] | None) -> OperationStatus:
    """How an operation ended, as far as it has.

    Args:
        seen: the object and its condition Ready, as `Look` gives them.
    """
    if seen is None or seen[0].get("uid") != spec.uid:
        message = f"{spec.kind} '{spec.name}' was deleted before it was ready."
        return OperationStatus(error={"code": CANONICAL["NOT_FOUND"].number, "message": message})
    document, ready, message = seen
    if int(document["generation"]) < spec.generation or ready == "Unknown":
        return OperationStatus()
    if ready == "False" and spec.verb != CANCEL:
        error = {"code": CANONICAL["FAILED_PRECONDITION"].number, "message": message or "It is not ready."}
        return OperationStatus(error=error)
    return OperationStatus(response=document)
