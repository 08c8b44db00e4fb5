"""Time is a dependency: everything that needs it is handed one `Clock`.

Two readings, because they answer two questions: `monotonic_ns` is for durations and statistics and never
jumps; `unix_ns` is for timestamps and for the autoscaler's windows, whose grid is absolute unix time. All
*waiting* goes through the running event loop. Under `simulation.VirtualLoop` both readings follow its time.
"""

import time
from typing import Protocol

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000


class Clock(Protocol):
    """What is asked for the time."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; only differences mean something."""
        ...

    def unix_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; never smaller than an earlier answer of the same clock."""
        ...


class SystemClock:
    """The machine's own time.

    `unix_ns` is the wall clock read once and carried forward by the monotonic clock, so that a step of the
    wall clock (NTP, a user) never runs backwards through the windows: Knative's delay window can panic there.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def unix_ns(self) -> int:
        return time.monotonic_ns() + self._offset_ns
