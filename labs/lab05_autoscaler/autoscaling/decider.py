# Your part of minirun, lab 5. `lab check 5` says how far it is.
"""How many pods a revision should have: the decision, every two seconds.

Two averages, over a stable and a short panic window, are divided by what one pod should carry. The stable one
rules; when the short one asks for a multiple of what is there, the decider panics: for a whole stable window
it follows the larger of both and never goes down. The counterpart in Knative is
pkg/autoscaler/scaling/autoscaler.go. Minimum, maximum and scale to zero are not decided here (see
`lifecycle.py`).
"""

from math import ceil, floor
from typing import NamedTuple

from minirun.autoscaling.settings import INT32_MAX
from minirun.autoscaling.spec import DeciderSpec
from minirun.autoscaling.windows import MaxWindow
from minirun.model.clock import SECOND_NS

TICK_NS = 2 * SECOND_NS


class ScaleResult(NamedTuple):
    """A decision: pods wanted, and the load that the ready pods could take beyond a burst."""

    desired: int
    excess_burst_capacity: int
    valid: bool


NO_DECISION = ScaleResult(0, 0, False)


class Decider:
    """What a decider remembers from one decision to the next.

    A decider that starts over more than one ready pod starts in panic: after a restart of the autoscaler,
    with empty windows, this keeps the fleet. The delay window is made once; later specs do not change it.
    """

    __slots__ = ("delay_window", "max_panic_pods", "panic_time_ns", "spec")

    def __init__(self, spec: DeciderSpec, now_ns: int, ready: int | None) -> None:
        self.spec = spec
        self.max_panic_pods = ready or 0
        self.panic_time_ns: int | None = now_ns if self.max_panic_pods > 1 else None
        delay_ns = spec.scale_down_delay_ns
        self.delay_window = MaxWindow(delay_ns, TICK_NS) if delay_ns > 0 else None


def scale(
    decider: Decider, now_ns: int, ready: int | None, metrics: tuple[float, float] | None
) -> ScaleResult:
    """Decide on the number of pods, and note in `decider` what the next decision has to know.

    now_ns: unix time. ready: pods that are ready, None if that can't be told. metrics: the averages of the
    stable and of the panic window, None without data. Without either there is no decision and nothing is
    noted.
    """
    # TODO(you): about 40 lines
    raise NotImplementedError("task 5.4")


def excess_burst_capacity(spec: DeciderSpec, ready: int, panic: float) -> int:
    """What the ready pods could take beyond the present load and the burst to be ready for.

    Negative: a burst would find too few pods, so the activator must buffer. 0 if no burst capacity is asked
    for, -1 if it is unlimited.
    """
    # TODO(you): about 7 lines
    raise NotImplementedError("task 5.3")
