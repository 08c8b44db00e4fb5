# Your part of minirun, lab 4. `lab check 4` says how far it is.
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

    def __init__(self, start_ns: int) -> None:
        # TODO(you): about 4 lines
        raise NotImplementedError("task 4.2")

    def enter(self, now_ns: int, proxied: bool = False) -> None:
        """A request arrives; `proxied` if an activator sent it (header `K-Proxy-Request: activator`)."""
        # TODO(you): about 6 lines
        raise NotImplementedError("task 4.2")

    def leave(self, now_ns: int, proxied: bool = False) -> None:
        """A request that entered with the same `proxied` is over."""
        # TODO(you): about 4 lines
        raise NotImplementedError("task 4.2")

    def report(self, now_ns: int) -> RequestReport:
        """Averages and raw counts since the last report, which start again from 0; running requests stay."""
        # TODO(you): about 10 lines
        raise NotImplementedError("task 4.2")
