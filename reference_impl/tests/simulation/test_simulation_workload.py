"""Traces are read strictly, spread over their seconds, and made up the same way twice."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.simulation.report import Percentiles, SimulationReport, sparkline
from minirun.simulation.workload import Arrivals, day_trace, read_trace, spread


def test_rows_are_sorted_by_time_and_header_and_blank_lines_are_skipped() -> None:
    text = "second,service,requests\n7,b,2\n\n0, a ,0\n7,a,1\n"
    assert read_trace(text.splitlines()) == [Arrivals(0, "a", 0), Arrivals(7, "a", 1), Arrivals(7, "b", 2)]


@pytest.mark.parametrize("row", ["1,a", "1,a,2,3", "x,a,1", "1,a,1.5", "-1,a,1", "1,a,-1", "1,,1", "a"])
def test_a_bad_row_is_refused_with_its_line_number_and_an_example(row: str) -> None:
    with pytest.raises(ValueError, match=r"^line 3 is .* write for example 12,hello,3$"):
        read_trace(["second,service,requests", "0,a,1", row, "2,a,1"])


@pytest.mark.parametrize("text", ["", "second,service,requests"])
def test_a_trace_without_rows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no row"):
        read_trace(text.splitlines())


@given(st.integers(0, 50), st.one_of(st.none(), st.integers()))
def test_requests_arrive_in_order_within_their_second(requests: int, seed: int | None) -> None:
    offsets = list(spread(requests, None if seed is None else Random(seed)))
    assert len(offsets) == requests
    assert offsets == sorted(offsets)
    assert all(0 <= offset < 1 for offset in offsets)


def test_without_chance_the_gaps_are_equal() -> None:
    assert list(spread(4, None)) == [0.125, 0.375, 0.625, 0.875]


def test_a_made_up_day_has_two_peaks_and_a_quiet_night_and_is_the_same_for_the_same_seed() -> None:
    trace = day_trace(["web", "jobs"], Random(5), seconds=2400, peak_per_second=10)
    by_hour = [
        sum(r.requests for r in trace if r.service == "web" and r.second // 100 == h) for h in range(24)
    ]
    night, noon, day = by_hour[0], max(by_hour), sum(by_hour)
    assert night == 0
    assert 800 < noon < 1100
    assert day == pytest.approx(10 * 2400 * 2 * 0.06 * 3.1416**0.5, rel=0.05)
    assert sum(r.requests for r in trace if r.service == "jobs") < day
    assert trace == sorted(trace)
    assert trace[-1].second == 2399
    assert day_trace(["web", "jobs"], Random(5), seconds=2400, peak_per_second=10) == trace
    assert day_trace(["web", "jobs"], Random(6), seconds=2400, peak_per_second=10) != trace


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_measured_values_below_which_lies_their_share(seconds: list[float]) -> None:
    found = Percentiles.of(seconds)
    for share, value in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99), (1.0, found.max)):
        assert value in seconds
        assert sum(s <= value for s in seconds) >= share * len(seconds) - 1e-9
        assert sum(s < value for s in seconds) < share * len(seconds) + 1e-9


def test_percentiles_of_nothing_are_zero() -> None:
    assert Percentiles.of([]) == Percentiles(0, 0, 0, 0)


def test_a_sparkline_shows_the_largest_in_full_and_never_hides_one() -> None:
    assert sparkline([0, 1, 50, 100]) == " ▁▄█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


def test_the_report_says_how_many_requests_failed_and_how() -> None:
    report = SimulationReport(
        seconds=60,
        statuses={200: 90, 502: 8, 504: 2},
        latency=Percentiles.of([0.1]),
        waited=3,
        wait=Percentiles.of([1.5, 2, 2.5]),
        cold_starts=4,
        instance_seconds=77,
        interval_seconds=30,
        instances={f"s{n:02}": (n, 2 * n) for n in range(25)},
        wall_seconds=0.5,
    )
    text = "\n".join(report.lines())
    assert "100 requests to 25 services in 60 s, simulated in 0.5 s (200 requests/s)" in text
    assert "errors            10 (8 x 502, 2 x 504)" in text
    assert "3 requests: p50 2.000 s" in text
    assert "s24 |▄█| at most 48" in text
    assert "s04" not in text
    assert "and 5 services with fewer instances" in text
    assert report.as_dict()["errors"] == 10
