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
    if ready is None or metrics is None:
        return NO_DECISION
    spec = decider.spec
    stable, panic = metrics
    pods = ready or 1  # rates are per pod, so at zero they count from one

    # What the load asks for. Rounded up: half a pod of load needs a pod.
    stable_need = ceil(stable / spec.target_value)
    panic_need = ceil(panic / spec.target_value)

    # A step up or down is bounded by a factor; an unreachable revision may fall to zero at once.
    most = min(ceil(spec.max_scale_up_rate * pods), INT32_MAX)
    least = floor(pods / spec.max_scale_down_rate) if spec.reachable else 0
    desired = min(max(stable_need, least), most)
    panic_desired = min(max(panic_need, least), most)

    # Whoever needs any pod at all gets this many; it comes after the rates and may exceed them.
    if spec.activation_scale > 1:
        if stable_need > 0:
            desired = max(desired, spec.activation_scale)
        if panic_need > 0:
            panic_desired = max(panic_desired, spec.activation_scale)

    # Panic starts, or starts anew, while the need is a multiple of what is there; it ends a window later.
    if panic_need / pods >= spec.panic_threshold:
        decider.panic_time_ns = now_ns
    elif decider.panic_time_ns is not None and decider.panic_time_ns + spec.stable_window_ns < now_ns:
        decider.panic_time_ns = None
        decider.max_panic_pods = 0

    # In panic the number of pods never falls.
    if decider.panic_time_ns is not None:
        desired = max(desired, panic_desired, decider.max_panic_pods)
        decider.max_panic_pods = desired

    # A fall is delayed by following the largest recent decision; nobody waits for an unreachable revision.
    if decider.delay_window is not None and spec.reachable:
        desired = decider.delay_window.record(now_ns, desired)

    return ScaleResult(desired, excess_burst_capacity(spec, ready, panic), True)


def excess_burst_capacity(spec: DeciderSpec, ready: int, panic: float) -> int:
    """What the ready pods could take beyond the present load and the burst to be ready for.

    Negative: a burst would find too few pods, so the activator must buffer. 0 if no burst capacity is asked
    for, -1 if it is unlimited.
    """
    burst = spec.target_burst_capacity
    if burst == 0:
        return 0
    if burst < 0:
        return -1
    excess = floor(ready * spec.total_value - burst - panic)
    return min(max(excess, -INT32_MAX - 1), INT32_MAX)
