"""Lab 05: windows and deciders, driven as Knative's recorded cases drive them."""

from typing import Any  # cases are JSON of many shapes

from minirun.autoscaling.replay import replay_scale, replay_windows


def window(case: dict[str, Any]) -> list[Any]:
    """A window of kind linear, weighted or max, operation by operation.

    case: {kind, window, granularity, t0, ops}; an operation is [name, t, value?]: "r" records, "a" is the
    average, "e" whether it is empty, "max" records and answers the largest. Times are seconds.
    """
    ops = [[*op, None] for op in case["ops"]]
    return [came for _, came, _ in replay_windows({**case, "ops": ops})]


def decide(case: dict[str, Any]) -> list[Any]:
    """A decider, step by step: {spec, t0, initReady, steps: [{t, ready, stable, panic}]}."""
    return [came for _, came, _ in replay_scale(case)]
