"""Versioned objects with watch: the one place where state lives.

Everything is in memory as frozen typed objects; each write goes through the log (`SQLiteLog`, or nothing
for a store that lives in memory only) before anybody sees it. Every write takes the next value of one
counter, the `resourceVersion`; a write based on an older version of its object is refused. The last events
are kept, and many of them in the log too, so that a watch can start in the past, also in one before a
restart. All calls are synchronous and belong to the event loop's thread: two writers can't interleave inside
one call. Counterpart: etcd behind kube-apiserver.
"""

import asyncio
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from minirun.model.clock import Clock
from minirun.model.meta import Resource, replace, rfc3339, with_meta
from minirun.model.resources import KINDS, TYPE_OF
from minirun.store.errors import AlreadyExistsError, ConflictError, GoneError, NotFoundError
from minirun.store.sqlite import SQLiteLog

R = TypeVar("R", bound=Resource)
HISTORY = 20_000  # events kept for watches that start in the past


class Event(NamedTuple):
    """One write: ADDED, MODIFIED or DELETED; `old` is None for ADDED; a DELETED object has a new version."""

    version: int
    type: str
    object: Resource
    old: Resource | None


class Watch:
    """The events of some kinds from a version on; `async for` waits for the next one. Close it when done.

    A closed watch gives the events that it has and then ends. One whose reader is `HISTORY` events behind is
    closed, so that a slow client costs bounded memory; it can start again from the last version it saw.
    """

    def __init__(self, store: "Store", kinds: frozenset[str], past: Iterable[Event]) -> None:
        self._store = store
        self._kinds = kinds
        self._events = deque(e for e in past if e.object.type_name in kinds)
        self._wake: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def behind(self) -> int:
        """How many events the reader has not taken yet."""
        return len(self._events)

    def offer(self, event: Event) -> None:
        if event.object.type_name in self._kinds and not self._closed:
            self._events.append(event)
            self._closed = len(self._events) > HISTORY
            self._wake_reader()

    def _wake_reader(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def __aiter__(self) -> "Watch":
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._events.popleft()

    def close(self) -> None:
        self._closed = True
        self._wake_reader()
        self._store.forget(self)


def is_held(resource: Resource) -> bool:
    """Whether finalizers, of the object or, as namespaces have them, of its spec, keep it from going."""
    return bool(resource.metadata.finalizers or getattr(getattr(resource, "spec", None), "finalizers", ()))


class Store:
    """All objects.

    Args:
        clock: stamps creation and deletion.
        log: makes writes durable; None keeps them in memory only.
        new_uid: makes uids; a simulation passes a seeded one.
    """

    def __init__(
        self,
        clock: Clock,
        log: SQLiteLog | None = None,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._clock = clock
        self._log = log
        self._new_uid = new_uid
        self._objects: dict[str, dict[tuple[str, str], Resource]] = {row.type.__name__: {} for row in KINDS}
        self._dependents: dict[str, dict[tuple[str, str, str], Resource]] = {}
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._watches: set[Watch] = set()
        self._subscribers: list[Callable[[Event], None]] = []
        self.version = 0
        if log is not None:
            self._replay(log)

    def _replay(self, log: SQLiteLog) -> None:
        """Takes the objects and the history from the log."""
        self.version = horizon = log.horizon
        for version, gone, kind, body in log.load():
            new = msgspec.json.decode(body, type=TYPE_OF[kind])
            if version <= horizon:
                self._index(new)
                continue
            old = self._objects[kind].get(new.key)
            type_ = "DELETED" if gone else "ADDED" if old is None else "MODIFIED"
            self._apply(Event(version, type_, new, old))

    # reading

    def find(self, type_: type[R], namespace: str, name: str) -> R | None:
        """The object, or None."""
        return self._objects[type_.__name__].get((namespace, name))  # type: ignore[return-value]

    def get(self, type_: type[R], namespace: str, name: str) -> R:
        """The object; raises NotFoundError."""
        found = self.find(type_, namespace, name)
        if found is None:
            raise NotFoundError(f"{type_.__name__} {namespace}/{name}")
        return found

    def select(self, type_: type[R], namespace: str | None = None, *, at: int | None = None) -> list[R]:
        """All objects of a kind, in one namespace or (None) in all, sorted by namespace and name.

        Args:
            at: as they were at that version; None is now.

        Raises:
            GoneError: the events after that version are no longer kept.
        """
        objects = self._objects[type_.__name__]
        if at is not None and at < self.version:
            objects = dict(objects)
            for event in reversed(self._events_after(at)):
                if event.object.type_name != type_.__name__:
                    continue
                if event.old is None:
                    del objects[event.object.key]
                else:
                    objects[event.object.key] = event.old
        keys = sorted(objects) if namespace is None else sorted(k for k in objects if k[0] == namespace)
        return [objects[k] for k in keys]  # type: ignore[misc]

    def dependents(self, uid: str, type_: type[R]) -> Iterator[R]:
        """The objects of a kind that name `uid` as an owner."""
        for (kind, _, _), child in list(self._dependents.get(uid, {}).items()):
            if kind == type_.__name__:
                yield child  # type: ignore[misc]

    def all_dependents(self, uid: str) -> list[Resource]:
        """The objects of every kind that name `uid` as an owner."""
        return list(self._dependents.get(uid, {}).values())

    # writing

    def create(self, new: R, *, dry_run: bool = False) -> R:
        """Stores a new object: uid, creation time, generation 1 and version are filled in.

        Args:
            dry_run: give what would be stored, without a version, and store nothing.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        if new.key in self._objects[new.type_name]:
            raise AlreadyExistsError(f"{new.kind} {new.metadata.namespace}/{new.metadata.name}")
        stamped = with_meta(
            new,
            uid=self._new_uid(),
            creation_timestamp=rfc3339(self._clock.unix_ns()),
            generation=1,
            resource_version="",
            deletion_timestamp="",
            deletion_grace_period_seconds=None,
        )
        return stamped if dry_run else self._put("ADDED", stamped, None)

    def update(self, new: R, *, dry_run: bool = False) -> R:
        """Stores a changed object, or takes it away when it was being deleted and its last finalizer went.

        The write is refused when `metadata.resource_version` is set and is not the stored one; uid, creation
        and deletion times can't be changed. `generation` goes up by one when `spec` changed. Writing what is
        stored already changes nothing and makes no event. `dry_run` gives the object and stores nothing.

        Raises:
            NotFoundError, ConflictError
        """
        old = self.get(type(new), *new.key)
        meta, was = new.metadata, old.metadata
        if meta.resource_version not in ("", was.resource_version) or meta.uid not in ("", was.uid):
            raise ConflictError(f"{new.kind} {was.namespace}/{was.name}")
        changed = getattr(new, "spec", None) != getattr(old, "spec", None)
        new = with_meta(
            new,
            uid=was.uid,
            resource_version=was.resource_version,
            creation_timestamp=was.creation_timestamp,
            deletion_timestamp=was.deletion_timestamp,
            deletion_grace_period_seconds=was.deletion_grace_period_seconds,
            generation=was.generation + changed,
        )
        if new == old:
            return old
        if dry_run:
            return new
        if was.deletion_timestamp and not is_held(new):
            return self._put("DELETED", new, old)
        return self._put("MODIFIED", new, old)

    def delete(
        self,
        type_: type[R],
        namespace: str,
        name: str,
        *,
        uid: str = "",
        version: str = "",
        finalizer: str = "",
        grace_seconds: int | None = None,
    ) -> R:
        """Takes an object away, or, while it has finalizers, marks it with a deletion time.

        Args:
            uid, version: preconditions; empty means any.
            finalizer: one that it gets with the deletion time; empty is none.
            grace_seconds: what the mark says of how long its end may take; it can only get shorter.

        Raises:
            NotFoundError, ConflictError
        """
        old = self.get(type_, namespace, name)
        if uid not in ("", old.metadata.uid) or version not in ("", old.metadata.resource_version):
            raise ConflictError(f"{old.kind} {namespace}/{name}")
        meta, new = old.metadata, old
        if finalizer not in ("", *meta.finalizers):
            new = with_meta(new, finalizers=[*meta.finalizers, finalizer])
        if not is_held(new):
            return self._put("DELETED", old, old)
        if not meta.deletion_timestamp:
            new = with_meta(new, deletion_timestamp=rfc3339(self._clock.unix_ns()))
        former = meta.deletion_grace_period_seconds
        if grace_seconds is not None and (former is None or grace_seconds < former):
            new = with_meta(new, deletion_grace_period_seconds=grace_seconds)
        return old if new is old else self._put("MODIFIED", new, old)

    def touch(self, old: R) -> R:
        """Writes an object as it is under a new version, so that whoever has begun to watch it sees it.

        Raises:
            NotFoundError: it is there no more.
        """
        stored = self.get(type(old), *old.key)
        return self._put("MODIFIED", stored, stored)

    def _put(self, type_: str, new: R, old: R | None) -> R:
        version = self.version + 1
        new = with_meta(new, resource_version=str(version))
        if self._log is not None:
            replaces = None if old is None else int(old.metadata.resource_version)
            body = msgspec.json.encode(new)
            self._log.put(version, new.type_name, body, replaces=replaces, gone=type_ == "DELETED")
        self._publish(Event(version, type_, new, old))
        return new

    def _apply(self, event: Event) -> None:
        new, old, gone = event.object, event.old, event.type == "DELETED"
        if old is not None and (gone or old.metadata.owner_references != new.metadata.owner_references):
            self._unindex(old)
        if not gone:
            self._index(new)
        self.version = event.version
        self._history.append(event)

    def _index(self, new: Resource) -> None:
        self._objects[new.type_name][new.key] = new
        for owner in new.metadata.owner_references:
            self._dependents.setdefault(owner.uid, {})[(new.type_name, *new.key)] = new

    def _unindex(self, old: Resource) -> None:
        del self._objects[old.type_name][old.key]
        for uid in {owner.uid for owner in old.metadata.owner_references}:  # one may be there twice
            children = self._dependents[uid]
            del children[(old.type_name, *old.key)]
            if not children:
                del self._dependents[uid]

    # watching

    def _publish(self, event: Event) -> None:
        self._apply(event)
        for subscriber in self._subscribers:
            subscriber(event)
        for watch in self._watches:
            watch.offer(event)

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        """Calls `subscriber` inside every later write; it may note what changed, but not write itself."""
        self._subscribers.append(subscriber)

    def watch(self, types: Iterable[type[Resource]], since: int | None = None) -> Watch:
        """The events of some kinds after version `since` (None: from now on).

        Raises:
            GoneError: events after `since` are no longer kept.
        """
        past = () if since is None else self._events_after(since)
        watch = Watch(self, frozenset(t.__name__ for t in types), past)
        self._watches.add(watch)
        return watch

    def _events_after(self, version: int) -> list[Event]:
        oldest = self.version - len(self._history)
        if version < oldest:
            raise GoneError(version, oldest)
        return list(itertools.islice(self._history, version - oldest, None))

    def forget(self, watch: Watch) -> None:
        """Stops feeding a watch."""
        self._watches.discard(watch)

    def close(self) -> None:
        """Lets go of the log."""
        if self._log is not None:
            self._log.close()


def edit(store: Store, old: R, **changes: object) -> R:
    """Writes `old` with some top-level fields changed (`spec`, `status`, `metadata`)."""
    return store.update(replace(old, **changes))
