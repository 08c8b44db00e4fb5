"""Replays recorded answers of Knative's activator (throttler.jsonl); see `minirun.replay`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from random import Random
from typing import Any  # a case is one line of a vector file: parsed JSON of many shapes

from minirun.activation.capacity import assign_trackers, revision_capacity
from minirun.activation.policies import Tracker, policy_for
from minirun.activation.subset import choose_subset
from minirun.activation.throttler import RevisionThrottler, Wake

Case = Mapping[str, Any]
Steps = Iterator[tuple[object, Case, Case]]  # given, came, expected


def replay_decision(case: Case) -> Steps:
    """A revision's capacity, an assignment of trackers or a choice of activators."""
    came: object
    if case["kind"] == "capacity":
        came = revision_capacity(case["cc"], case["trackers"], case["backends"], case["activators"])
    elif case["kind"] == "assign":
        came = assign_trackers(range(case["n"]), case["self"], case["activators"])
    else:
        came = choose_subset(case["from"], case["n"], case["target"])
    given = {name: value for name, value in case.items() if name not in {"kind", "want"}}
    yield given, {"want": came}, case


def replay_throttler(case: Case) -> Steps:
    """A revision's requests at one activator, operation by operation."""
    limit = case["cc"]
    throttler = RevisionThrottler[Tracker](limit, policy_for(limit, Random(case["seed"])))
    trackers: dict[str, Tracker] = {}
    running: dict[str, Tracker] = {}
    waiting: dict[str, Wake[Tracker]] = {}
    started: dict[str, Tracker] = {}

    def start(request: str, tracker: Tracker) -> None:
        waiting.pop(request, None)
        running[request] = started[request] = tracker

    def names(requests: dict[str, Tracker]) -> Counter[str]:
        return Counter(tracker.name if limit else "*" for tracker in requests.values())

    for op in case["ops"]:
        started.clear()
        result = None
        name, request = op["op"], str(op.get("id"))
        if name == "request":
            wake = partial(start, request)
            tracker = throttler.enter(wake)
            if tracker is None:
                waiting[request] = wake
            else:
                wake(tracker)
            result = "wait" if tracker is None else "run"
        elif name == "finish":
            throttler.leave(running.pop(request))
        elif name == "cancel":
            throttler.cancel(waiting.pop(request))
        elif name == "activators":
            throttler.set_activators(op["numActivators"], op.get("activatorIndex", 0))
        else:
            trackers = {pod: trackers.get(pod) or Tracker(pod, limit) for pod in op.get("pods", [])}
            throttler.set_trackers(list(trackers.values()))
        came: dict[str, object] = {"res": result, "capacity": throttler.capacity, "running": names(running)}
        came |= {"waiting": throttler.waiting, "assigned": len(throttler.assigned)}
        came |= {"started": set(started), "on": names(started)}
        pairs = op.get("started", [])
        expected = {"started": {str(request) for request, _ in pairs}, "on": Counter(pod for _, pod in pairs)}
        yield name, came, {**op, **expected}
        # Which of those that started together got which instance is free: go on as the trace did.
        by_name = {tracker.name: tracker for tracker in started.values()}
        running |= {str(request): by_name[pod] for request, pod in pairs if pod in by_name}
