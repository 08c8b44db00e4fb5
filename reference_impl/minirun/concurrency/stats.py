"""How busy one instance is: time-weighted concurrency and request counts between two reports.

Concurrency is integrated over time: between two events it is constant, so each event adds `concurrency *
seconds` to an area, and a report divides the area by the seconds it covers. Counterpart: `RequestStats` of
knative.dev/networking (pkg/http/stats), kept by queue-proxy and by the activator. The order of the
floating-point operations is part of the contract: answers equal Knative's to the last bit.
"""

from typing import NamedTuple

from minirun.model.clock import SECOND_NS


class RequestReport(NamedTuple):
    """What happened since the last report. "Proxied" is the part that came through an activator."""

    average_concurrency: float = 0.0
    average_proxied_concurrency: float = 0.0
    request_count: int = 0
    proxied_request_count: int = 0


class RequestStats:
    """Counts requests from arrival, so one that waits for a slot is counted too.

    Args:
        start_ns: when counting starts; nanoseconds of the same clock as every later `now_ns`.
    """

    __slots__ = (
        "_area",
        "_changed_ns",
        "_count",
        "_proxied_area",
        "_proxied_count",
        "_seconds",
        "concurrency",
        "proxied_concurrency",
    )

    def __init__(self, start_ns: int) -> None:
        self.concurrency = 0
        self.proxied_concurrency = 0
        self._changed_ns = start_ns
        self._clear()

    def _clear(self) -> None:
        self._area = self._proxied_area = self._seconds = 0.0
        self._count = self._proxied_count = 0

    def _advance(self, now_ns: int) -> None:
        elapsed_ns = now_ns - self._changed_ns
        if elapsed_ns <= 0:  # an event stamped in the past adds nothing and moves nothing
            return
        # Whole seconds and the rest apart, as Go's Duration.Seconds() does: one division rounds differently.
        seconds = elapsed_ns // SECOND_NS + elapsed_ns % SECOND_NS / 1e9
        self._changed_ns = now_ns
        self._seconds += seconds
        self._area += self.concurrency * seconds
        self._proxied_area += self.proxied_concurrency * seconds

    def enter(self, now_ns: int, proxied: bool = False) -> None:
        """A request arrives; `proxied` if an activator sent it (header `K-Proxy-Request: activator`)."""
        self._advance(now_ns)
        self.concurrency += 1
        self._count += 1
        if proxied:
            self.proxied_concurrency += 1
            self._proxied_count += 1

    def leave(self, now_ns: int, proxied: bool = False) -> None:
        """A request that entered with the same `proxied` is over."""
        self._advance(now_ns)
        self.concurrency -= 1
        if proxied:
            self.proxied_concurrency -= 1

    def report(self, now_ns: int) -> RequestReport:
        """Averages and raw counts since the last report, which start again from 0; running requests stay."""
        self._advance(now_ns)
        seconds = self._seconds
        report = RequestReport(
            self._area / seconds if seconds else 0.0,
            self._proxied_area / seconds if seconds else 0.0,
            self._count,
            self._proxied_count,
        )
        self._clear()
        return report
