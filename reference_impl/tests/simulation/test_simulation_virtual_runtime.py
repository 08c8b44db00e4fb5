"""Virtual containers live through the same life cycle as real ones, only faster."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from minirun.model.clock import SECOND_NS
from minirun.runtime.base import InstanceSpec, InstanceState, Probe, Runtime, Stage
from minirun.runtime.instance import Instance
from minirun.runtime.virtual import Profile, VirtualRuntime, distribution, pod_ip
from minirun.simulation.loop import VirtualClock, run_virtual

TWO_SECONDS = Profile(start=distribution("2"), service=distribution("0.1"))


HELLO = InstanceSpec(
    namespace="default",
    name="hello-00001-deployment-a",
    uid="1",
    service="hello",
    configuration="hello",
    revision="hello-00001",
    image="hello@sha256:0",
)


@dataclass
class Bench:
    """One instance on a virtual runtime, and what it reported when."""

    clock: VirtualClock
    profile: Profile
    spec: InstanceSpec
    states: list[tuple[InstanceState, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runtime = VirtualRuntime(self.clock, Random(1), lambda spec: self.profile)
        seam: Runtime = self.runtime
        self.instance = Instance(self.spec, seam, self.clock, self.on_change, lambda stream, line: None)
        self.changed = asyncio.Event()

    def on_change(self, state: InstanceState) -> None:
        self.states.append((state, self.clock.monotonic_ns() / SECOND_NS))
        self.changed.set()

    async def reaches(self, stage: Stage) -> None:
        while self.instance.state.stage is not stage:
            self.changed.clear()
            await self.changed.wait()

    def when(self, stage: Stage) -> list[float]:
        """The times at which this stage was entered."""
        entered, last = [], Stage.PENDING
        for state, seconds in self.states:
            if state.stage is stage and last is not stage:
                entered.append(seconds)
            last = state.stage
        return entered


def on_bench(
    profile: Profile, scenario: Callable[[Bench], Awaitable[None]], spec: InstanceSpec = HELLO
) -> Bench:
    async def main(clock: VirtualClock) -> Bench:
        bench = Bench(clock, profile, spec)
        bench.instance.start()
        await scenario(bench)
        await bench.instance.stop()
        await bench.runtime.close()
        return bench

    return run_virtual(main)


def test_it_is_ready_exactly_when_the_start_up_time_is_over() -> None:
    bench = on_bench(TWO_SECONDS, lambda bench: bench.reaches(Stage.READY))
    assert bench.when(Stage.STARTING) == [0]
    assert bench.when(Stage.READY) == [2]
    assert bench.instance.state.phase == "Succeeded"


def test_a_declared_probe_keeps_its_own_rhythm() -> None:
    probe = Probe(kind="http", initial_delay_seconds=5, period_seconds=3, success_threshold=2)
    bench = on_bench(TWO_SECONDS, lambda bench: bench.reaches(Stage.READY), replace(HELLO, readiness=probe))
    assert bench.when(Stage.READY) == [8]


def test_requests_take_their_service_time_and_only_a_listening_container_answers() -> None:
    answers: list[tuple[int, float]] = []

    async def scenario(bench: Bench) -> None:
        async def ask() -> None:
            status = await bench.runtime.serve("10.0.0.1")
            answers.append((status, bench.clock.monotonic_ns() / SECOND_NS))

        await asyncio.sleep(1)
        await ask()
        await bench.reaches(Stage.READY)
        await asyncio.gather(ask(), ask())
        await bench.instance.stop()
        await ask()

    on_bench(TWO_SECONDS, scenario)
    assert answers == [(502, 1), (200, 2.1), (200, 2.1), (502, 2.1)]


def test_a_crash_breaks_the_requests_that_run_and_the_container_is_started_again() -> None:
    broken: list[int] = []

    async def scenario(bench: Bench) -> None:
        await bench.reaches(Stage.READY)
        process = bench.runtime.processes[bench.instance.state.host]
        assert process.submit(broken.append)
        process.exit(3)
        await bench.reaches(Stage.CRASH_LOOP_BACK_OFF)
        assert bench.instance.state.exit_code == 3
        assert bench.instance.state.reason == "ExitCode3"
        await bench.reaches(Stage.READY)
        assert bench.instance.state.restart_count == 1

    bench = on_bench(TWO_SECONDS, scenario)
    assert broken == [502]
    assert bench.when(Stage.READY) == [2, 4]
    assert bench.runtime.started == 2


def test_a_container_that_always_fails_is_started_at_growing_intervals_until_the_deadline() -> None:
    failing = Profile(distribution("1"), distribution("0"), start_failure=1.0)
    bench = on_bench(
        failing, lambda bench: bench.reaches(Stage.GONE), replace(HELLO, progress_deadline_seconds=20)
    )
    assert bench.when(Stage.CRASH_LOOP_BACK_OFF) == [1, 2, 4, 7, 12]
    assert bench.when(Stage.GONE) == [20]
    assert bench.instance.state.phase == "Failed"
    assert bench.instance.state.exit_code == 1


def test_an_app_that_never_listens_is_ended_at_the_deadline() -> None:
    deaf = Profile(distribution("1"), distribution("0"), listens=False)
    bench = on_bench(
        deaf, lambda bench: bench.reaches(Stage.GONE), replace(HELLO, progress_deadline_seconds=240)
    )
    assert bench.when(Stage.GONE) == [240]
    assert "did not listen on $PORT" in bench.instance.state.message


@pytest.mark.parametrize(("stop_seconds", "gone_at"), [(3, 5), (100, 12)])
def test_sigterm_gives_it_the_grace_period_and_sigkill_ends_it(stop_seconds: float, gone_at: float) -> None:
    profile = Profile(distribution("2"), distribution("0"), stop_seconds=stop_seconds)
    bench = on_bench(
        profile, lambda bench: bench.reaches(Stage.READY), replace(HELLO, termination_grace_seconds=10)
    )
    assert bench.when(Stage.DRAINING) == [2]
    assert bench.when(Stage.GONE) == [gone_at]
    assert bench.runtime.processes == {}
    assert bench.runtime.container_ns() == gone_at * SECOND_NS


def test_some_requests_fail_as_often_as_the_profile_says() -> None:
    counts = {200: 0, 500: 0}

    async def scenario(bench: Bench) -> None:
        await bench.reaches(Stage.READY)
        for _ in range(4000):
            counts[await bench.runtime.serve("10.0.0.1")] += 1

    on_bench(Profile(distribution("1"), distribution("0.01"), request_failure=0.25), scenario)
    assert 900 < counts[500] < 1100


def test_every_container_has_an_address_of_its_own() -> None:
    assert pod_ip(1) == "10.0.0.1"
    assert len({pod_ip(number) for number in range(1, 200_000)}) == 199_999


@pytest.mark.parametrize(
    ("text", "low", "mean", "high"),
    [
        ("0.25", 0.25, 0.25, 0.25),
        ("fixed:0.25", 0.25, 0.25, 0.25),
        ("uniform:1:3", 1, 2, 3),
        ("exp:0.5", 0, 0.5, 50),
        ("exp:0", 0, 0, 0),
        ("lognormal:0.1:0.5", 0, 0.1133, 10),
    ],
)
def test_distributions_draw_what_their_names_say(text: str, low: float, mean: float, high: float) -> None:
    rng, draw = Random(3), distribution(text)
    drawn = [draw(rng) for _ in range(20_000)]
    assert low <= min(drawn) <= max(drawn) <= high
    assert sum(drawn) / len(drawn) == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize(
    "text", ["", "fast", "-1", "nan", "inf", "uniform:1", "exp:1:2", "gauss:1:2", "exp:a"]
)
def test_a_distribution_that_is_none_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no distribution of seconds; write a number such as"):
        distribution(text)
