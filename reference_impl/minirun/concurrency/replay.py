"""Replays recorded traces of Knative's breaker and request statistics; see `minirun.replay`."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any  # a case is one line of a vector file: parsed JSON of many shapes

from minirun.concurrency.breaker import RUN, WAIT, Breaker, Wake
from minirun.concurrency.stats import RequestStats
from minirun.model.clock import MILLISECOND_NS

Case = Mapping[str, Any]
Steps = Iterator[tuple[object, Case, Case]]  # given, came, expected


def replay_breaker(case: Case) -> Steps:
    """One line of breaker.jsonl. Where it names no request, any that runs or waits will do."""
    breaker = Breaker(case["queueDepth"], case["maxConcurrency"], case["initialCapacity"])
    running: list[int] = []
    waiting: dict[int, Wake] = {}
    started: list[int] = []
    unnamed = count(-1, -1)

    def start(request: int) -> None:
        waiting.pop(request, None)
        running.append(request)
        started.append(request)

    for op in case["ops"]:
        started.clear()
        result = None
        name, request = op["op"], op.get("id")
        if name == "maybe":
            request = next(unnamed) if request is None else request
            wake = partial(start, request)
            admission = breaker.enter(wake)
            if admission is RUN:
                wake()
            elif admission is WAIT:
                waiting[request] = wake
            result = admission.value
        elif name == "finish":
            running.remove(running[0] if request is None else request)
            breaker.leave()
        elif name == "cancel":
            breaker.cancel(waiting.pop(next(iter(waiting)) if request is None else request))
        elif name == "update":
            breaker.resize(op.get("n", 0))
        elif name == "reserve":
            result = "ok" if breaker.reserve() else "no"
        else:
            breaker.release()
        came: dict[str, object] = {"res": result, "running": breaker.running, "waiting": breaker.waiting}
        came |= {"inFlight": breaker.in_flight, "capacity": breaker.capacity}
        if case["family"] != "mixed":  # there the identity of the woken depends on Go's scheduler
            came["started"] = sorted(started)
        yield name, came, {**op, "started": sorted(op.get("started", []))}


def replay_reqstats(case: Case) -> Steps:
    """One line of reqstats.jsonl."""
    stats = RequestStats(0)
    for name, milliseconds, *expected in case["ops"]:
        came = []
        if name == "report":
            report = stats.report(milliseconds * MILLISECOND_NS)
            came = [report.average_concurrency, report.average_proxied_concurrency]
            came += [report.request_count, report.proxied_request_count]
        else:
            count_request = stats.enter if name.endswith("in") else stats.leave
            count_request(milliseconds * MILLISECOND_NS, proxied=name.startswith("p"))
        yield name, {"report": came}, {"report": expected}
