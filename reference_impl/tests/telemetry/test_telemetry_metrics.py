"""Metrics: what a request adds, and what a scrape shows."""

import timeit
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from minirun.telemetry.metrics import GAUGES, LATENCY_BUCKETS_MS, Metrics, RevisionLabels

HELLO = RevisionLabels("default", "hello", "hello", "hello-00001")
OTHER = RevisionLabels("default", "other", "other", "other-00001")


@dataclass(slots=True)
class Request:
    destination: RevisionLabels
    status: int = 200
    latency_ns: int = 3_000_000
    queue_ns: int = 1_000_000


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """(metric, revision, status, bucket) -> value of everything that has a revision."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (
            s.name,
            s.labels["revision_name"],
            s.labels.get("response_code", ""),
            s.labels.get("le", ""),
        ): s.value
        for family in families
        for s in family.samples
        if "revision_name" in s.labels
    }


def test_requests_are_counted_by_revision_and_status_under_knatives_names() -> None:
    metrics = Metrics()
    for status in (200, 200, 503):
        metrics.request_done(Request(HELLO, status))
    metrics.request_done(Request(OTHER))
    got = samples(metrics)
    assert got["revision_request_count", "hello-00001", "200", ""] == 2
    assert got["revision_request_count", "hello-00001", "503", ""] == 1
    assert got["revision_request_count", "other-00001", "200", ""] == 1
    assert got["revision_app_request_count", "hello-00001", "200", ""] == 2


def test_the_applications_latency_is_without_the_wait_for_a_slot() -> None:
    metrics = Metrics()
    metrics.request_done(Request(HELLO, latency_ns=30_000_000, queue_ns=28_000_000))
    got = samples(metrics)
    assert got["revision_request_latencies_sum", "hello-00001", "200", ""] == 30
    assert got["revision_app_request_latencies_sum", "hello-00001", "200", ""] == 2
    assert got["revision_app_request_latencies_bucket", "hello-00001", "200", "5.0"] == 1
    assert got["revision_request_latencies_bucket", "hello-00001", "200", "20.0"] == 0


@given(st.lists(st.integers(0, 200_000_000_000), max_size=20))
def test_a_bucket_counts_the_latencies_up_to_its_bound(latencies_ns: list[int]) -> None:
    metrics = Metrics()
    for ns in latencies_ns:
        metrics.request_done(Request(HELLO, latency_ns=ns))
    got = samples(metrics)
    for bound in LATENCY_BUCKETS_MS:
        expected = sum(ns <= bound * 1_000_000 for ns in latencies_ns)
        name = "revision_request_latencies_bucket"
        assert got.get((name, "hello-00001", "200", f"{bound:.1f}"), 0) == expected


def test_gauges_are_read_when_somebody_scrapes() -> None:
    values = {"autoscaler_desired_pods": 2.0}
    metrics = Metrics(lambda: [(HELLO, values)])
    assert samples(metrics)["autoscaler_desired_pods", "hello-00001", "", ""] == 2
    values["autoscaler_desired_pods"] = 5.0
    assert samples(metrics)["autoscaler_desired_pods", "hello-00001", "", ""] == 5


def test_an_unknown_gauge_is_an_error_of_the_program() -> None:
    with pytest.raises(KeyError):
        Metrics(lambda: [(HELLO, {"desired": 1.0})]).exposition()
    assert "autoscaler_panic_mode" in GAUGES


def test_series_of_a_deleted_revision_go() -> None:
    metrics = Metrics()
    metrics.request_done(Request(HELLO))
    metrics.request_done(Request(OTHER))
    metrics.remove_revision("default", "hello-00001")
    assert {revision for _, revision, _, _ in samples(metrics)} == {"other-00001"}
    metrics.request_done(Request(HELLO))
    assert samples(metrics)["revision_request_count", "hello-00001", "200", ""] == 1


def test_two_platforms_in_one_process_do_not_share_series() -> None:
    first, second = Metrics(), Metrics()
    first.request_done(Request(HELLO))
    assert samples(second) == {}


def test_a_request_costs_little() -> None:
    metrics, request = Metrics(), Request(HELLO)
    best = min(timeit.repeat(lambda: metrics.request_done(request), number=20_000, repeat=5)) / 20_000
    assert best < 5e-6  # about 0.5 µs on a quiet machine; the bound only catches another order of magnitude
