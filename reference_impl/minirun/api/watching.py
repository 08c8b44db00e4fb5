"""A watch: the objects that a request selects, then every change of them, one JSON line each.

An object that comes into the selection is ADDED, one that leaves it is DELETED. Whoever starts at a version
gets what happened since, out of the store's history, or a 410 in the stream if that is no longer kept.
Counterpart: kube-apiserver's watch cache, with WatchList (`sendInitialEvents`).
"""

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from minirun.api.listoptions import ListOptions
from minirun.api.requests import Encoder
from minirun.api.selectors import Selector
from minirun.api.status import StatusError
from minirun.model.meta import Resource, with_meta
from minirun.model.resources import Kind
from minirun.store.errors import GoneError
from minirun.store.store import Event, Store, Watch

BOOKMARK_SECONDS = 60.0
BOOKMARK = Event(0, "BOOKMARK", Resource(), None)
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watching:
    """All open watches of an API, so that they can be ended together."""

    def __init__(self, store: Store, encode: Encoder) -> None:
        self._store = store
        self._encode = encode
        self._open: set[Watch] = set()

    def close(self) -> None:
        """Ends every stream after what it has already."""
        for watch in list(self._open):
            watch.close()

    async def lines(
        self, kind: Kind, namespace: str | None, selector: Selector, options: ListOptions
    ) -> AsyncGenerator[bytes, None]:
        """The lines of one watch, until it times out, is closed, or the reader falls too far behind."""
        try:
            watch = self._store.watch([kind.type], options.version)
        except GoneError as gone:
            yield _line("ERROR", msgspec.json.encode(StatusError(410, str(gone)).body))
            return
        self._open.add(watch)
        timer = asyncio.get_running_loop().call_later(options.timeout_seconds, watch.close)
        try:
            # Taken before the first wait: objects and later events join without a gap.
            there = self._store.select(kind.type, namespace) if options.initial else []
            version = self._store.version
            for resource in filter(selector.matches, there):
                yield _line("ADDED", self._encode(resource))
            if options.marks_initial_end:
                yield _bookmark(kind, version, {INITIAL_EVENTS_END: "true"})
            while (event := await _next(watch, options)) is not None:
                if event is BOOKMARK:
                    if not watch.behind:
                        yield _bookmark(kind, self._store.version)
                elif namespace in (None, event.object.metadata.namespace) and (
                    line := self._event(event, selector)
                ):
                    yield line
        finally:
            timer.cancel()
            watch.close()
            self._open.discard(watch)

    def _event(self, event: Event, selector: Selector) -> bytes:
        now = event.type != "DELETED" and selector.matches(event.object)
        was = event.old is not None and selector.matches(event.old)
        if now:
            return _line("MODIFIED" if was else "ADDED", self._encode(event.object))
        if event.old is None or not was:
            return b""
        # As it was, under the new version; which names another state, so these bytes must not be kept.
        last = (
            event.object
            if event.type == "DELETED"
            else with_meta(event.old, resource_version=str(event.version))
        )
        return _line("DELETED", msgspec.json.encode(last))


async def _next(watch: Watch, options: ListOptions) -> Event | None:
    """The next event, `BOOKMARK` after a while without one for whoever asks for them, or None at the end."""
    try:
        async with asyncio.timeout(BOOKMARK_SECONDS if options.bookmarks else None):
            return await anext(watch, None)
    except TimeoutError:
        return BOOKMARK


def _line(type_: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (type_.encode(), body)


def _bookmark(kind: Kind, version: int, annotations: dict[str, str] | None = None) -> bytes:
    """Says up to which version a watcher has seen everything; it has, when nothing waits for it."""
    metadata = {"resourceVersion": str(version), **({"annotations": annotations} if annotations else {})}
    body = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return _line("BOOKMARK", msgspec.json.encode(body))
