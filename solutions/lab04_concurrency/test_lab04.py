"""Lab 04's public checks: the breaker, the statistics, and Knative's recorded answers."""

from typing import Any

import pytest

from minilab.part import Part
from minilab.recorded import cases

INVARIANT = {
    1: "invariant 1: never more than `capacity` slots are taken by what was started since it was set",
    2: "invariant 2: never more than queue_depth + max_concurrency are in flight",
    3: "invariant 3: who has waited longest is started first, and nobody waits beside a free slot",
    4: "invariant 4: a reservation never waits, and is not running",
    5: "invariant 5: the average is over time: the area under the concurrency, divided by the seconds",
    6: "invariant 6: a report begins anew, and the requests that run go on",
}
SMALL = {"queueDepth": 2, "maxConcurrency": 2, "initialCapacity": 2}


def results(
    part: Part, case: dict[str, Any], expected: list[tuple[Any, list[int], list[int]]], because: str
) -> None:
    """Each operation's result, whom it started, and [running, waiting, in flight] after it."""
    answers = [dict(zip(("result", "started", "counts"), each, strict=True)) for each in expected]
    part.gives("door", case, answers, because)


@pytest.mark.task("4.1")
def test_run_wait_full(part: Part) -> None:
    """The first run, the next wait, the rest are refused."""
    case = {**SMALL, "ops": [["enter", n] for n in range(1, 6)]}
    expected = [
        ("run", [1], [1, 0, 1]),
        ("run", [2], [2, 0, 2]),
        ("wait", [], [2, 1, 3]),
        ("wait", [], [2, 2, 4]),
        ("full", [], [2, 2, 4]),
    ]
    results(part, case, expected, INVARIANT[2])


@pytest.mark.task("4.1")
def test_first_come(part: Part) -> None:
    """A slot that becomes free goes to the one that has waited longest."""
    case = {**SMALL, "ops": [*(["enter", n] for n in range(1, 5)), ["leave"], ["leave"]]}
    expected = [
        ("run", [1], [1, 0, 1]),
        ("run", [2], [2, 0, 2]),
        ("wait", [], [2, 1, 3]),
        ("wait", [], [2, 2, 4]),
        (None, [3], [2, 1, 3]),
        (None, [4], [2, 0, 2]),
    ]
    results(part, case, expected, INVARIANT[3])


@pytest.mark.task("4.1")
def test_cancel(part: Part) -> None:
    """Who gives up is passed over, and makes room for another."""
    case = {**SMALL, "ops": [*(["enter", n] for n in range(1, 5)), ["cancel", 3], ["enter", 5], ["leave"]]}
    expected = [
        ("run", [1], [1, 0, 1]),
        ("run", [2], [2, 0, 2]),
        ("wait", [], [2, 1, 3]),
        ("wait", [], [2, 2, 4]),
        (None, [], [2, 1, 3]),
        ("wait", [], [2, 2, 4]),
        (None, [4], [2, 1, 3]),
    ]
    results(part, case, expected, INVARIANT[3])


@pytest.mark.task("4.1")
def test_enter_from_within(part: Part) -> None:
    """A request that enters in the moment that another is woken finds the slot taken."""
    case = {"queueDepth": 3, "maxConcurrency": 1, "initialCapacity": 1}
    ops = [["enter", 1], ["enter", 2, 3], ["leave"], ["leave"]]
    expected = [
        ("run", [1], [1, 0, 1]),
        ("wait", [], [1, 1, 2]),
        (None, [2], [1, 1, 2]),
        (None, [3], [1, 0, 1]),
    ]
    results(part, {**case, "ops": ops}, expected, INVARIANT[1])


@pytest.mark.task("4.1")
def test_resize(part: Part) -> None:
    """A larger capacity starts those who wait at once; a smaller one interrupts nobody."""
    ops = [*(["enter", n] for n in range(1, 5)), ["resize", 1], ["leave"], ["leave"], ["resize", 2]]
    expected = [
        ("run", [1], [1, 0, 1]),
        ("run", [2], [2, 0, 2]),
        ("wait", [], [2, 1, 3]),
        ("wait", [], [2, 2, 4]),
        (None, [], [2, 2, 4]),
        (None, [], [1, 2, 3]),
        (None, [3], [1, 1, 2]),
        (None, [4], [2, 0, 2]),
    ]
    results(part, {**SMALL, "ops": ops}, expected, INVARIANT[1])


@pytest.mark.task("4.1")
def test_reserve(part: Part) -> None:
    """A reservation takes a free slot or nothing, and gives way to who waits."""
    ops = [["reserve"], ["reserve"], ["reserve"], ["enter", 1], ["release"], ["leave"], ["release"]]
    expected = [
        (True, [], [0, 0, 1]),
        (True, [], [0, 0, 2]),
        (False, [], [0, 0, 2]),
        ("wait", [], [0, 1, 3]),
        (None, [1], [1, 0, 2]),
        (None, [], [0, 0, 1]),
        (None, [], [0, 0, 0]),
    ]
    results(part, {**SMALL, "ops": ops}, expected, INVARIANT[4])


NAMES = {"maybe": "enter", "finish": "leave", "update": "resize"}


@pytest.mark.task("4.1")
@pytest.mark.parametrize("family", ["grow-only", "queue-proxy"])
def test_recorded_breakers(part: Part, family: str) -> None:
    """Admissions are those of Knative's breaker, request by request."""
    for case in cases("breaker", lambda case: case["family"] == family):
        ops, answers = [], []
        for op in case["ops"]:
            name = NAMES.get(op["op"], op["op"])
            number = [op.get("n", 0)] if name == "resize" else [op["id"]] if "id" in op else []
            ops.append([name, *number])
            result = op.get("res")
            result = {"ok": True, "no": False}.get(result, result)
            counts = [op["running"], op["waiting"], op["inFlight"]]
            answers.append({"result": result, "started": op.get("started", []), "counts": counts})
        given = {key: case[key] for key in ("queueDepth", "maxConcurrency", "initialCapacity")}
        part.gives("door", {**given, "ops": ops}, answers, "Knative's own breaker did so")


@pytest.mark.task("4.2")
def test_area(part: Part) -> None:
    """Two requests for half of the time are one on average."""
    ops = [["in", 0], ["in", 0], ["out", 500], ["out", 500], ["report", 1000]]
    part.gives("report", {"ops": ops}, [None] * 4 + [[1.0, 0.0, 2, 0]], INVARIANT[5])


@pytest.mark.task("4.2")
def test_still_running(part: Part) -> None:
    """A request that runs through a report is in both, and is counted once."""
    ops = [["in", 0], ["report", 1000], ["out", 1500], ["report", 2000], ["report", 3000]]
    answers = [None, [1.0, 0.0, 1, 0], None, [0.5, 0.0, 0, 0], [0.0, 0.0, 0, 0]]
    part.gives("report", {"ops": ops}, answers, INVARIANT[6])


@pytest.mark.task("4.2")
def test_proxied(part: Part) -> None:
    """A request that came by an activator is in both averages and both counts."""
    ops = [["pin", 0], ["in", 500], ["pout", 1000], ["report", 1000]]
    part.gives("report", {"ops": ops}, [None] * 3 + [[1.5, 1.0, 2, 1]], INVARIANT[5])


@pytest.mark.task("4.2")
def test_past(part: Part) -> None:
    """An event that is stamped in the past counts, and moves no clock."""
    ops = [["in", 1000], ["in", 500], ["report", 2000], ["report", 2000]]
    part.gives("report", {"ops": ops}, [None, None, [1.0, 0.0, 2, 0], [0.0, 0.0, 0, 0]], INVARIANT[5])


@pytest.mark.task("4.2")
def test_recorded_reports(part: Part) -> None:
    """Reports are what Knative's statistics answered, to the last digit."""
    for case in cases("reqstats", lambda case: True):
        ops = [op[:2] for op in case["ops"]]
        answers = [[float(op[2]), float(op[3]), *op[4:]] if op[0] == "report" else None for op in case["ops"]]
        part.gives("report", {"ops": ops}, answers, "Knative's own statistics said so")
