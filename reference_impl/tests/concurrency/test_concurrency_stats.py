"""Request statistics are averages over time."""

from hypothesis import given
from hypothesis import strategies as st

from minirun.concurrency.stats import RequestReport, RequestStats
from minirun.model.clock import SECOND_NS


def test_concurrency_is_weighted_by_how_long_it_lasted() -> None:
    stats = RequestStats(0)
    stats.enter(0)
    stats.enter(SECOND_NS // 2, proxied=True)
    stats.leave(3 * SECOND_NS // 4)
    assert stats.report(SECOND_NS) == RequestReport(1.25, 0.5, 2, 1)
    assert stats.report(2 * SECOND_NS) == RequestReport(1.0, 1.0, 0, 0)
    stats.leave(2 * SECOND_NS, proxied=True)
    assert stats.report(3 * SECOND_NS) == RequestReport()


def test_an_event_in_the_past_is_counted_but_moves_no_time() -> None:
    stats = RequestStats(SECOND_NS)
    stats.enter(0)
    assert stats.report(SECOND_NS) == RequestReport(0.0, 0.0, 1, 0)
    assert stats.report(3 * SECOND_NS).average_concurrency == 1.0


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND_NS), st.booleans(), st.booleans()), max_size=30))
def test_the_average_is_the_area_under_the_concurrency(events: list[tuple[int, bool, bool]]) -> None:
    stats, now, area, proxied_area, running = RequestStats(0), 0, 0, 0, list[bool]()
    for wait_ns, arrives, proxied in events:
        now += wait_ns
        area += len(running) * wait_ns
        proxied_area += sum(running) * wait_ns
        if arrives or not running:
            stats.enter(now, proxied)
            running.append(proxied)
        else:
            stats.leave(now, running.pop())
    report = stats.report(now)
    assert abs(report.average_concurrency - (area / now if now else 0)) < 1e-9
    assert abs(report.average_proxied_concurrency - (proxied_area / now if now else 0)) < 1e-9
    assert (stats.concurrency, stats.proxied_concurrency) == (len(running), sum(running))
