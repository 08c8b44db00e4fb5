"""Replays recorded answers of Knative's activator (throttler.jsonl), and says where an answer differs."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from minirun.activation.capacity import assign_trackers, revision_capacity
from minirun.activation.policies import Tracker, policy_for
from minirun.activation.subset import choose_subset
from minirun.activation.throttler import RevisionThrottler

Case = dict[str, Any]  # one line of a vector file: parsed JSON of many shapes


class _ThrottlerReplay:
    """Drives one throttler by request ids."""

    def __init__(self, case: Case) -> None:
        concurrency = case["cc"]
        self.concurrency: int = concurrency
        self.throttler = RevisionThrottler[Tracker](
            concurrency, policy_for(concurrency, Random(case["seed"]))
        )
        self.trackers: dict[str, Tracker] = {}
        self.running: dict[str, Tracker] = {}
        self.waiting: dict[str, Callable[[Tracker], None]] = {}
        self.started: dict[str, Tracker] = {}

    def start(self, request: str, tracker: Tracker) -> None:
        self.waiting.pop(request, None)
        self.running[request] = self.started[request] = tracker

    def request(self, request: str) -> str:
        def wake(tracker: Tracker) -> None:
            self.start(request, tracker)

        tracker = self.throttler.enter(wake)
        if tracker is None:
            self.waiting[request] = wake
            return "wait"
        self.start(request, tracker)
        return "run"

    def apply(self, op: Case) -> str | None:
        """Do one operation; its result as the trace spells it, None if it has none."""
        name, request = op["op"], str(op.get("id"))
        if name == "request":
            return self.request(request)
        if name == "finish":
            self.throttler.leave(self.running.pop(request))
        elif name == "cancel":
            self.throttler.cancel(self.waiting.pop(request))
        elif name == "activators":
            self.throttler.set_activators(op["numActivators"], op.get("activatorIndex", 0))
        else:
            known, pods = self.trackers, op.get("pods", [])
            self.trackers = {pod: known.get(pod) or Tracker(pod, self.concurrency) for pod in pods}
            self.throttler.set_trackers(list(self.trackers.values()))
        return None

    def adopt(self, started: list[tuple[str, str]]) -> None:
        """Give what started together the instances that the trace gave it: their order is free."""
        by_name = {tracker.name: tracker for tracker in self.started.values()}
        for request, name in started:
            if name in by_name:
                self.running[request] = by_name[name]

    def observe(self, result: str | None) -> tuple[object, ...]:
        """What the trace records after each operation."""
        spell = (lambda name: name) if self.concurrency else (lambda name: "*")
        running = Counter(spell(tracker.name) for tracker in self.running.values())
        started = Counter(spell(tracker.name) for tracker in self.started.values())
        throttler = self.throttler
        assigned = len(throttler.assigned)
        return result, throttler.capacity, running, throttler.waiting, assigned, set(self.started), started


def _replay_trace(case: Case) -> tuple[int, list[str]]:
    """After a difference the two are in different states, so the rest would say nothing."""
    replay = _ThrottlerReplay(case)
    for step, op in enumerate(case["ops"], 1):
        replay.started.clear()
        got = replay.observe(replay.apply(op))
        started = op.get("started", [])
        ids, names = {str(request) for request, _ in started}, Counter(name for _, name in started)
        want = (op.get("res"), op["capacity"], op["running"], op["waiting"], op["assigned"], ids, names)
        if got != want:
            return step, [f"{case['id']} step {step} ({op['op']}): got {got}, want {want}"]
        replay.adopt(started)
    return len(case["ops"]), []


def replay_throttler(case: Case) -> tuple[int, list[str]]:
    """Replay one line of throttler.jsonl: (steps done, one sentence for each difference)."""
    kind = case["kind"]
    if kind == "throttler":
        return _replay_trace(case)
    got: object
    if kind == "capacity":
        got = revision_capacity(case["cc"], case["trackers"], case["backends"], case["activators"])
    elif kind == "assign":
        got = assign_trackers(range(case["n"]), case["self"], case["activators"])
    else:
        got = choose_subset(case["from"], case["n"], case["target"])
    given = {name: value for name, value in case.items() if name not in {"kind", "want"}}
    return 1, [] if got == case["want"] else [f"{kind} of {given}: got {got}, want {case['want']}"]
