# Made by `lab build` from solutions/lab06_from_zero/test_lab06.py; edit that, not this.
"""Lab 06's public checks: capacity, the throttler, the way to zero, and Knative's recorded answers."""

from itertools import islice
from typing import Any

import pytest

from minilab.part import Part
from minilab.recorded import cases

INVARIANT = {
    1: "invariant 1: all activators together let through what the instances can take, and each at least one",
    2: "invariant 2: no request is started without a slot of an instance",
    3: "invariant 3: who has waited longest is served first, at both doors",
    4: "invariant 4: whatever ends or gives up, gives back all that it had",
    5: "invariant 5: the last instance goes only when the activator certainly gets the requests",
    6: "invariant 6: a revision becomes inactive first, and empty later",
}
NO_LIMIT = 2**31 - 1


@pytest.mark.task("6.1")
@pytest.mark.parametrize(
    ("concurrency", "trackers", "backends", "activators", "capacity"),
    [
        (10, 3, 9, 3, 30),
        (10, 0, 3, 2, 15),
        (1, 0, 3, 8, 1),
        (10, 0, 0, 2, 0),
        (0, 0, 2, 5, NO_LIMIT),
        (0, 0, 0, 5, 0),
        (2**30, 4, 4, 1, NO_LIMIT),
    ],
    ids=[
        "own instances",
        "a part of all",
        "at least one",
        "nothing",
        "no limit",
        "no limit of nothing",
        "bounded",
    ],
)
def test_capacity(
    part: Part, concurrency: int, trackers: int, backends: int, activators: int, capacity: int
) -> None:
    """What one activator may let through."""
    case = {"concurrency": concurrency, "trackers": trackers, "backends": backends, "activators": activators}
    part.gives("share", case, capacity, INVARIANT[1])


@pytest.mark.task("6.1")
@pytest.mark.parametrize(
    ("instances", "index", "activators", "own"),
    [
        (6, 0, 3, [0, 1]),
        (6, 2, 3, [4, 5]),
        (7, 0, 3, [0, 1, 6]),
        (7, 1, 3, [2, 3]),
        (2, 3, 5, [1]),
        (5, -1, 3, [0, 1, 2, 3, 4]),
        (1, 2, 3, [0]),
    ],
    ids=["first", "last", "with the rest", "without", "shared", "unknown", "only one"],
)
def test_own_part(part: Part, instances: int, index: int, activators: int, own: list[int]) -> None:
    """Which instances are one activator's own."""
    part.gives("mine", {"instances": instances, "index": index, "activators": activators}, own, INVARIANT[1])


@pytest.mark.task("6.1")
def test_recorded_shares(part: Part) -> None:
    """Shares are what Knative's activator computed."""
    for case in cases("throttler", lambda case: case["kind"] in ("capacity", "assign")):
        if case["kind"] == "capacity":
            given = {
                "concurrency": case["cc"],
                **{k: case[k] for k in ("trackers", "backends", "activators")},
            }
            part.gives("share", given, case["want"], INVARIANT[1])
        else:
            given = {"instances": case["n"], "index": case["self"], "activators": case["activators"]}
            part.gives("mine", given, case["want"], INVARIANT[1])


def expect(part: Part, concurrency: int, steps: list[tuple[list[Any], list[Any], int]], because: str) -> None:
    """Operations, each with the [request, instance] that it starts and how many wait after it."""
    ops, answers = [step[0] for step in steps], [{"started": step[1], "waiting": step[2]} for step in steps]
    part.gives("hold", {"concurrency": concurrency, "ops": ops}, answers, because)


@pytest.mark.task("6.2")
def test_from_zero(part: Part) -> None:
    """Requests wait while there is no instance, and start in their order when one comes."""
    steps = [
        (["request", 1], [], 1),
        (["request", 2], [], 2),
        (["request", 3], [], 3),
        (["pods", "a"], [[1, "a"], [2, "a"]], 1),
        (["finish", 1], [[3, "a"]], 0),
    ]
    expect(part, 2, steps, INVARIANT[3])


@pytest.mark.task("6.2")
def test_no_slot_no_start(part: Part) -> None:
    """Who is through the first door and finds every instance busy waits between the doors, and is next."""
    steps = [
        (["pods", "a"], [], 0),
        (["busy", "a"], [], 0),
        (["request", 1], [], 1),
        (["request", 2], [], 2),
        (["free", "a"], [[1, "a"]], 1),
        (["finish", 1], [[2, "a"]], 0),
    ]
    expect(part, 1, steps, INVARIANT[2])


@pytest.mark.task("6.2")
def test_order_between_the_doors(part: Part) -> None:
    """Between the doors, too, who has waited longest is served first."""
    steps = [
        (["pods", "a", "b"], [], 0),
        (["busy", "a"], [], 0),
        (["busy", "b"], [], 0),
        (["request", 1], [], 1),
        (["request", 2], [], 2),
        (["request", 3], [], 3),
        (["free", "b"], [[1, "b"]], 2),
        (["free", "a"], [[2, "a"]], 1),
    ]
    expect(part, 1, steps, INVARIANT[3])


@pytest.mark.task("6.2")
def test_end(part: Part) -> None:
    """An end serves who waits between the doors, though nobody waits before the first."""
    steps = [
        (["pods", "a", "b"], [], 0),
        (["busy", "a"], [], 0),
        (["request", 1], [[1, "b"]], 0),
        (["request", 2], [], 1),
        (["finish", 1], [[2, "b"]], 0),
    ]
    expect(part, 1, steps, INVARIANT[4])


@pytest.mark.task("6.2")
def test_give_up(part: Part) -> None:
    """Who gives up, before or between the doors, leaves nothing behind."""
    steps = [
        (["request", 1], [], 1),
        (["cancel", 1], [], 0),
        (["pods", "a"], [], 0),
        (["busy", "a"], [], 0),
        (["request", 2], [], 1),
        (["cancel", 2], [], 0),
        (["request", 3], [], 1),
        (["free", "a"], [[3, "a"]], 0),
        (["finish", 3], [], 0),
        (["request", 4], [[4, "a"]], 0),
    ]
    expect(part, 1, steps, INVARIANT[4])


@pytest.mark.task("6.2")
def test_avoid(part: Part) -> None:
    """An instance to avoid is avoided, as long as there is another."""
    steps = [
        (["pods", "a", "b"], [], 0),
        (["request", 1, "a"], [[1, "b"]], 0),
        (["request", 2], [[2, "a"]], 0),
        (["finish", 1], [], 0),
        (["request", 3, "a", "b"], [[3, "b"]], 0),
    ]
    expect(part, 1, steps, INVARIANT[2])


NAMES = {"request": "request", "finish": "finish", "cancel": "cancel", "pods": "pods"}


@pytest.mark.task("6.2")
def test_recorded_throttlers(part: Part) -> None:
    """Requests start and wait as at Knative's activator, instance by instance."""
    for case in cases("throttler", lambda case: case.get("family") == "first-available"):
        ops, answers = [], []
        for op in case["ops"]:
            ops.append([op["op"], *(op.get("pods", []) if op["op"] == "pods" else [op["id"]])])
            answers.append(
                {
                    "started": [[int(request), pod] for request, pod in op.get("started", [])],
                    "waiting": op["waiting"],
                }
            )
        sent = {"concurrency": case["cc"], "ops": ops}
        part.holds("hold", sent, lambda came, a=answers: wrong(came, a), "what Knative's did", INVARIANT[3])


def wrong(came: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    """What differs from a recorded trace, where the order of those that started together is free."""
    for number, (one, two) in enumerate(zip(came, expected, strict=True), 1):
        if sorted(r for r, _ in one["started"]) != sorted(r for r, _ in two["started"]):
            return f"step {number} started {one['started']} and not {two['started']}"
        if one["waiting"] != two["waiting"]:
            return f"after step {number} {one['waiting']} wait and not {two['waiting']}"
    return ""


def outcome(
    want: int, replicas: int | None = None, again: float | None = None, **more: bool
) -> dict[str, Any]:
    base = {"want": want, "replicas": replicas, "again": again, "probed": False, "probe_again": False}
    return base | more


@pytest.mark.task("6.3")
@pytest.mark.parametrize(
    ("policy", "seen", "expected", "because"),
    [
        ({"enable_scale_to_zero": False}, {}, outcome(1, 1), INVARIANT[6]),
        ({}, {"active_status": "Unknown", "active_age": 10}, outcome(-1, None, 630.0), INVARIANT[6]),
        ({}, {"active_status": "Unknown", "active_age": 631}, outcome(0, 0), INVARIANT[6]),
        ({}, {"active_age": 20}, outcome(1, 1, 40.0), INVARIANT[6]),
        ({}, {"active_age": 60, "sks_mode": "Serve"}, outcome(0), INVARIANT[6]),
        ({}, {"active_age": 60}, outcome(0, None, 3.0), INVARIANT[6]),
    ],
    ids=[
        "not allowed",
        "activating",
        "never ready",
        "idle for a while",
        "idle for long",
        "idle, and buffered",
    ],
)
def test_active(
    part: Part, policy: dict[str, Any], seen: dict[str, Any], expected: Any, because: str
) -> None:
    """What happens to a revision that is not inactive yet."""
    part.gives("zero", {"policy": policy, "seen": seen}, expected, because)


@pytest.mark.task("6.3")
@pytest.mark.parametrize(
    ("policy", "seen", "expected"),
    [
        ({}, {"active_age": 5, "probe_ok": False}, outcome(0, probed=True, probe_again=True)),
        ({}, {"active_age": 5, "proxy_for": 5}, outcome(0, None, 25.0, probed=True)),
        ({}, {"active_age": 31, "proxy_for": 31}, outcome(0, 0, probed=True)),
        ({"retention": 90}, {"active_age": 31, "proxy_for": 31}, outcome(0, None, 59.0, probed=True)),
        ({"always_buffered": True}, {"active_age": 31, "probe_ok": False}, outcome(0, 0)),
    ],
    ids=["no activator yet", "grace", "gone", "retention", "always buffered"],
)
def test_inactive(part: Part, policy: dict[str, Any], seen: dict[str, Any], expected: Any) -> None:
    """What happens to the last instance of a revision that is inactive."""
    case = {"policy": policy, "seen": {"active_status": "False", **seen}}
    part.gives("zero", case, expected, INVARIANT[5])


@pytest.mark.task("6.3")
def test_recorded_scalings(part: Part) -> None:
    """Scalings are those of Knative's scaler."""
    wanted = cases("kpa", lambda case: case["kind"] == "scale" and case["in"]["desired"] == 0)
    for case in islice(wanted, 80):
        names = ("scale", "patched", "enqueueAfter", "probed", "asyncProbe")
        expected = {name: case["out"][name] for name in names}
        expected["enqueueAfter"] = [float(seconds) for seconds in expected["enqueueAfter"]]
        part.gives("scaled", case["in"], expected, INVARIANT[5])
