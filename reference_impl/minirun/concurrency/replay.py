"""Replays recorded traces of Knative's breaker and request statistics, and says where an answer differs."""

from collections.abc import Callable
from typing import Any

from minirun.concurrency.breaker import Admission, Breaker
from minirun.concurrency.stats import RequestStats
from minirun.model.clock import MILLISECOND_NS

Case = dict[str, Any]  # one line of a vector file: parsed JSON of many shapes


class _BreakerReplay:
    """Drives one breaker by request ids; where a trace names none, any running or waiting request will do."""

    def __init__(self, case: Case) -> None:
        self.breaker = Breaker(case["queueDepth"], case["maxConcurrency"], case["initialCapacity"])
        self.running: list[int] = []
        self.waiting: dict[int, Callable[[], None]] = {}
        self.started: list[int] = []
        self.unnamed = 0

    def start(self, request: int) -> None:
        self.waiting.pop(request, None)
        self.running.append(request)
        self.started.append(request)

    def apply(self, op: Case) -> str | None:
        """Do one operation; its result as the trace spells it, None if it has none."""
        name, request = op["op"], op.get("id")
        if name == "maybe":
            return self.maybe(request)
        if name == "finish":
            self.running.remove(self.running[0] if request is None else request)
            self.breaker.leave()
        elif name == "cancel":
            wake = self.waiting.pop(next(iter(self.waiting)) if request is None else request)
            self.breaker.cancel(wake)
        elif name == "update":
            self.breaker.resize(op.get("n", 0))
        elif name == "reserve":
            return "ok" if self.breaker.reserve() else "no"
        else:
            self.breaker.release()
        return None

    def maybe(self, request: int | None) -> str:
        if request is None:
            self.unnamed -= 1
        key = self.unnamed if request is None else request

        def wake() -> None:
            self.start(key)

        admission = self.breaker.enter(wake)
        if admission is Admission.RUN:
            self.start(key)
        elif admission is Admission.WAIT:
            self.waiting[key] = wake
        return admission.value


def replay_breaker(case: Case) -> tuple[int, list[str]]:
    """Replay one line of breaker.jsonl: (steps done, the difference that ended it, if any).

    After a difference the two are in different states, so the rest would say nothing.
    """
    replay = _BreakerReplay(case)
    for step, op in enumerate(case["ops"], 1):
        replay.started.clear()
        result, breaker = replay.apply(op), replay.breaker
        got: list[object] = [result, breaker.running, breaker.waiting, breaker.in_flight, breaker.capacity]
        want = [op.get(name) for name in ("res", "running", "waiting", "inFlight", "capacity")]
        if case["family"] != "mixed":  # there the identity of the woken depends on Go's scheduler
            got.append(sorted(replay.started))
            want.append(sorted(op.get("started", [])))
        if got != want:
            return step, [f"{case['id']} step {step} ({op['op']}): got {got}, want {want}"]
    return len(case["ops"]), []


def replay_reqstats(case: Case) -> tuple[int, list[str]]:
    """Replay one line of reqstats.jsonl: (steps done, one sentence for each difference)."""
    stats, differences = RequestStats(0), []
    for step, (name, milliseconds, *want) in enumerate(case["ops"], 1):
        now_ns = milliseconds * MILLISECOND_NS
        if name == "report":
            report = stats.report(now_ns)
            got = [report.average_concurrency, report.average_proxied_concurrency]
            got += [report.request_count, report.proxied_request_count]
            if got != want:
                differences.append(f"{case['id']} step {step} (report): got {got}, want {want}")
        else:
            count = stats.enter if name.endswith("in") else stats.leave
            count(now_ns, proxied=name.startswith("p"))
    return len(case["ops"]), differences
