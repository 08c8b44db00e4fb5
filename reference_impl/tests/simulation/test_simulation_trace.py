"""Traces replayed through the whole platform: what the autoscaler does in minutes, in milliseconds."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from minirun.model.clock import SECOND_NS
from minirun.model.resources import PodAutoscaler
from minirun.runtime.virtual import Profile, distribution
from minirun.simulation.loop import VirtualClock, run_virtual
from minirun.simulation.report import Percentiles
from minirun.simulation.trace import DeployError, Simulation, SimulationOptions, simulate, simulate_csv
from minirun.simulation.workload import Arrivals, day_trace

T = TypeVar("T")
ONE_SECOND = SimulationOptions(profile=Profile(distribution("2"), distribution("1")), concurrency=1)
SCALING = "autoscaling.knative.dev/"


def steady(seconds: int, requests: int, service: str = "hello", start: int = 0) -> list[Arrivals]:
    return [Arrivals(second, service, requests) for second in range(start, start + seconds)]


class Bench(Simulation):
    """A simulation whose one service is deployed, to be looked into while it runs."""

    host: str

    @property
    def instances(self) -> int:
        return len(self.runtime.processes)

    @property
    def seconds(self) -> float:
        return self._clock.monotonic_ns() / SECOND_NS

    async def until(self, condition: Callable[[], bool], seconds: float = 3600) -> float:
        """Looks ten times a second; returns for how long it had to wait."""
        began = self.seconds
        while not condition():
            assert self.seconds < began + seconds, "it never came to that"
            await asyncio.sleep(0.1)
        return self.seconds - began

    def snapshot(self) -> tuple[int, bool]:
        """What the autoscaler wants, and whether it panics."""
        seen = self.core.ctx.multiscaler.snapshot("default/hello-00001", self._clock.unix_ns())
        assert seen is not None
        return seen.desired_scale, seen.panicking


def on_bench(options: SimulationOptions, scenario: Callable[[Bench], Awaitable[T]]) -> T:
    async def main(clock: VirtualClock) -> T:
        bench = Bench(options, clock)
        await bench.core.start()
        bench.host = (await bench.deploy(["hello"]))["hello"]
        try:
            return await scenario(bench)
        finally:
            await bench.core.stop()

    return run_virtual(main)


# --- the autoscaler --------------------------------------------------------------------------------------


def test_steady_load_gets_as_many_instances_as_its_concurrency_needs() -> None:
    report = simulate(steady(240, 20), ONE_SECOND)
    assert report.errors == 0
    assert report.requests == 4800
    # 20 requests at a time, an instance takes one and shall be used to 70 %: 20 / 0.7 = 28.6.
    assert report.instances["hello"][-1] == 29


def test_a_burst_makes_it_panic_and_it_does_not_scale_down_for_a_whole_stable_window() -> None:
    async def scenario(bench: Bench) -> None:
        trace = steady(20, 1) + steady(20, 40, start=20)
        sending = asyncio.create_task(bench.replay(trace, {"hello": bench.host}))
        await asyncio.sleep(20)
        assert not bench.snapshot()[1]
        assert await bench.until(lambda: bench.snapshot()[1]) <= 4
        assert await bench.until(lambda: bench.instances >= 20) <= 8
        await sending
        peak, ended = bench.snapshot()[0], bench.seconds
        while bench.snapshot()[1]:
            assert bench.snapshot()[0] >= peak
            await asyncio.sleep(1)
        assert bench.seconds >= ended + 50
        await bench.until(lambda: bench.snapshot()[0] < peak, seconds=60)
        assert bench.clients.statuses == {200: 820}

    half_a_second = Profile(distribution("2"), distribution("0.5"))
    on_bench(replace(ONE_SECOND, profile=half_a_second), scenario)


@pytest.mark.parametrize(("target_burst_capacity", "idle_seconds"), [("211", 60), ("0", 90)])
def test_it_goes_to_zero_after_the_stable_window_and_the_grace_period_in_which_the_activator_takes_over(
    target_burst_capacity: str, idle_seconds: float
) -> None:
    # With the default of 211 one instance is so little that the activator is in the path already.
    options = SimulationOptions(annotations={SCALING + "target-burst-capacity": target_burst_capacity})

    async def scenario(bench: Bench) -> float:
        await bench.replay(steady(30, 1), {"hello": bench.host})
        return await bench.until(lambda: bench.instances == 0)

    last_answer = -0.4  # the trace ends that much later
    assert idle_seconds <= on_bench(options, scenario) - last_answer + 1e-6 <= idle_seconds + 6


def test_a_short_window_and_grace_period_make_it_go_sooner() -> None:
    quick = SimulationOptions(
        annotations={SCALING + "window": "6s"},
        settings={"config-autoscaler": {"scale-to-zero-grace-period": "6s"}},
    )

    async def scenario(bench: Bench) -> float:
        await bench.replay(steady(5, 1), {"hello": bench.host})
        return await bench.until(lambda: bench.instances == 0)

    assert 6 <= on_bench(quick, scenario) <= 16


def test_one_request_wakes_it_from_zero_and_waits_for_nothing_but_the_start() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.until(lambda: bench.instances == 0)
        await asyncio.sleep(3600)
        assert bench.runtime.started == 1
        await bench.replay(steady(1, 1), {"hello": bench.host})
        await bench.clients.all_answered()
        assert bench.runtime.started == 2
        assert list(bench.clients.latencies) == [pytest.approx(0.6)]
        await bench.until(lambda: bench.instances == 0)

    on_bench(SimulationOptions(), scenario)


def test_nobody_is_turned_away_while_a_hundred_wait_for_the_first_instance() -> None:
    async def scenario(bench: Bench) -> Percentiles:
        await bench.until(lambda: bench.instances == 0)
        await bench.replay(steady(1, 100), {"hello": bench.host})
        await bench.clients.all_answered()
        assert bench.clients.statuses == {200: 100}
        return Percentiles.of(bench.clients.latencies)

    assert on_bench(replace(ONE_SECOND, concurrency=10), scenario).max < 10


def test_bounds_on_the_scale_hold() -> None:
    bounded = replace(ONE_SECOND, annotations={SCALING + "min-scale": "2", SCALING + "max-scale": "5"})
    report = simulate([*steady(60, 20), Arrivals(400, "hello", 0)], bounded)
    counts = report.instances["hello"]
    assert max(counts) == 5
    assert counts[-1] == 2
    assert report.statuses == {200: 1200}


def test_an_instance_with_concurrency_one_never_has_two_requests() -> None:
    async def scenario(bench: Bench) -> None:
        sending = asyncio.create_task(bench.replay(steady(60, 7), {"hello": bench.host}))
        while not sending.done():
            await asyncio.sleep(0.01)
            assert all(len(process._requests) <= 1 for process in bench.runtime.processes.values())
        await bench.clients.all_answered()

    on_bench(replace(ONE_SECOND, poisson=True), scenario)


def test_an_instance_that_crashes_costs_its_requests_and_is_replaced() -> None:
    async def scenario(bench: Bench) -> None:
        sending = asyncio.create_task(bench.replay(steady(60, 3), {"hello": bench.host}))
        await asyncio.sleep(30)
        crashed = next(iter(bench.runtime.processes.values()))
        running = len(crashed._requests)
        assert running >= 1
        crashed.exit(137)
        await sending
        await bench.clients.all_answered()
        assert bench.clients.statuses == {200: 180 - running, 502: running}

    on_bench(replace(ONE_SECOND, concurrency=0), scenario)


# --- the simulation --------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_report_and_another_seed_another() -> None:
    trace = day_trace(["web", "jobs"], Random(1), seconds=600, peak_per_second=5)
    options = SimulationOptions(
        profile=Profile(distribution("lognormal:0.5:0.4"), distribution("exp:0.4"), request_failure=0.02),
        concurrency=2,
        poisson=True,
        seed=3,
    )
    first = simulate(trace, options)
    assert first.requests == sum(row.requests for row in trace)
    assert first.errors > 0
    assert first.cold_starts > 0
    assert simulate(trace, options) == first
    assert simulate(trace, replace(options, seed=4)) != first


def test_another_policy_meets_the_same_arrivals() -> None:
    async def arrivals(clock: VirtualClock, concurrency: int) -> list[float]:
        simulation = Simulation(SimulationOptions(concurrency=concurrency, poisson=True), clock)
        await simulation.core.start()
        hosts = await simulation.deploy(["hello"])
        began, seen = clock.monotonic_ns(), []
        send = simulation.clients.send

        def note(host: str) -> None:
            seen.append((clock.monotonic_ns() - began) / SECOND_NS)
            send(host)

        simulation.clients.send = note  # type: ignore[method-assign]
        await simulation.replay(steady(20, 5), hosts)
        await simulation.clients.all_answered()
        await simulation.core.stop()
        return seen

    few, many = (run_virtual(lambda clock, c=c: arrivals(clock, c)) for c in (1, 50))  # type: ignore[misc]
    assert len(few) == 100
    assert few == many


def test_a_service_that_can_not_start_is_an_error_that_says_why() -> None:
    failing = SimulationOptions(profile=Profile(distribution("1"), distribution("0"), start_failure=1))
    with pytest.raises(DeployError, match=r"^service hello was not ready within 660 s: .*exit code 1"):
        simulate(steady(1, 1), failing)


def test_options_that_the_api_would_refuse_are_refused() -> None:
    with pytest.raises(DeployError, match=r"service hello was refused: .*max-scale"):
        simulate(steady(1, 1), SimulationOptions(annotations={SCALING + "max-scale": "many"}))
    with pytest.raises(DeployError, match="service Not_A_Name was refused"):
        simulate(steady(1, 1, service="Not_A_Name"))
    with pytest.raises(ValueError, match=r"ConfigMap config-autoscaler: .*soon"):
        simulate(steady(1, 1), SimulationOptions(settings={"config-autoscaler": {"stable-window": "soon"}}))


def test_requests_that_fail_are_counted_by_status() -> None:
    half = SimulationOptions(profile=Profile(distribution("1"), distribution("0.1"), request_failure=0.5))
    report = simulate(steady(100, 10), half)
    assert set(report.statuses) == {200, 500}
    assert 420 < report.errors < 580


def test_a_request_times_out_when_no_instance_comes_in_time() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.until(lambda: bench.instances == 0)
        await bench.replay(steady(1, 3), {"hello": bench.host})
        await bench.clients.all_answered()
        assert bench.clients.statuses == {504: 3}

    slow = Profile(lambda rng: next(starts), distribution("0.1"))
    starts = iter([1.0, *[400.0] * 100])
    on_bench(SimulationOptions(profile=slow), scenario)


def test_a_trace_in_a_file_is_replayed_and_reported_as_json(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("second,service,requests\n0,a,3\n5,b,2\n")
    report = simulate_csv(path)
    assert report.requests == 5
    assert set(report.instances) == {"a", "b"}
    assert report.seconds == pytest.approx(6)
    assert json.loads(json.dumps(report.as_dict()))["requests"] == 5


def test_a_bad_file_is_refused_with_its_name_and_line(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("0,a,3\n1,a,lots\n")
    with pytest.raises(ValueError, match=r"day\.csv: line 2 is '1,a,lots'"):
        simulate_csv(path)


def test_nothing_is_left_on_the_store_watch_or_in_the_air_when_it_ends() -> None:
    async def scenario(bench: Bench) -> Bench:
        await bench.replay(steady(10, 5), {"hello": bench.host})
        await bench.clients.all_answered()
        return bench

    bench = on_bench(SimulationOptions(), scenario)
    assert bench.runtime.processes == {}
    assert bench.store.select(PodAutoscaler)[0].status.desired_scale == 1
