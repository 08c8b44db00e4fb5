"""Lab 04: the breaker and the request statistics, driven operation by operation.

Each drive imports what it drives when it is called: a module that is broken costs its own tasks only.
"""

from typing import Any  # cases are JSON of many shapes

from minirun.model.clock import MILLISECOND_NS


def door(case: dict[str, Any]) -> list[dict[str, Any]]:
    """A breaker: {queueDepth, maxConcurrency, initialCapacity, ops: [[name, number?]]}.

    "enter" and "cancel" name a request; a second one after "enter" is a request that enters in the moment
    that the first is woken. "resize" has the new capacity; "leave", "reserve" and "release" have nothing. The
    answer to each: what came of it, which requests were started by it, and the counts after it.
    """
    from minirun.concurrency.breaker import RUN, WAIT, Breaker

    breaker = Breaker(case["queueDepth"], case["maxConcurrency"], case["initialCapacity"])
    wakes: dict[int, Any] = {}
    started: list[int] = []
    answers = []

    def enter(number: int, next_in: int | None = None) -> str:
        def wake() -> None:
            started.append(number)
            if next_in is not None:
                enter(next_in)

        admission = breaker.enter(wake)
        if admission is RUN:
            started.append(number)
        elif admission is WAIT:
            wakes[number] = wake
        return str(admission.value)

    for name, *numbers in case["ops"]:
        started.clear()
        result: object = None
        if name == "enter":
            result = enter(*numbers)
        elif name == "leave":
            breaker.leave()
        elif name == "cancel":
            breaker.cancel(wakes.pop(numbers[0]))
        elif name == "resize":
            breaker.resize(numbers[0])
        elif name == "reserve":
            result = breaker.reserve()
        else:
            breaker.release()
        counts = [breaker.running, breaker.waiting, breaker.in_flight]
        answers.append({"result": result, "started": list(started), "counts": counts})
    return answers


def report(case: dict[str, Any]) -> list[list[Any] | None]:
    """Request statistics: {ops: [[name, milliseconds]]}; what each "report" answers, None for the others.

    "in" and "out" are a request's arrival and end, "pin" and "pout" those of one that came by an activator. A
    report is [average concurrency, that of proxied requests, requests, proxied requests].
    """
    from minirun.concurrency.stats import RequestStats

    stats = RequestStats(0)
    answers: list[list[Any] | None] = []
    for name, milliseconds in case["ops"]:
        if name == "report":
            answers.append(list(stats.report(milliseconds * MILLISECOND_NS)))
            continue
        count_request = stats.enter if name.endswith("in") else stats.leave
        count_request(milliseconds * MILLISECOND_NS, proxied=name.startswith("p"))
        answers.append(None)
    return answers
