"""The virtual loop keeps asyncio's promises, without the waiting."""

import asyncio
import time
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.clock import MILLISECOND_NS, SECOND_NS
from minirun.simulation.loop import EPOCH_NS, DeadlockError, VirtualClock, VirtualLoop, run_virtual


def test_an_hour_passes_in_milliseconds() -> None:
    async def main(clock: VirtualClock) -> int:
        for _ in range(60):
            await asyncio.sleep(60)
        return clock.monotonic_ns()

    began = time.perf_counter()
    assert run_virtual(main) == 3600 * SECOND_NS
    assert time.perf_counter() - began < 1


def test_time_stands_still_while_anything_is_ready() -> None:
    async def main(clock: VirtualClock) -> list[int]:
        seen = []
        for _ in range(100):
            await asyncio.sleep(0)
            seen.append(clock.monotonic_ns())
        return seen

    assert set(run_virtual(main)) == {0}


@given(st.lists(st.integers(0, 20), max_size=60))
def test_timers_run_in_order_of_time_and_equal_ones_first_in_first_out(delays: list[int]) -> None:
    async def main(clock: VirtualClock) -> list[tuple[int, int]]:
        ran: list[tuple[int, int]] = []

        def note(number: int) -> None:
            ran.append((clock.monotonic_ns(), number))

        loop = asyncio.get_running_loop()
        for number, delay in enumerate(delays):
            loop.call_later(delay / 10, note, number)
        await asyncio.sleep(3)
        return ran

    expected = sorted((delay * 100 * MILLISECOND_NS, number) for number, delay in enumerate(delays))
    assert run_virtual(main) == expected


def test_nanoseconds_do_not_drift_over_a_day() -> None:
    async def main(clock: VirtualClock) -> int:
        for _ in range(86_400):
            await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        loop.call_at(loop.time() + 0.000_000_001, done.set)
        await done.wait()
        return clock.monotonic_ns()

    assert run_virtual(main) == 8_640 * SECOND_NS + 1


@given(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), max_size=400))
def test_cancelled_timers_never_run_and_the_others_all_do(timers: list[tuple[int, bool]]) -> None:
    async def main(clock: VirtualClock) -> list[int]:
        ran: list[int] = []
        loop = asyncio.get_running_loop()
        handles = [loop.call_later(delay, ran.append, n) for n, (delay, _) in enumerate(timers)]
        for handle, (_, cancel) in zip(handles, timers, strict=True):
            if cancel:
                handle.cancel()
        await asyncio.sleep(1001)
        return ran

    kept = [(delay, n) for n, (delay, cancel) in enumerate(timers) if not cancel]
    assert run_virtual(main) == [n for _, n in sorted(kept)]


def test_timers_cancelled_long_before_their_time_do_not_pile_up() -> None:
    async def main(clock: VirtualClock) -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        for _ in range(10_000):
            loop.call_later(300, print).cancel()
            await asyncio.sleep(0.001)
        return len(loop._scheduled)

    assert run_virtual(main) < 300


def test_wait_for_times_out_at_its_deadline_and_not_before() -> None:
    async def main(clock: VirtualClock) -> list[int]:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), 60)
        late = clock.monotonic_ns()
        async with asyncio.timeout(10):
            assert await asyncio.wait_for(asyncio.sleep(9, "in time"), 9.5) == "in time"
        return [late, clock.monotonic_ns()]

    assert run_virtual(main) == [60 * SECOND_NS, 69 * SECOND_NS]


def test_queues_locks_events_gather_and_shield_work() -> None:
    async def main(clock: VirtualClock) -> list[str]:
        queue: asyncio.Queue[str] = asyncio.Queue(1)
        lock, opened = asyncio.Lock(), asyncio.Event()
        heard: list[str] = []

        async def say(name: str, seconds: float) -> None:
            await opened.wait()
            async with lock:
                await asyncio.sleep(seconds)
                await queue.put(name)

        async def listen() -> None:
            while len(heard) < 2:
                heard.append(f"{await queue.get()} at {clock.monotonic_ns() // SECOND_NS}")

        shielded = asyncio.create_task(say("shielded", 2))
        outer = asyncio.shield(shielded)
        asyncio.get_running_loop().call_later(5, opened.set)
        talk = asyncio.gather(say("slow", 3), listen())
        await asyncio.sleep(1)
        outer.cancel()
        await talk
        return heard

    assert run_virtual(main) == ["shielded at 7", "slow at 10"]


def test_threads_and_executors_are_refused() -> None:
    async def main(clock: VirtualClock) -> None:
        await asyncio.to_thread(sum, [1, 2])

    with pytest.raises(RuntimeError, match="no place in virtual time"):
        run_virtual(main)


def test_a_deadlock_is_an_error_that_names_who_waits() -> None:
    async def starve(clock: VirtualClock) -> None:
        await asyncio.sleep(2)
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match=r"at 2\.000 s of virtual time.*starve"):
        run_virtual(starve)


def test_a_deadlock_still_runs_the_finally_blocks() -> None:
    cleaned: list[str] = []

    async def main(clock: VirtualClock) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(1)
            cleaned.append("yes")

    with pytest.raises(DeadlockError):
        run_virtual(main)
    assert cleaned == ["yes"]


def test_exceptions_come_out_of_the_run() -> None:
    async def main(clock: VirtualClock) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1000))
            group.create_task(fail())

    async def fail() -> None:
        await asyncio.sleep(1)
        raise LookupError

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main)
    assert caught.group_contains(LookupError)


def test_a_closed_loop_takes_no_timers() -> None:
    loop = VirtualLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)


def test_both_readings_of_the_clock_follow_the_loop() -> None:
    async def main(clock: VirtualClock) -> tuple[int, int, float]:
        await asyncio.sleep(1.5)
        return clock.monotonic_ns(), clock.unix_ns(), asyncio.get_running_loop().time()

    assert run_virtual(main) == (1_500_000_000, EPOCH_NS + 1_500_000_000, 1.5)


def test_the_same_program_is_the_same_run() -> None:
    async def main(clock: VirtualClock) -> list[tuple[int, int]]:
        rng, log = Random(7), []
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def worker() -> None:
            while True:
                job = await queue.get()
                await asyncio.sleep(rng.expovariate(10))
                log.append((clock.monotonic_ns(), job))

        workers = [asyncio.create_task(worker()) for _ in range(5)]
        for job in range(300):
            await asyncio.sleep(rng.expovariate(40))
            queue.put_nowait(job)
        await asyncio.sleep(60)
        for task in workers:
            task.cancel()
        return log

    first = run_virtual(main)
    assert len(first) == 300
    assert run_virtual(main) == first


@pytest.mark.parametrize("factory", [VirtualLoop, asyncio.SelectorEventLoop])
def test_it_orders_callbacks_as_the_usual_loop_does(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> list[str]:
        log: list[str] = []
        loop = asyncio.get_running_loop()

        async def step(name: str) -> None:
            log.append(f"{name} 1")
            await asyncio.sleep(0)
            log.append(f"{name} 2")

        loop.call_soon(log.append, "soon")
        loop.call_later(0, log.append, "later")
        await asyncio.gather(step("a"), step("b"))
        loop.call_soon_threadsafe(log.append, "threadsafe")
        await asyncio.sleep(0)
        return log

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) == ["soon", "a 1", "b 1", "later", "a 2", "b 2", "threadsafe"]
