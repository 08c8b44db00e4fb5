"""One timer for all deadlines of a connection: it is moved only if it would ring too late.

Setting a timer for each request and taking it back costs more than letting one ring early now and then.
Counterpart: Go's connection deadlines, whose timers the runtime moves lazily as well.
"""

import asyncio
from collections.abc import Callable

from minirun.model.clock import SECOND_NS, Clock

NEVER_NS = 2**63
UNSET_NS = NEVER_NS + 1


class Alarm:
    """Calls `expired(now_ns)` when `deadline_ns()` has passed; times are monotonic nanoseconds.

    Args:
        rest_ns: it rings no later than this after it was set; so whoever waits that long from a later moment
            need not set it.
    """

    def __init__(
        self, clock: Clock, rest_ns: int, deadline_ns: Callable[[], int], expired: Callable[[int], None]
    ) -> None:
        self._clock = clock
        self._rest_ns = rest_ns
        self._deadline_ns = deadline_ns
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._due_ns = UNSET_NS

    def set(self, deadline_ns: int, now_ns: int) -> None:
        """Make sure that it rings by `deadline_ns`."""
        if self._due_ns <= deadline_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_ns = min(deadline_ns, now_ns + self._rest_ns)
        delay = max(0, self._due_ns - now_ns) / SECOND_NS
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def cancel(self) -> None:
        """Never ring again, unless it is set again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer, self._due_ns = None, UNSET_NS
        now_ns, deadline_ns = self._clock.monotonic_ns(), self._deadline_ns()
        if now_ns < deadline_ns:
            self.set(deadline_ns, now_ns)
        else:
            self._expired(now_ns)
