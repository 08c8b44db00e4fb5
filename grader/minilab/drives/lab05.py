"""Lab 05: windows and deciders, each driven alone."""

from typing import Any  # cases are JSON of many shapes

from minirun.autoscaling.decider import Decider, excess_burst_capacity, scale
from minirun.autoscaling.replay import recorded_spec, to_ns
from minirun.autoscaling.windows import LinearWindow, MaxWindow


class Peaks(MaxWindow):
    """The largest value of a window, the slow way: a decider is driven without a learner's own."""

    __slots__ = ("_seen", "_step_ns", "_window_ns")

    def __init__(self, window_ns: int, granularity_ns: int) -> None:
        self._window_ns, self._step_ns = window_ns, granularity_ns
        self._seen: list[tuple[int, int]] = []

    def record(self, now_ns: int, value: int) -> int:
        bucket, size = now_ns // self._step_ns, -(-self._window_ns // self._step_ns)
        self._seen = [each for each in (*self._seen, (bucket, value)) if bucket - each[0] < size]
        return max(each for _, each in self._seen)


def average(case: dict[str, Any]) -> list[float | None]:
    """A linear window: {window, granularity, t0, ops}.

    An operation is ["r", t, value], which records and answers nothing, or ["a", t], which answers the
    average. Times are seconds, `t` from `t0`.
    """
    window, t0 = LinearWindow(to_ns(case["window"]), to_ns(case["granularity"])), to_ns(case["t0"])
    answers: list[float | None] = []
    for op, t, *values in case["ops"]:
        if op == "r":
            window.record(t0 + to_ns(t), values[0])
        answers.append(window.average(t0 + to_ns(t)) if op == "a" else None)
    return answers


def largest(case: dict[str, Any]) -> list[int]:
    """A max window: {window, granularity, t0, ops: [[t, value]]}; the maximum after each."""
    window, t0 = MaxWindow(to_ns(case["window"]), to_ns(case["granularity"])), to_ns(case["t0"])
    return [window.record(t0 + to_ns(t), value) for t, value in case["ops"]]


def burst(case: dict[str, Any]) -> list[int]:
    """Excess burst capacity for each of steps: {spec, steps: [[ready, panic]]}."""
    spec = recorded_spec(case["spec"])
    return [excess_burst_capacity(spec, ready, panic) for ready, panic in case["steps"]]


def decide(case: dict[str, Any]) -> list[dict[str, Any]]:
    """A decider, step by step: {spec, t0, initReady, steps: [{t, ready, stable, panic, spec?}]}.

    `ready` None: the pods can't be counted; `stable` None: there is no data. The answer is the decision,
    whether it is valid, whether it is panic, and the highest decision of the panic.
    """
    spec, t0 = recorded_spec(case["spec"]), to_ns(case["t0"])
    decider = Decider(spec, t0, case["initReady"]) if not spec.scale_down_delay_ns else _delayed(case, t0)
    answers = []
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


def _delayed(case: dict[str, Any], t0: int) -> Decider:
    """A decider with a delay, whose window is not the learner's."""
    spec = recorded_spec(case["spec"])
    decider = Decider(recorded_spec({**case["spec"], "scaleDownDelay": 0}), t0, case["initReady"])
    decider.spec, decider.delay_window = spec, Peaks(spec.scale_down_delay_ns, 2 * to_ns(1))
    return decider
