"""Writes down what happens, as Events: counted, bounded, and off the path of requests.

What the store publishes is only noted. A moment later all of it is written together: the same again counts up
the Event that is there. An object that has much to tell is cut short by a bucket of tokens; an Event is kept
for an hour, and there are never more than `KEPT_MAX`. Counterparts: client-go's tools/record with its
EventCorrelator, kube-apiserver's --event-ttl.
"""

from dataclasses import dataclass, field
from typing import Final

from minirun.control.context import Context
from minirun.control.happenings import Happening, happenings
from minirun.model.clock import SECOND_NS
from minirun.model.meta import ObjectMeta, replace, rfc3339, unix_seconds
from minirun.model.resources import CoreEvent, EventSource, Namespace
from minirun.store.store import Event

FLUSH_SECONDS: Final = 0.5
TTL_SECONDS: Final = 3600
KEPT_MAX: Final = 1000
BURST: Final = 25
REFILL_SECONDS: Final = 300  # for one more
NAME_MAX: Final = 230


@dataclass
class Bucket:
    """How much an object may still tell: `tokens` at the time `at_ns`."""

    tokens: float
    at_ns: int

    def take(self, now_ns: int) -> bool:
        """Whether there is a token left; it is spent then."""
        refilled = self.tokens + (now_ns - self.at_ns) / (REFILL_SECONDS * SECOND_NS)
        self.tokens, self.at_ns = min(float(BURST), refilled), now_ns
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class Recorder:
    """Notes and writes Events."""

    ctx: Context
    _noted: dict[Happening, int] = field(default_factory=dict)
    _names: dict[Happening, str] = field(default_factory=dict)
    _buckets: dict[str, Bucket] = field(default_factory=dict)
    _last_ns: int = 0

    def note(self, event: Event) -> bool:
        """Takes note of a change, and returns whether there is something to write."""
        old = event.old if event.type != "ADDED" else None
        for happening in happenings(old, event.object) if event.type != "DELETED" else ():
            self._noted[happening] = self._noted.get(happening, 0) + 1
        return bool(self._noted)

    def flush(self, ctx: Context, *_: str) -> float | None:
        """Writes what was noted and removes what is old; returns the seconds until the next one is old."""
        noted, self._noted = self._noted, {}
        for happening, times in noted.items():
            self._write(happening, times)
        return self._expire()

    def _write(self, happening: Happening, times: int) -> None:
        store, about, now_ns = self.ctx.store, happening.about, self.ctx.clock.unix_ns()
        if self.ctx.living(Namespace, "", about.namespace) is None:
            return
        if not self._buckets.setdefault(about.uid, Bucket(float(BURST), now_ns)).take(now_ns):
            return
        told = store.find(CoreEvent, about.namespace, self._names.get(happening, ""))
        if told is not None:
            store.update(replace(told, count=told.count + times, last_timestamp=self.ctx.now()))
            return
        self._last_ns = max(now_ns, self._last_ns + 1)
        name = self._names[happening] = f"{about.name[:NAME_MAX]}.{self._last_ns:x}"
        store.create(
            CoreEvent(
                metadata=ObjectMeta(name=name, namespace=about.namespace),
                involved_object=about,
                type=happening.type,
                reason=happening.reason,
                message=happening.message,
                source=EventSource(component=happening.component),
                first_timestamp=self.ctx.now(),
                last_timestamp=self.ctx.now(),
                count=times,
                reporting_component=happening.component,
            )
        )

    def _expire(self) -> float | None:
        """Removes what is too old or too much, and forgets what is full again."""
        store, now_ns = self.ctx.store, self.ctx.clock.unix_ns()
        kept = sorted(store.select(CoreEvent), key=_last_seen)
        oldest_allowed = rfc3339(now_ns - TTL_SECONDS * SECOND_NS)
        excess = len(kept) - KEPT_MAX
        gone = [each for i, each in enumerate(kept) if i < excess or _last_seen(each) <= oldest_allowed]
        for each in gone:
            store.delete(CoreEvent, *each.key)
        if len(self._names) > len(kept) - len(gone):
            named = self._names.items()
            self._names = {h: name for h, name in named if store.find(CoreEvent, h.about.namespace, name)}
        full_ns = BURST * REFILL_SECONDS * SECOND_NS
        self._buckets = {uid: b for uid, b in self._buckets.items() if now_ns - b.at_ns < full_ns}
        if len(gone) == len(kept):
            return None
        return max(1.0, float(unix_seconds(_last_seen(kept[len(gone)])) - unix_seconds(oldest_allowed)))


def _last_seen(event: CoreEvent) -> str:
    """When it was last told; such times are in order as texts are."""
    return event.last_timestamp or event.metadata.creation_timestamp
