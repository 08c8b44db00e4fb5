"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing is left to do now.

Code that waits through the running loop and reads time from the `Clock` it was handed runs here unchanged,
only without the waiting: an hour passes in milliseconds, and twice the same program is twice the same run.
Nothing outside the loop exists in this time: no sockets, no threads. Time is an integer number of
nanoseconds from zero, and asyncio's float seconds name each of them exactly for the first weeks. Counterpart:
the fake clock of Kubernetes' tests (k8s.io/utils/clock/testing), moved below the code, which need not know.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import NoReturn, TypeVar, TypeVarTuple

from minirun.model.clock import SECOND_NS

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH_NS = 1_767_225_600 * SECOND_NS
"""2026-01-01T00:00:00Z: the unix time at which virtual time starts unless told otherwise."""

_MIN_CANCELLED = 100  # below it, cleaning up costs more than it saves


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: in virtual time nothing can ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop; use it as `asyncio.Runner(loop_factory=VirtualLoop)`.

    Timers run in order of their time, and equal ones in the order in which they were set. Time does not move
    while anything is ready: code takes no time at all, only waiting does.

    Raises (from whatever runs it):
        DeadlockError: everybody waits and no timer is set.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[tuple[int, int, asyncio.TimerHandle]]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self._order = count().__next__
        self._cancelled = 0  # timers cancelled since the last clean-up

    def time(self) -> float:
        return self.now_ns / SECOND_NS

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._scheduled, (round(when * SECOND_NS), self._order(), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._cancelled += 1

    def _run_once(self) -> None:
        """Run what is ready; when nothing is, go to the next timer first."""
        ready, timers = self._ready, self._scheduled
        if self._cancelled > max(_MIN_CANCELLED, len(timers) // 2):
            timers[:] = [entry for entry in timers if not entry[2].cancelled()]
            heapify(timers)
            self._cancelled = 0
        if not (ready or self._stopping):
            self._jump()
        while timers and timers[0][0] <= self.now_ns:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _jump(self) -> None:
        timers = self._scheduled
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not timers:
            tasks = sorted(f"{task.get_name()} ({task.get_coro()!r})" for task in asyncio.all_tasks(self))
            raise DeadlockError(
                f"everybody waits and no timer is set at {self.time():.3f} s of virtual time; set a timer or "
                f"wake one of: {', '.join(tasks) or 'no task at all'}"
            )
        self.now_ns = max(self.now_ns, timers[0][0])

    def _write_to_self(self) -> None:
        """`call_soon_threadsafe` (a signal, say) has nobody to wake: this loop never blocks."""

    def run_in_executor(self, executor: object, func: Callable[[*Ts], object], *args: *Ts) -> NoReturn:
        raise RuntimeError(
            f"{func!r} was to run in a thread, which has no place in virtual time; call it on the loop itself"
        )


class VirtualClock:
    """`model.clock.Clock` that follows a `VirtualLoop`; `epoch_ns` is the unix time at which that starts."""

    def __init__(self, loop: VirtualLoop, epoch_ns: int = EPOCH_NS) -> None:
        self._loop = loop
        self._epoch_ns = epoch_ns

    def monotonic_ns(self) -> int:
        return self._loop.now_ns

    def unix_ns(self) -> int:
        return self._epoch_ns + self._loop.now_ns


def run_virtual(main: Callable[[VirtualClock], Coroutine[object, object, T]]) -> T:
    """What `main(clock)` returns, run to its end in a virtual time of its own that starts at zero."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(VirtualClock(loop)))
