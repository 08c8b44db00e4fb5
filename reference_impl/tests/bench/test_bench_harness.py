"""What was measured is told as it was: percentiles, wrk's errors, and a benchmark that breaks."""

import pytest

from minirun.cli.load import LoadResult
from minirun_bench import __main__ as command
from minirun_bench.harness import Result, Scale, parse_wrk, percentile
from minirun_bench.knative import tell

WRK = """\
Running 1s test @ http://127.0.0.1:80/
  Latency Distribution
     50%  830.00us
     75%    1.20ms
     90%    1.80ms
     99%    2.12ms
  500 requests in 1.00s, 75.2KB read
"""


@pytest.mark.parametrize(("percent", "expected"), [(50, 10), (95, 19), (100, 20), (0, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: int) -> None:
    assert percentile([float(n) for n in range(20, 0, -1)], percent) == expected


def test_wrk_without_errors_failed_nothing() -> None:
    seen = parse_wrk(WRK + "Requests/sec:    500.00\n")
    assert (seen.requests_per_second, seen.p99_ms, seen.failed) == (500, 2.12, 0)
    assert seen.p50_ms == pytest.approx(0.83)


def test_wrk_that_saw_refusals_and_broken_connections_counts_both() -> None:
    errors = "  Socket errors: connect 0, read 3, write 0, timeout 4\n  Non-2xx or 3xx responses: 20\n"
    assert parse_wrk(WRK + errors + "Requests/sec:    500.00\n").failed == 27


def load(latency_ms: int, count: int = 1000, status: int = 200) -> LoadResult:
    found = LoadResult()
    for _ in range(count):
        found.latencies.add(latency_ms * 1_000_000)
        found.statuses[status] += 1
    return found


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (load(105), True),
        (load(120), False),
        (load(50), False),  # a 100 ms app can't answer so soon: something else did
        (load(105, status=503), False),
        (load(105, count=990), False),
    ],
    ids=["as it should be", "too slow", "too fast", "refused", "some lost"],
)
def test_a_workload_meets_its_threshold_only_with_every_answer_in_the_range(
    found: LoadResult, met: bool
) -> None:
    result = Result("probe", "a probe")
    tell(result, "probe", found, 110, 1000, "", why="that is why")
    (verdict,) = result.verdicts
    assert verdict.met == met
    assert ("that is why" in verdict.measured) == (not met)


async def breaks(scale: Scale) -> Result:
    """A benchmark that breaks."""
    raise TimeoutError("waited 120 s for zero instances")


async def works(scale: Scale) -> Result:
    """A benchmark that works."""
    result = Result("works", "it works")
    result.add(what="speed", value=1)
    return result


def test_a_benchmark_that_breaks_is_told_and_keeps_no_other_from_running(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "BENCHMARKS", {"breaks": breaks, "works": works})
    assert command.main([]) == 1
    shown = capsys.readouterr().out
    assert "waited 120 s for zero instances" in shown
    assert "it works" in shown
