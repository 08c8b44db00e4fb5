"""Lab 05: windows and deciders, each driven alone.

Each drive imports what it drives when it is called: a module that is broken costs its own tasks only.
"""

from typing import TYPE_CHECKING, Any, cast  # Any: cases are JSON of many shapes

from minirun.model.clock import MILLISECOND_NS

if TYPE_CHECKING:
    from minirun.autoscaling.decider import Decider
    from minirun.autoscaling.windows import MaxWindow


def to_ns(seconds: float) -> int:
    """Seconds, which are whole milliseconds, in nanoseconds."""
    return round(seconds * 1000) * MILLISECOND_NS


class Peaks:
    """Remembers the largest value for ever: a decider is driven without a learner's own window."""

    def __init__(self) -> None:
        self._largest = 0

    def record(self, now_ns: int, value: int) -> int:
        self._largest = max(self._largest, value)
        return self._largest


def average(case: dict[str, Any]) -> list[float | None]:
    """A linear window: {window, granularity, t0, ops}.

    An operation is ["r", t, value], which records and answers nothing, or ["a", t], which answers the
    average. Times are seconds, `t` from `t0`.
    """
    from minirun.autoscaling.windows import LinearWindow

    window, t0 = LinearWindow(to_ns(case["window"]), to_ns(case["granularity"])), to_ns(case["t0"])
    answers: list[float | None] = []
    for op, t, *values in case["ops"]:
        if op == "r":
            window.record(t0 + to_ns(t), values[0])
        answers.append(window.average(t0 + to_ns(t)) if op == "a" else None)
    return answers


def largest(case: dict[str, Any]) -> list[int]:
    """A max window: {window, granularity, t0, ops: [[t, value]]}; the maximum after each."""
    from minirun.autoscaling.windows import MaxWindow

    window, t0 = MaxWindow(to_ns(case["window"]), to_ns(case["granularity"])), to_ns(case["t0"])
    return [window.record(t0 + to_ns(t), value) for t, value in case["ops"]]


def burst(case: dict[str, Any]) -> list[int]:
    """Excess burst capacity for each of steps: {spec, steps: [[ready, panic]]}."""
    from minirun.autoscaling.decider import excess_burst_capacity
    from minirun.autoscaling.replay import recorded_spec

    spec = recorded_spec(case["spec"])
    return [excess_burst_capacity(spec, ready, panic) for ready, panic in case["steps"]]


def decide(case: dict[str, Any]) -> list[dict[str, Any]]:
    """A decider, step by step: {spec, t0, initReady, steps: [{t, ready, stable, panic, spec?}]}.

    `ready` None: the pods can't be counted; `stable` None: there is no data. The answer is the decision,
    whether it is valid, whether it is panic, and the highest decision of the panic.
    """
    from minirun.autoscaling.decider import scale
    from minirun.autoscaling.replay import recorded_spec

    decider, t0, answers = _decider(case), to_ns(case["t0"]), []
    for step in case["steps"]:
        if "spec" in step:
            decider.spec = recorded_spec(step["spec"])
        metrics = None if step["stable"] is None else (step["stable"], step["panic"])
        came = scale(decider, t0 + to_ns(step["t"]), step["ready"], metrics)
        in_panic = decider.panic_time_ns is not None
        answers.append(
            {
                "desired": came.desired,
                "valid": came.valid,
                "panic": in_panic,
                "most": decider.max_panic_pods,
            }
        )
    return answers


def decisions(case: dict[str, Any]) -> list[int]:
    """The numbers of pods that `decide` comes to."""
    return [answer["desired"] for answer in decide(case)]


def _decider(case: dict[str, Any]) -> "Decider":
    """The decider of a case; if it has a delay, its window is not the learner's."""
    from minirun.autoscaling.decider import Decider
    from minirun.autoscaling.replay import recorded_spec

    decider = Decider(
        recorded_spec({**case["spec"], "scaleDownDelay": 0}), to_ns(case["t0"]), case["initReady"]
    )
    decider.spec = recorded_spec(case["spec"])
    if decider.spec.scale_down_delay_ns:
        decider.delay_window = cast("MaxWindow", Peaks())
    return decider
