"""Lab 06: capacity, the activator's throttler, and the way to zero.

Each drive imports what it drives when it is called: a module that is broken costs its own tasks only.
"""

from functools import partial
from random import Random
from typing import Any  # cases are JSON of many shapes

from minirun.model.clock import SECOND_NS


def share(case: dict[str, int]) -> int:
    """How many requests one activator may let through: {concurrency, trackers, backends, activators}."""
    from minirun.activation.capacity import revision_capacity

    return revision_capacity(case["concurrency"], case["trackers"], case["backends"], case["activators"])


def mine(case: dict[str, int]) -> list[int]:
    """Which of the instances 0, 1, ... are one activator's: {instances, index, activators}."""
    from minirun.activation.capacity import assign_trackers

    return list(assign_trackers(range(case["instances"]), case["index"], case["activators"]))


def hold(case: dict[str, Any]) -> list[dict[str, Any]]:
    """A throttler with one activator: {concurrency, ops: [[name, ...]]}.

    ["request", id, avoid...] asks for a slot, ["finish", id] and ["cancel", id] end one, ["pods", names...]
    sets the instances, ["busy", name] takes a slot of one for a request that did not come this way, and
    ["free", name] gives it back. The answer to each: [request, instance] of those that were started by it,
    and how many wait.
    """
    from minirun.activation.policies import Tracker, policy_for
    from minirun.activation.throttler import RevisionThrottler

    limit = case["concurrency"]
    throttler = RevisionThrottler[Tracker](limit, policy_for(limit, Random(0)))
    pods: dict[str, Tracker] = {}
    running: dict[int, Tracker] = {}
    wakes: dict[int, Any] = {}
    started: list[list[Any]] = []

    def start(request: int, tracker: Tracker) -> None:
        wakes.pop(request, None)
        running[request] = tracker
        started.append([request, tracker.name])

    answers = []
    for name, *values in case["ops"]:
        started.clear()
        if name == "request":
            wake = partial(start, values[0])
            tracker = throttler.enter(wake, frozenset(values[1:]))
            if tracker is None:
                wakes[values[0]] = wake
            else:
                wake(tracker)
        elif name == "finish":
            throttler.leave(running.pop(values[0]))
        elif name == "cancel":
            throttler.cancel(wakes.pop(values[0]))
        elif name == "pods":
            pods = {pod: pods.get(pod) or Tracker(pod, limit) for pod in values}
            throttler.set_trackers(list(pods.values()))
        elif name == "busy":
            pods[values[0]].reserve()
        else:
            pods[values[0]].release()
            throttler.retry()
        answers.append({"started": list(started), "waiting": throttler.waiting})
    return answers


def zero(case: dict[str, Any]) -> dict[str, Any]:
    """One step on the way to zero: {policy, seen}; times are seconds in both, and in the answer."""
    from minirun.autoscaling.lifecycle import ScaleInput, scale_to_zero
    from minirun.autoscaling.spec import ScalePolicy

    policy = ScalePolicy(**_in_ns(case.get("policy", {})))
    seen = {"desired": 0, "replicas": 1, "initialized": True, "sks_mode": "Proxy", "probe_ok": True}
    seen |= {"active_status": "True", "active_age": 0, "proxy_for": 0, **case["seen"]}
    came = scale_to_zero(policy, ScaleInput(**_in_ns(seen)))
    later = came.requeue_after_ns
    return {
        "want": came.want,
        "replicas": came.replicas,
        "again": None if later is None else later / SECOND_NS,
        "probed": came.probed,
        "probe_again": came.probe_again,
    }


def scaled(case: dict[str, Any]) -> dict[str, Any]:
    """One scaling as Knative's recorded cases have it: the part that the way to zero decides."""
    from minirun.autoscaling.replay import replay_scaler

    _, came, _ = next(iter(replay_scaler({"in": case, "out": {}})))
    return {name: came[name] for name in ("scale", "patched", "enqueueAfter", "probed", "asyncProbe")}


TIMES = ("active_age", "proxy_for", "grace_period", "stable_window", "retention", "activation_timeout")


def _in_ns(values: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{k}_ns" if k in TIMES else k: round(v * SECOND_NS) if k in TIMES else v for k, v in values.items()
    }
