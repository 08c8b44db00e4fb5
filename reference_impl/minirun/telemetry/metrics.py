"""Prometheus metrics under Knative's names: requests are counted here, the autoscaler's figures are read.

A request costs two additions: counts are plain integers, a row of latency buckets for each status, and become
samples only when somebody scrapes. Gauges are not kept at all; a scrape asks for them. Counterparts: the
metrics of queue-proxy (`revision_…`), autoscaler (`autoscaler_…`) and activator (`activator_…`)
(knative.dev/docs, "Serving metrics" up to 1.18; buckets: knative/serving pkg/queue/stats).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric, UntypedMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from minirun.model.clock import MILLISECOND_NS

CONTENT_TYPE = CONTENT_TYPE_LATEST
LATENCY_BUCKETS_MS = (
    *(5, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900),
    *(1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000),
)
_BUCKETS_NS = tuple(ms * MILLISECOND_NS for ms in LATENCY_BUCKETS_MS)
_BOUNDS = (*(str(float(ms)) for ms in LATENCY_BUCKETS_MS), "+Inf")
_SUM_NS = len(_BOUNDS)  # where a row of buckets keeps the sum of its latencies

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


class Histogram:
    """Latencies of one revision in nanoseconds, by status."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}

    def observe(self, status: int, latency_ns: int) -> None:
        row = self.rows.get(status)
        if row is None:
            row = self.rows[status] = [0] * (len(_BOUNDS) + 1)
        row[bisect_left(_BUCKETS_NS, latency_ns)] += 1
        row[_SUM_NS] += latency_ns


class Metrics:
    """All series of the platform, in a registry of their own; an observer of the gateway.

    Args:
        read_gauges: asked at each scrape for the gauges (keys of `GAUGES`) of each revision.
    """

    def __init__(self, read_gauges: GaugeReader = tuple) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_RevisionCollector(self))
        ProcessCollector(registry=self.registry)
        self.read_gauges = read_gauges
        self.requests: dict[RevisionLabels, tuple[Histogram, Histogram]] = {}
        self._by_key: dict[tuple[str, str], tuple[Histogram, Histogram]] = {}

    def request_done(self, record: FinishedRequest) -> None:
        """Counts a request: its whole latency, and, without the wait for a slot, that of the application."""
        to = record.destination
        series = self._by_key.get((to.namespace, to.revision))
        if series is None:
            series = self._by_key[to.namespace, to.revision] = Histogram(), Histogram()
            self.requests[RevisionLabels(to.namespace, to.service, to.configuration, to.revision)] = series
        latency_ns = record.latency_ns
        series[0].observe(record.status, latency_ns)
        series[1].observe(record.status, latency_ns - record.queue_ns)

    def remove_revision(self, namespace: str, revision: str) -> None:
        """Drops the series of a revision that is gone."""
        self._by_key.pop((namespace, revision), None)
        for labels in [k for k in self.requests if (k.namespace, k.revision) == (namespace, revision)]:
            del self.requests[labels]

    def exposition(self) -> bytes:
        """The body of a scrape; its type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class _RevisionCollector(Collector):
    """Makes Prometheus samples of what `Metrics` holds and reads."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        series = list(self._metrics.requests.items())
        yield from _request_families("revision", "queue-proxy", [(k, whole) for k, (whole, _) in series])
        yield from _request_families("revision_app", "the container", [(k, app) for k, (_, app) in series])
        families = {name: GaugeMetricFamily(name, text, labels=LABELS) for name, text in GAUGES.items()}
        for labels, values in self._metrics.read_gauges():
            for name, value in values.items():
                families[name].add_metric(labels, value)
        yield from families.values()


def _request_families(
    prefix: str, where: str, histograms: Sequence[tuple[RevisionLabels, Histogram]]
) -> Iterator[Metric]:
    """`PREFIX_request_count` and `PREFIX_request_latencies` (milliseconds), as routed to `where`."""
    names = (*LABELS, "response_code", "response_code_class")
    # Untyped: Prometheus' own counters must end in _total, and Knative's do not.
    count = UntypedMetricFamily(f"{prefix}_request_count", f"Requests routed to {where}", labels=names)
    latency = HistogramMetricFamily(
        f"{prefix}_request_latencies", f"Response times in ms, {where}", labels=names
    )
    for labels, histogram in histograms:
        for status, row in histogram.rows.items():
            values = (*labels, str(status), f"{status // 100}xx")
            cumulated = list(accumulate(row[:_SUM_NS]))
            count.add_metric(values, cumulated[-1])
            buckets = list(zip(_BOUNDS, cumulated, strict=True))
            latency.add_metric(values, buckets, sum_value=row[_SUM_NS] / MILLISECOND_NS)
    yield from (count, latency)
