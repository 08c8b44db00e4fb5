"""What the activator tells the autoscaler about one revision, above all: "somebody is waiting at zero".

The first request of a silent revision is worth a message of its own, sent at once: it wakes the revision.
After that one report a second, until a whole interval passed without a request; then silence. Counterpart:
`ConcurrencyReporter` of knative/serving (pkg/activator/handler/concurrency_reporter.go).
"""

from dataclasses import dataclass

from minirun.concurrency.stats import RequestStats


@dataclass(frozen=True, slots=True)
class ActivatorStat:
    """One message to the autoscaler; its proxied counterparts are zero by definition."""

    average_concurrency: float
    request_count: float


FIRST_REQUEST = ActivatorStat(average_concurrency=1.0, request_count=1.0)


class ConcurrencyReporter:
    """The activator's view of one revision. Times are nanoseconds of one clock."""

    __slots__ = ("_first", "_stats")

    def __init__(self) -> None:
        self._stats: RequestStats | None = None
        self._first = 0

    def on_arrival(self, now_ns: int) -> ActivatorStat | None:
        """Count a request from now on; the stat to send at once if the revision was silent."""
        stats, announced = self._stats, None
        if stats is None:
            self._stats = stats = RequestStats(now_ns)
            self._first, announced = 1, FIRST_REQUEST
        stats.enter(now_ns)
        return announced

    def on_done(self, now_ns: int) -> None:
        """A request that arrived is answered or has given up."""
        if self._stats is not None:
            self._stats.leave(now_ns)

    def report(self, now_ns: int) -> ActivatorStat | None:
        """The stat of the interval since the last report; None while the revision is silent.

        The request that was announced by `on_arrival` is taken off the first report, or it would count twice.
        """
        stats = self._stats
        if stats is None:
            return None
        report = stats.report(now_ns)
        first, self._first = self._first, 0
        if report.average_concurrency == 0 and stats.concurrency == 0:
            self._stats = None
        return ActivatorStat(
            max(report.average_concurrency - first, 0.0), float(report.request_count - first)
        )
