"""What is measured: samples of pods, sums over reporters, and the difference between silence and zero."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.autoscaling.collector import RevisionMetrics, Stat, sample_size, scrape
from minirun.autoscaling.spec import MetricSpec
from minirun.model.clock import SECOND_NS as S

T0 = 1_700_000_000 * S


@pytest.mark.parametrize(
    ("pods", "sample"),
    [(0, 0), (1, 1), (3, 3), (4, 4), (5, 4), (10, 7), (20, 9), (50, 12), (100, 14), (10**9, 16)],
)
def test_the_sample_is_all_of_few_and_a_part_of_many(pods: int, sample: int) -> None:
    assert sample_size(pods) == sample


def test_what_came_through_the_activator_is_taken_off_the_pods() -> None:
    metrics = RevisionMetrics(MetricSpec())
    metrics.record(T0, Stat(5.0, 2.0, 50.0, 20.0))
    metrics.record(T0, Stat(2.0, 0.0, 20.0, 0.0))  # the activator's own report
    assert metrics.stable_and_panic(T0) == (5.0, 5.0)


def test_a_revision_on_requests_per_second_measures_requests() -> None:
    metrics = RevisionMetrics(MetricSpec(scaling_metric="rps"))
    metrics.record(T0, Stat(5.0, 2.0, 50.0, 20.0))
    assert metrics.stable_and_panic(T0) == (30.0, 30.0)


def test_the_panic_window_forgets_sooner() -> None:
    metrics = RevisionMetrics(MetricSpec())
    metrics.record(T0, Stat(60.0))
    metrics.record(T0 + 9 * S, Stat(0.0))
    assert metrics.stable_and_panic(T0 + 9 * S) == (6.0, 0.0)


def test_silence_is_no_data_if_pods_are_scraped_and_zero_if_not() -> None:
    assert RevisionMetrics(MetricSpec()).stable_and_panic(T0) is None
    assert RevisionMetrics(MetricSpec(scraped=False)).stable_and_panic(T0) == (0.0, 0.0)


def test_exactly_a_window_after_the_last_sample_there_is_one_zero_before_there_is_no_data() -> None:
    metrics = RevisionMetrics(MetricSpec())
    metrics.record(T0, Stat(60.0))
    assert metrics.stable_and_panic(T0 + 60 * S) == (0.0, 0.0)
    assert metrics.stable_and_panic(T0 + 61 * S) is None


def test_new_windows_keep_what_fits() -> None:
    metrics = RevisionMetrics(MetricSpec())
    for second in range(10):
        metrics.record(T0 + second * S, Stat(float(second)))
    metrics.update(T0 + 9 * S, MetricSpec(stable_window_ns=6 * S, panic_window_ns=2 * S, scraped=False))
    assert metrics.stable_and_panic(T0 + 9 * S) == (6.5, 8.5)
    assert metrics.stable_and_panic(T0 + 99 * S) == (0.0, 0.0)


def test_weighted_windows_favour_the_newest() -> None:
    metrics = RevisionMetrics(MetricSpec(weighted=True))
    metrics.record(T0, Stat(10.0))
    stable, panic = metrics.stable_and_panic(T0) or (0.0, 0.0)
    assert (stable, panic) == (2.0, 10.0 * 0.7845565309968116)


def ask(stats: list[Stat | None], ages_ns: list[int] | None = None, seed: int = 1) -> Stat | None:
    return scrape(stats, ages_ns or [0] * len(stats), 60 * S, random.Random(seed))


def test_no_pod_gives_no_sample_and_one_pod_is_the_sample() -> None:
    stat = Stat(1.5, 0.5, 10.0, 5.0)
    assert ask([]) is None
    assert ask([stat]) == stat


def test_the_sample_stands_for_all_pods() -> None:
    assert ask([Stat(2.0, 1.0, 10.0, 4.0)] * 10) == Stat(20.0, 10.0, 100.0, 40.0)


def test_pods_older_than_the_stable_window_are_asked_first() -> None:
    stats: list[Stat | None] = [Stat(1.0)] * 13 + [Stat(7.0)] * 7
    ages_ns = [60 * S] * 13 + [60 * S + 1] * 7
    result = ask(stats, ages_ns)
    assert result is not None  # nine are asked: all seven old ones and two young ones
    assert result.average_concurrent_requests == pytest.approx((7 * 7 + 2) / 9 * 20)


def test_a_pod_that_does_not_answer_is_replaced_as_long_as_there_are_others() -> None:
    assert ask([None] * 3 + [Stat(1.0)] * 7) == Stat(10.0)
    assert ask([None] * 4 + [Stat(1.0)] * 6) is None
    assert ask([None, Stat(1.0)]) is None


@given(loads=st.lists(st.floats(0, 100), min_size=1, max_size=60), seed=st.integers())
def test_the_estimate_lies_between_the_extremes(loads: list[float], seed: int) -> None:
    result = ask([Stat(load) for load in loads], seed=seed)
    assert result is not None
    count = len(loads)
    assert min(loads) * count <= result.average_concurrent_requests * (1 + 1e-12)
    assert result.average_concurrent_requests <= max(loads) * count * (1 + 1e-12)
