"""Prometheus metrics under Knative's names: requests are counted here, the autoscaler's figures are read.

A request costs two additions: counts are plain integers, a row of latency buckets for each status, and become
samples only when somebody scrapes. Gauges are not kept at all; a scrape asks for them. Counterparts: the
metrics of queue-proxy (`revision_…`), autoscaler (`autoscaler_…`) and activator (`activator_…`)
(knative.dev/docs, "Serving metrics" up to 1.18; buckets: knative/serving pkg/queue/stats).
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric, UntypedMetricFamily
from prometheus_client.registry import Collector

from minirun.model.clock import MILLISECOND_NS

LATENCY_BUCKETS_MS = (
    *(5, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900),
    *(1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000),
)
_BUCKETS_NS = tuple(ms * MILLISECOND_NS for ms in LATENCY_BUCKETS_MS)
_BOUNDS = (*(str(float(ms)) for ms in LATENCY_BUCKETS_MS), "+Inf")
_SUM_NS = len(_BOUNDS)  # where a row of buckets keeps the sum of its latencies

Rows = defaultdict[int, list[int]]
"""Latencies of one revision in nanoseconds: a row of buckets for each status."""

GAUGES = {
    "autoscaler_desired_pods": "Number of pods the autoscaler wants",
    "autoscaler_requested_pods": "Number of pods asked of the runtime",
    "autoscaler_actual_pods": "Number of pods that are ready",
    "autoscaler_not_ready_pods": "Number of pods that are not ready",
    "autoscaler_pending_pods": "Number of pods that have not started",
    "autoscaler_terminating_pods": "Number of pods that are draining",
    "autoscaler_stable_request_concurrency": "Average concurrency over the stable window",
    "autoscaler_panic_request_concurrency": "Average concurrency over the panic window",
    "autoscaler_target_concurrency_per_pod": "Concurrency wanted of each pod",
    "autoscaler_stable_requests_per_second": "Average requests per second over the stable window",
    "autoscaler_panic_requests_per_second": "Average requests per second over the panic window",
    "autoscaler_target_requests_per_second": "Requests per second wanted of each pod",
    "autoscaler_excess_burst_capacity": "Burst capacity beyond the target",
    "autoscaler_panic_mode": "1 while the autoscaler panics",
    "activator_request_concurrency": "Requests that the activator holds or forwards",
    "revision_queue_depth": "Requests that wait for a slot in an instance",
}


class RevisionLabels(NamedTuple):
    """Whose a series is; the order is that of `LABELS`."""

    namespace: str
    service: str
    configuration: str
    revision: str


LABELS = ("namespace_name", "service_name", "configuration_name", "revision_name")
GaugeReader = Callable[[], Iterable[tuple[RevisionLabels, Mapping[str, float]]]]


class _Destination(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def configuration(self) -> str: ...
    @property
    def revision(self) -> str: ...


class FinishedRequest(Protocol):
    """What metrics read of a request; the gateway's `RequestRecord` is one."""

    @property
    def destination(self) -> _Destination: ...
    @property
    def status(self) -> int: ...
    @property
    def latency_ns(self) -> int: ...
    @property
    def queue_ns(self) -> int: ...


def _no_rows() -> Rows:
    return defaultdict(lambda: [0] * (_SUM_NS + 1))


def observe(rows: Rows, status: int, latency_ns: int) -> None:
    """Adds one latency to the row of its status."""
    row = rows[status]
    row[bisect_left(_BUCKETS_NS, latency_ns)] += 1
    row[_SUM_NS] += latency_ns


class Metrics(Collector):
    """All series of the platform, in a registry of their own; an observer of the gateway.

    Args:
        read_gauges: asked at each scrape for the gauges (keys of `GAUGES`) of each revision.
    """

    def __init__(self, read_gauges: GaugeReader = tuple) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._read_gauges = read_gauges
        self._series: dict[tuple[str, str], tuple[RevisionLabels, Rows, Rows]] = {}

    def request_done(self, record: FinishedRequest) -> None:
        """Counts a request: its whole latency, and, without the wait for a slot, that of the application."""
        to = record.destination
        series = self._series.get((to.namespace, to.revision))
        if series is None:
            labels = RevisionLabels(to.namespace, to.service, to.configuration, to.revision)
            series = self._series[to.namespace, to.revision] = labels, _no_rows(), _no_rows()
        latency_ns = record.latency_ns
        observe(series[1], record.status, latency_ns)
        observe(series[2], record.status, latency_ns - record.queue_ns)

    def remove_revision(self, namespace: str, revision: str) -> None:
        """Drops the series of a revision that is gone."""
        self._series.pop((namespace, revision), None)

    def exposition(self) -> bytes:
        """The body of a scrape, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The series as Prometheus' samples."""
        series = list(self._series.values())
        yield from _request_families("revision", "queue-proxy", [(of, whole) for of, whole, _ in series])
        yield from _request_families("revision_app", "the container", [(of, app) for of, _, app in series])
        families = {name: GaugeMetricFamily(name, text, labels=LABELS) for name, text in GAUGES.items()}
        for labels, values in self._read_gauges():
            for name, value in values.items():
                families[name].add_metric(labels, value)
        yield from families.values()


def _request_families(
    prefix: str, where: str, series: Sequence[tuple[RevisionLabels, Rows]]
) -> tuple[Metric, Metric]:
    """`PREFIX_request_count` and `PREFIX_request_latencies` (milliseconds), as routed to `where`."""
    names = (*LABELS, "response_code", "response_code_class")
    # Untyped: Prometheus' own counters must end in _total, and Knative's do not.
    count = UntypedMetricFamily(f"{prefix}_request_count", f"Requests routed to {where}", labels=names)
    latency = HistogramMetricFamily(
        f"{prefix}_request_latencies", f"Response times in ms, {where}", labels=names
    )
    for labels, rows in series:
        for status, row in rows.items():
            values = (*labels, str(status), f"{status // 100}xx")
            cumulated = list(accumulate(row[:_SUM_NS]))
            count.add_metric(values, cumulated[-1])
            buckets = list(zip(_BOUNDS, cumulated, strict=True))
            latency.add_metric(values, buckets, sum_value=row[_SUM_NS] / MILLISECOND_NS)
    return count, latency
