"""The work queue: coalescing, retries, and room for requests in between."""

import asyncio
import logging

import pytest
from controlworld import World, new_world

from minirun.control.children import Key
from minirun.control.context import Context
from minirun.control.queue import WorkQueue, back_off_seconds
from minirun.simulation.loop import VirtualClock, run_virtual
from minirun.store.errors import ConflictError

A, B = Key("Thing", "ns", "a"), Key("Thing", "ns", "b")


class Script:
    """A reconciler that notes its calls and does what it is told."""

    def __init__(self, world: World) -> None:
        self.calls: list[tuple[str, float]] = []
        self.does: list[float | Exception | None] = []
        self.world = world
        self.queue = WorkQueue(world.ctx, {"Thing": self, "Urgent": self}, (("Urgent",),))

    def __call__(self, ctx: Context, namespace: str, name: str) -> float | None:
        self.calls.append((name, round(self.world.seconds(), 3)))
        step = self.does.pop(0) if self.does else None
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def names(self) -> str:
        return "".join(name for name, _ in self.calls)


def test_a_key_that_waits_is_added_once_and_others_keep_their_order() -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        for each in (A, B, A, A, B):
            script.queue.add(each)
        await script.queue.idle()
        assert script.names == "ab"

    run_virtual(scene)


def test_a_key_that_is_added_while_it_is_worked_on_is_worked_on_again() -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        original = Script.__call__

        def add_itself(ctx: Context, namespace: str, name: str) -> float | None:
            if not script.calls:
                script.queue.add(A)
            return original(script, ctx, namespace, name)

        script.queue = WorkQueue(script.world.ctx, {"Thing": add_itself})
        script.queue.add(A)
        await script.queue.idle()
        assert script.names == "aa"

    run_virtual(scene)


def test_urgent_keys_overtake() -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        for each in (A, B, Key("Urgent", "ns", "u")):
            script.queue.add(each)
        await script.queue.idle()
        assert script.names == "uab"

    run_virtual(scene)


def test_a_reconciler_says_when_to_come_back_and_the_earliest_wish_counts() -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        script.does = [10.0, 3.0]
        script.queue.add(A)
        await asyncio.sleep(1)
        script.queue.add(A)
        await asyncio.sleep(60)
        assert script.calls == [("a", 0.0), ("a", 1.0), ("a", 4.0)]
        script.does = [3.0, 10.0]
        script.queue.add(A)
        await asyncio.sleep(1)
        script.queue.add(A)
        await asyncio.sleep(60)
        assert script.calls[3:] == [("a", 61.0), ("a", 62.0), ("a", 64.0)]

    run_virtual(scene)


def test_a_failure_is_logged_and_tried_again_after_pauses_that_grow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        script.does = [ValueError("broken")] * 3
        script.queue.add(A)
        await asyncio.sleep(1)
        assert script.calls == [("a", 0.0), ("a", 0.005), ("a", 0.015), ("a", 0.035)]
        script.does = [ValueError("broken")]
        script.queue.add(A)
        await asyncio.sleep(1)
        assert script.calls[-1] == ("a", 1.005), "a success starts the pauses anew"

    with caplog.at_level(logging.ERROR, "minirun.control"):
        run_virtual(scene)
    assert len(caplog.records) == 4
    assert caplog.records[0].getMessage() == "Thing ns/a failed and is tried again in 0.005 s"
    assert caplog.records[0].exc_info is not None
    assert str(caplog.records[0].exc_info[1]) == "broken"


def test_pauses_end_at_half_a_minute() -> None:
    assert [back_off_seconds(n) for n in (1, 2, 3)] == [0.005, 0.01, 0.02]
    assert back_off_seconds(13) == 20.48
    assert back_off_seconds(14) == back_off_seconds(10_000) == 30.0


def test_a_conflict_is_tried_again_at_once_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        script.does = [ConflictError("old"), ConflictError("old")]
        script.queue.add(A)
        script.queue.add(B)
        await script.queue.idle()
        assert script.names == "abab"
        assert {at for _, at in script.calls} == {0.0}

    with caplog.at_level(logging.DEBUG, "minirun.control"):
        run_virtual(scene)
    assert caplog.records == []


def test_requests_are_served_between_any_two_items() -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        order: list[str] = []

        def note(ctx: Context, namespace: str, name: str) -> float | None:
            order.append(name)
            return None

        script.queue = WorkQueue(script.world.ctx, {"Thing": note})
        for number in range(100):
            script.queue.add(Key("Thing", "ns", str(number)))
        for _ in range(50):
            await asyncio.sleep(0)
            order.append("request")
        await script.queue.idle()
        assert order.index("request") < 3
        assert order[:20].count("request") >= 8

    run_virtual(scene)


def test_a_closed_queue_works_on_nothing() -> None:
    async def scene(clock: VirtualClock) -> None:
        script = Script(new_world(clock))
        script.queue.add(A)
        script.queue.add_after(B, 1)
        script.queue.close()
        script.queue.add(B)
        await script.queue.idle()
        await asyncio.sleep(5)
        assert script.calls == []

    run_virtual(scene)
