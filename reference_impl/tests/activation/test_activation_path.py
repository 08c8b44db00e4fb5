"""The way of a request to an instance, on a loop whose clock jumps."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.activation.path import ActivationTimeout, Endpoint, Lease, QueueFull, QueueTimeout, RevisionPath
from minirun.activation.reporter import FIRST_REQUEST, ActivatorStat
from minirun.simulation.loop import VirtualClock, run_virtual


class World:
    """One revision's path under virtual time."""

    def __init__(self, clock: VirtualClock, concurrency: int = 1) -> None:
        self.clock = clock
        self.first: list[ActivatorStat] = []
        self.path = RevisionPath("default", "r1", concurrency, clock, Random(1), self.announce)

    def announce(self, path: RevisionPath, stat: ActivatorStat) -> None:
        self.first.append(stat)

    def endpoints(self, *names: str) -> None:
        self.path.set_endpoints([Endpoint(name, "127.0.0.1", 9000) for name in names])

    def serve(self, *names: str) -> None:
        self.path.set_proxy_mode(False)
        self.endpoints(*names)

    def ask(self, timeout_seconds: float | None = None, exclude: str = "") -> "asyncio.Task[Lease]":
        names = frozenset({exclude}) if exclude else frozenset()
        return asyncio.ensure_future(self.path.acquire(timeout_seconds, names))


def virtual(concurrency: int, main: Callable[[World], Awaitable[None]]) -> None:
    async def run(clock: VirtualClock) -> None:
        await main(World(clock, concurrency))

    run_virtual(run)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def names(tasks: list["asyncio.Task[Lease]"]) -> list[str | None]:
    return [task.result().endpoint.name if task.done() else None for task in tasks]


def test_from_zero_waiters_start_oldest_first_as_capacity_appears_and_wake_the_revision_once() -> None:
    async def main(world: World) -> None:
        tasks = [world.ask() for _ in range(4)]
        await settle()
        assert (world.path.waiting, world.path.running, world.first) == (4, 0, [FIRST_REQUEST])
        world.endpoints("a", "b")
        await settle()
        assert names(tasks) == ["a", "b", None, None]
        tasks[1].result().release()
        await settle()
        assert names(tasks) == ["a", "b", "b", None]
        assert (world.path.waiting, world.path.running) == (1, 2)
        tasks[3].cancel()
        await settle()
        assert world.path.waiting == 0

    virtual(1, main)


def test_a_lease_gives_its_slot_back_once_however_often_it_is_released() -> None:
    async def main(world: World) -> None:
        world.serve("a")
        first = world.path.try_acquire()
        assert first is not None
        assert world.path.try_acquire() is None
        first.release()
        second = world.path.try_acquire()
        first.release()
        assert second is not None
        assert world.path.try_acquire() is None

    virtual(1, main)


@pytest.mark.parametrize(
    ("own", "error"), [(None, QueueTimeout), (12.0, QueueTimeout), (10.0, ActivationTimeout)]
)
def test_a_request_queues_as_long_as_its_profile_lets_it_or_its_own_time_if_that_is_shorter(
    own: float | None, error: type[Exception]
) -> None:
    async def main(world: World) -> None:
        world.path.queue_seconds = 11.0 if own != 10.0 else 10.0
        for mode in (True, False):
            world.serve("a")
            world.path.set_proxy_mode(mode)
            held, start = await world.path.acquire(1), world.clock.monotonic_ns()
            with pytest.raises(error):
                await world.path.acquire(own)
            assert world.clock.monotonic_ns() - start == world.path.queue_seconds * 1e9
            assert (world.path.waiting, world.path.running) == (0, 1)
            held.release()

    virtual(1, main)


def test_a_request_that_waits_too_long_is_told_so_and_leaves_no_trace() -> None:
    async def main(world: World) -> None:
        start = world.clock.monotonic_ns()
        with pytest.raises(ActivationTimeout, match=r"no instance of default/r1 had room within 2\.5 s"):
            await world.path.acquire(2.5)
        assert world.clock.monotonic_ns() - start == 2_500_000_000
        reports = []
        for _ in range(3):
            reports.append(world.path.activator_report(world.clock.monotonic_ns()))
            await asyncio.sleep(1)
        assert reports == [ActivatorStat(0.0, 0.0), ActivatorStat(0.0, 0.0), None]
        world.serve("a")
        held = await world.path.acquire(1)
        with pytest.raises(ActivationTimeout):
            await world.path.acquire(1)
        assert (world.path.waiting, world.path.running) == (0, 1)
        held.release()
        assert world.path.running == 0

    virtual(1, main)


def test_in_serve_mode_ten_times_the_concurrency_wait_in_an_instance_and_the_next_is_refused() -> None:
    async def main(world: World) -> None:
        world.serve("a", "b")
        tasks = [world.ask() for _ in range(2 * 2 * 11)]
        await settle()
        assert (world.path.running, world.path.waiting) == (4, 40)
        with pytest.raises(QueueFull, match=r"^pending request queue full$"):
            await world.path.acquire(1)
        assert world.first == []
        for task in tasks:
            (await task).release()
        assert (world.path.running, world.path.waiting) == (0, 0)

    virtual(2, main)


def test_in_proxy_mode_more_wait_than_any_queue_of_an_instance_holds() -> None:
    async def main(world: World) -> None:
        world.endpoints("a")
        tasks = [world.ask() for _ in range(100)]
        for task in tasks:
            (await task).release()
        assert world.path.waiting == 0

    virtual(1, main)


def test_without_a_limit_everybody_runs_at_once() -> None:
    async def main(world: World) -> None:
        world.serve("a", "b")
        leases = [await world.path.acquire(1) for _ in range(500)]
        counts = Counter(lease.endpoint.name for lease in leases)
        assert abs(counts["a"] - counts["b"]) <= 1
        assert world.path.running == 500

    virtual(0, main)


def test_who_waits_for_an_instance_that_goes_away_moves_elsewhere_and_who_runs_there_finishes() -> None:
    async def main(world: World) -> None:
        world.serve("a", "b")
        running = [await world.path.acquire(None) for _ in range(2)]
        waiting = [world.ask() for _ in range(4)]
        await settle()
        world.endpoints("b")
        assert (world.path.running, world.path.waiting) == (2, 4)
        running[0].release()  # the slot in a
        await settle()
        assert names(waiting) == [None] * 4
        running[1].release()
        for done in asyncio.as_completed(waiting):
            lease = await done
            assert lease.endpoint.name == "b"
            lease.release()

    virtual(1, main)


def test_when_the_last_instance_goes_away_its_waiters_wait_for_the_next_and_wake_the_revision() -> None:
    async def main(world: World) -> None:
        world.serve("a")
        running = await world.path.acquire(None)
        waiting = world.ask()
        await settle()
        assert world.first == []
        world.endpoints()
        assert world.first == [FIRST_REQUEST]
        world.endpoints("c")
        await settle()
        assert names([waiting]) == ["c"]
        running.release()
        waiting.result().release()
        assert (world.path.running, world.path.waiting) == (0, 0)

    virtual(1, main)


def test_a_cancelled_request_is_not_moved_when_its_instance_goes_away() -> None:
    async def main(world: World) -> None:
        world.serve("a")
        await world.path.acquire(1)
        waiting = world.ask()
        await settle()
        waiting.cancel()
        world.endpoints()
        assert (world.first, world.path.waiting) == ([], 0)
        await settle()
        assert waiting.cancelled()

    virtual(1, main)


def test_a_failed_instance_is_not_used_until_the_endpoints_name_it_again() -> None:
    async def main(world: World) -> None:
        world.serve("a", "b")
        world.path.mark_failed("a")
        world.path.mark_failed("unknown")
        lease = await world.path.acquire(1)
        assert lease.endpoint.name == "b"
        assert world.path.try_acquire() is None
        world.endpoints("a", "b")
        again = world.path.try_acquire()
        assert again is not None
        assert again.endpoint.name == "a"

    virtual(1, main)


@pytest.mark.parametrize("proxy", [True, False])
def test_a_retry_avoids_the_instance_that_failed_unless_it_is_the_only_one(proxy: bool) -> None:
    async def main(world: World) -> None:
        world.serve("a", "b")
        world.path.set_proxy_mode(proxy)
        lease = await world.ask(1, exclude="a")
        assert lease.endpoint.name == "b"
        lease.release()
        world.endpoints("a")
        assert (await world.ask(1, exclude="a")).endpoint.name == "a"

    virtual(1, main)


def test_an_instance_that_comes_back_while_its_old_request_runs_still_counts_it() -> None:
    async def main(world: World) -> None:
        world.serve("a")
        lease = await world.path.acquire(1)
        world.endpoints()
        world.endpoints("a")
        assert world.path.try_acquire() is None
        lease.release()
        assert world.path.try_acquire() is not None

    virtual(1, main)


def test_in_proxy_mode_a_request_passes_by_an_instance_that_a_direct_one_occupies() -> None:
    async def main(world: World) -> None:
        world.serve("a", "b")
        direct = await world.path.acquire(1)
        world.path.set_proxy_mode(True)
        assert (await world.path.acquire(1)).endpoint.name == "b"
        waiting = world.ask()
        await settle()
        assert names([waiting]) == [None]
        direct.release()
        assert (await waiting).endpoint.name == "a"

    virtual(1, main)


def test_cancelling_just_after_the_slot_was_given_hands_it_on() -> None:
    async def main(world: World) -> None:
        for proxy in (True, False):
            world.serve("a")
            world.path.set_proxy_mode(proxy)
            held = await world.path.acquire(1)
            first, second, third = world.ask(), world.ask(), world.ask()
            await settle()
            first.cancel()  # before the slot is free, in the same turn of the loop
            held.release()
            second.cancel()  # after it was given the slot, before it could know
            lease = await third
            assert (first.cancelled(), second.cancelled()) == (True, True)
            lease.release()
            assert (world.path.running, world.path.waiting) == (0, 0)

    virtual(1, main)


def test_reports_tell_proxied_from_direct_requests_and_count_from_arrival() -> None:
    async def main(world: World) -> None:
        path, clock = world.path, world.clock
        started = clock.monotonic_ns()
        waiting = [world.ask(), world.ask()]
        await asyncio.sleep(1)
        assert path.activator_report(clock.monotonic_ns()) == ActivatorStat(1.0, 1.0)
        world.endpoints("a")
        await asyncio.sleep(1)
        (report,) = path.instance_reports(clock.monotonic_ns())
        assert (report.name, report.start_ns - started) == ("a", 1_000_000_000)
        assert (report.report.average_concurrency, report.report.average_proxied_concurrency) == (1.0, 1.0)
        for task in waiting:
            (await task).release()
        path.activator_report(clock.monotonic_ns())
        world.serve("a")
        held, queued = await path.acquire(1), world.ask()
        await asyncio.sleep(1)
        (report,) = path.instance_reports(clock.monotonic_ns())
        assert (report.report.average_concurrency, report.report.average_proxied_concurrency) == (2.0, 0.0)
        assert (report.report.request_count, report.report.proxied_request_count) == (3, 1)
        assert path.activator_report(clock.monotonic_ns()) == ActivatorStat(0.0, 0.0)
        held.release()
        world.endpoints()
        assert path.instance_reports(clock.monotonic_ns()) == []
        (await queued).release()

    virtual(1, main)


class Containers:
    """Counts who is inside each container; more than `limit` at once is what must never happen."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = Counter[str]()
        self.served = 0

    async def request(self, path: RevisionPath, rng: Random) -> None:
        exclude: frozenset[str] = frozenset()
        for _ in range(3):
            try:
                lease = path.try_acquire() or await path.acquire(rng.choice([None, 5.0, 40.0]), exclude)
            except (QueueFull, ActivationTimeout):
                return
            name = lease.endpoint.name
            if rng.random() < 0.1:  # refused before the first byte: try another one
                path.mark_failed(name)
                lease.release()
                exclude |= {name}
                continue
            self.inside[name] += 1
            assert self.inside[name] <= self.limit
            try:
                await asyncio.sleep(rng.random() * 3)
                self.served += 1
            finally:
                self.inside[name] -= 1
                lease.release()
            return


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 5]))
def test_a_container_never_sees_more_than_its_concurrency_whatever_happens(seed: int, limit: int) -> None:
    async def main(world: World) -> None:
        rng, containers, tasks = Random(seed), Containers(limit), list[asyncio.Task[None]]()
        for _ in range(120):
            tasks += [
                asyncio.create_task(containers.request(world.path, rng)) for _ in range(rng.randrange(4))
            ]
            await asyncio.sleep(rng.choice([0, 0, 0.1, 1]))
            event = rng.random()
            if event < 0.25:
                world.endpoints(*rng.sample("abcd", rng.randrange(5)))
            elif event < 0.4:
                world.path.set_proxy_mode(rng.random() < 0.5)
            elif event < 0.55 and tasks:
                rng.choice(tasks).cancel()
        world.endpoints(*"abcd")
        while not all(task.done() for task in tasks):  # what failed comes back, as after a re-probe
            world.endpoints(*"abcd")
            await asyncio.sleep(1)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        assert (world.path.running, world.path.waiting) == (0, 0)
        assert [
            instance.breaker.running for instance in world.path._instances.values() if instance.breaker
        ] == [0] * 4
        assert containers.served > 20
        world.path.instance_reports(world.clock.monotonic_ns())
        await asyncio.sleep(1)
        for report in world.path.instance_reports(world.clock.monotonic_ns()):
            assert report.report.average_concurrency == report.report.average_proxied_concurrency == 0

    virtual(limit, main)
