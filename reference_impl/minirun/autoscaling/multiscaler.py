"""All deciders of a cluster, each on its own two-second beat from the moment it was made.

Nothing waits here and nobody reads a clock: whoever owns the loop calls `tick` at `next_due_ns`. One heap
holds all deciders, so ten thousand idle revisions cost one timer. The counterparts in Knative are
pkg/autoscaler/scaling/multiscaler.go and the collections of pkg/autoscaler/metrics, with a goroutine for each
revision.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from minirun.autoscaling.collector import RevisionMetrics, Stat
from minirun.autoscaling.decider import TICK_NS, Decider, scale
from minirun.autoscaling.settings import INT32_MAX
from minirun.autoscaling.spec import DeciderSpec, MetricSpec


class DeciderStatus(NamedTuple):
    """The last valid decision. desired_scale is -1 before the first one."""

    desired_scale: int
    excess_burst_capacity: int


class Snapshot(NamedTuple):
    """What there is to see of a decider; averages of the scaled metric over the stable and panic window."""

    scaling_metric: str
    desired_scale: int
    excess_burst_capacity: int
    stable: float
    panic: float
    target: float
    panicking: bool


class _Scaler:
    """One revision's decider, what feeds it, and its last decision."""

    __slots__ = ("decider", "key", "metrics", "status")

    def __init__(self, key: str, decider: Decider, metrics: RevisionMetrics) -> None:
        self.key, self.decider, self.metrics = key, decider, metrics
        self.status = DeciderStatus(-1, _initial_excess(decider.spec))


class MultiScaler:
    """Makes, feeds, runs and ends deciders. A key is a revision's `namespace/name`; times are unix ns.

    ready_count: ready pods of a revision (0 if it has none), None if that can't be told now. changed: called
    with the key when a decision moved enough to matter: another number of pods, or the excess burst capacity
    changed sign.
    """

    def __init__(self, ready_count: Callable[[str], int | None], changed: Callable[[str], None]) -> None:
        self._ready_count = ready_count
        self._changed = changed
        self._scalers: dict[str, _Scaler] = {}
        self._due: list[tuple[int, int, _Scaler]] = []  # a heap; the number keeps the order of equals
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._scalers)

    @property
    def next_due_ns(self) -> int | None:
        """When `tick` is to be called next; None without deciders."""
        return self._due[0][0] if self._due else None

    def apply(
        self, key: str, decider_spec: DeciderSpec, metric_spec: MetricSpec, now_ns: int
    ) -> DeciderStatus:
        """Make the revision's decider, whose first decision is due in two seconds, or give it new specs."""
        scaler = self._scalers.get(key)
        if scaler is None:
            decider = Decider(decider_spec, now_ns, self._ready_count(key))
            scaler = self._scalers[key] = _Scaler(key, decider, RevisionMetrics(metric_spec))
            self._schedule(scaler, now_ns + TICK_NS)
        else:
            scaler.decider.spec = decider_spec
            if metric_spec.scaling_metric == scaler.metrics.spec.scaling_metric:
                scaler.metrics.update(now_ns, metric_spec)
            else:  # what was measured means something else
                scaler.metrics = RevisionMetrics(metric_spec)
        return scaler.status

    def delete(self, key: str) -> None:
        """End the revision's decider and forget what was measured; nothing happens if there is none."""
        self._scalers.pop(key, None)  # its place in the heap is cleared when its time comes

    def status(self, key: str) -> DeciderStatus | None:
        """The revision's last decision; None if it has no decider."""
        scaler = self._scalers.get(key)
        return scaler.status if scaler else None

    def snapshot(self, key: str, now_ns: int) -> Snapshot | None:
        """The revision's last decision and what it stands on; None if it has no decider."""
        scaler = self._scalers.get(key)
        if scaler is None:
            return None
        spec, decider = scaler.decider.spec, scaler.decider
        averages = scaler.metrics.stable_and_panic(now_ns) or (0.0, 0.0)
        panicking = decider.panic_time_ns is not None
        return Snapshot(spec.scaling_metric, *scaler.status, *averages, spec.target_value, panicking)

    def record(self, key: str, now_ns: int, stat: Stat) -> None:
        """Take in what the pods of a revision reported; dropped if the revision has no decider."""
        scaler = self._scalers.get(key)
        if scaler is not None:
            scaler.metrics.record(now_ns, stat)

    def record_activator(self, key: str, now_ns: int, stat: Stat) -> None:
        """Take in what an activator reported; load on a revision decided to be at zero acts at once."""
        scaler = self._scalers.get(key)
        if scaler is not None:
            scaler.metrics.record(now_ns, stat)
            if scaler.status.desired_scale == 0 and stat.average_concurrent_requests != 0:
                self._decide(scaler, now_ns)

    def decide_first(self, key: str, now_ns: int) -> None:
        """Take a revision's first decision now, if it is still to come; its beat stays as it is."""
        scaler = self._scalers.get(key)
        if scaler is not None and scaler.status.desired_scale < 0:
            self._decide(scaler, now_ns)

    def tick(self, now_ns: int) -> None:
        """Run every decider that is due. Beats that were missed are left out, the phase is kept."""
        due = self._due
        while due and due[0][0] <= now_ns:
            due_ns, _, scaler = heappop(due)
            if self._scalers.get(scaler.key) is scaler:
                self._schedule(scaler, due_ns + TICK_NS * ((now_ns - due_ns) // TICK_NS + 1))
                self._decide(scaler, now_ns)

    def _schedule(self, scaler: _Scaler, due_ns: int) -> None:
        heappush(self._due, (due_ns, next(self._numbers), scaler))

    def _decide(self, scaler: _Scaler, now_ns: int) -> None:
        metrics = scaler.metrics.stable_and_panic(now_ns)
        desired, excess, valid = scale(scaler.decider, now_ns, self._ready_count(scaler.key), metrics)
        before = scaler.status
        if valid and (desired != before.desired_scale or excess != before.excess_burst_capacity):
            scaler.status = DeciderStatus(desired, excess)
            if desired != before.desired_scale or (excess < 0) != (before.excess_burst_capacity < 0):
                self._changed(scaler.key)


def _initial_excess(spec: DeciderSpec) -> int:
    """The excess burst capacity before the first decision: as if the initial scale were ready and idle."""
    burst = spec.target_burst_capacity
    excess = int(burst if burst in (0, -1) else spec.initial_scale * spec.total_value - burst)
    return min(max(excess, -INT32_MAX - 1), INT32_MAX)
