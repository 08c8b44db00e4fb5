# Made by `lab build` from solutions/lab05_autoscaler/test_lab05.py; edit that, not this.
"""Lab 05's public checks: windows, burst capacity, the decision, and Knative's recorded decisions."""

from itertools import islice
from typing import Any

import pytest

from minilab.part import Part
from minilab.recorded import cases

INVARIANT = {
    1: "invariant 1: an average is taken over the seconds that can hold data",
    2: "invariant 2: a second without a sample counts as zero",
    3: "invariant 3: the delay follows the largest decision that is younger than the window",
    4: "invariant 4: needs are rounded up, room is rounded down",
    5: "invariant 5: one step is bounded by a factor of the ready pods",
    6: "invariant 6: in panic the number of pods never falls",
    7: "invariant 7: without data there is no decision, and nothing is noted",
}
T0 = 946684800
WINDOW = {"window": 10, "granularity": 1, "t0": T0}
SPEC = {"targetValue": 10, "totalValue": 10, "targetBurstCapacity": 0}


def steps(*values: tuple[int, int | None, float | None, float | None]) -> list[dict[str, Any]]:
    """Steps of (t, ready, stable, panic)."""
    return [dict(zip(("t", "ready", "stable", "panic"), each, strict=True)) for each in values]


def expect(part: Part, case: dict[str, Any], desired: list[int], because: str) -> None:
    """The decisions of a case, and nothing else of its answers."""
    part.gives("decisions", case, desired, because)


@pytest.mark.task("5.1")
def test_young(part: Part) -> None:
    """A young window is divided by its age, not by its length."""
    ops = [["r", 0, 6.0], ["a", 0], ["r", 1, 3.0], ["a", 1]]
    part.gives("average", {**WINDOW, "ops": ops}, [None, 6.0, None, 4.5], INVARIANT[1])


@pytest.mark.task("5.1")
def test_gap(part: Part) -> None:
    """A second without a sample counts as zero."""
    ops = [["r", 0, 6.0], ["r", 2, 3.0], ["a", 2]]
    part.gives("average", {**WINDOW, "ops": ops}, [None, None, 3.0], INVARIANT[2])


@pytest.mark.task("5.1")
def test_stale(part: Part) -> None:
    """Seconds after the newest sample shrink the window, and take the oldest samples with them."""
    ops = [["r", n, 1.0 + n] for n in range(10)]
    asked = [["a", 9], ["a", 12], ["a", 19]]
    answers = [5.5, 7.0, 0.0]
    part.gives("average", {**WINDOW, "ops": [*ops, *asked]}, [*[None] * 10, *answers], INVARIANT[1])


@pytest.mark.task("5.1")
def test_rounded(part: Part) -> None:
    """An average has six decimals."""
    ops = [["r", 0, 1.0], ["r", 1, 0.0], ["r", 2, 0.0], ["a", 2]]
    part.gives("average", {**WINDOW, "ops": ops}, [None, None, None, 0.333333], INVARIANT[1])


@pytest.mark.task("5.1")
@pytest.mark.parametrize("family", ["regular", "gaps", "late"])
def test_recorded_averages(part: Part, family: str) -> None:
    """Averages are what Knative's window answered, to the last digit."""
    wanted = cases("windows", lambda case: case["kind"] == "linear" and case["family"] == family)
    for case in wanted:
        kept = [op for op in case["ops"] if op[0] in "ra"]
        ops = [op if op[0] == "r" else op[:2] for op in kept]
        answers = [None if op[0] == "r" else float(op[2]) for op in kept]
        given = {key: case[key] for key in ("window", "granularity", "t0")}
        part.gives("average", {**given, "ops": ops}, answers, INVARIANT[1])


@pytest.mark.task("5.2")
def test_peak_is_kept(part: Part) -> None:
    """A peak is answered until it is a window old."""
    ops = [[0, 9], [2, 4], [4, 5], [9, 1], [10, 1], [12, 1], [14, 1]]
    answers = [9, 9, 9, 9, 5, 5, 1]
    part.gives("largest", {"window": 10, "granularity": 2, "t0": T0, "ops": ops}, answers, INVARIANT[3])


@pytest.mark.task("5.2")
def test_same_bucket(part: Part) -> None:
    """Of several values in one bucket the largest counts."""
    ops = [[0, 3], [1, 7], [1.5, 2], [2, 1]]
    part.gives("largest", {"window": 4, "granularity": 2, "t0": T0, "ops": ops}, [3, 7, 7, 7], INVARIANT[3])


@pytest.mark.task("5.2")
def test_recorded_peaks(part: Part) -> None:
    """Peaks are what Knative's window answered."""
    for case in cases("windows", lambda case: case["kind"] == "max"):
        given = {key: case[key] for key in ("window", "granularity", "t0")}
        ops, answers = [[t, value] for _, t, value, _ in case["ops"]], [op[3] for op in case["ops"]]
        part.gives("largest", {**given, "ops": ops}, answers, INVARIANT[3])


@pytest.mark.task("5.3")
def test_room(part: Part) -> None:
    """What the pods can take, less the burst, less the load; rounded down."""
    spec = {"targetBurstCapacity": 200, "totalValue": 100}
    case = {"spec": spec, "steps": [[3, 40.0], [3, 40.5], [2, 0.0], [0, 0.5]]}
    part.gives("burst", case, [60, 59, 0, -201], INVARIANT[4])


@pytest.mark.task("5.3")
@pytest.mark.parametrize(("asked", "answer"), [(0, 0), (-1, -1)], ids=["none", "unlimited"])
def test_special_bursts(part: Part, asked: int, answer: int) -> None:
    """No burst capacity is 0; unlimited is -1, whatever the load."""
    case = {"spec": {"targetBurstCapacity": asked, "totalValue": 100}, "steps": [[5, 10.0], [0, 900.0]]}
    part.gives("burst", case, [answer, answer], INVARIANT[4])


@pytest.mark.task("5.4")
def test_need(part: Part) -> None:
    """Half a pod of load needs a pod."""
    given = steps((0, 1, 1.0, 1.0), (2, 1, 10.0, 10.0), (4, 1, 10.5, 10.5))
    expect(part, {"spec": SPEC, "t0": T0, "initReady": 1, "steps": given}, [1, 1, 2], INVARIANT[4])


@pytest.mark.task("5.4")
def test_rates(part: Part) -> None:
    """A step up is bounded by one factor and a step down by another, counted from the ready pods."""
    spec = {**SPEC, "maxScaleUpRate": 3, "maxScaleDownRate": 2, "panicThreshold": 1000}
    given = steps((0, 2, 900.0, 900.0), (2, 9, 5.0, 5.0), (4, 0, 900.0, 900.0))
    expect(part, {"spec": spec, "t0": T0, "initReady": 1, "steps": given}, [6, 4, 3], INVARIANT[5])


@pytest.mark.task("5.4")
def test_unreachable(part: Part) -> None:
    """A revision that nobody can reach falls to zero at once."""
    given = steps((0, 8, 0.0, 0.0))
    case = {"spec": {**SPEC, "reachable": False}, "t0": T0, "initReady": 1, "steps": given}
    expect(part, case, [0], INVARIANT[5])


@pytest.mark.task("5.4")
def test_panic(part: Part) -> None:
    """A burst starts panic, and in panic the number of pods never falls."""
    given = steps((0, 2, 10.0, 60.0), (2, 6, 12.0, 30.0), (4, 6, 12.0, 5.0))
    answers = [
        {"desired": 6, "valid": True, "panic": True, "most": 6},
        {"desired": 6, "valid": True, "panic": True, "most": 6},
        {"desired": 6, "valid": True, "panic": True, "most": 6},
    ]
    part.gives("decide", {"spec": SPEC, "t0": T0, "initReady": 1, "steps": given}, answers, INVARIANT[6])


@pytest.mark.task("5.4")
def test_panic_ends(part: Part) -> None:
    """Panic ends when a stable window has passed since the load last asked for it."""
    given = steps((0, 2, 10.0, 60.0), (60, 6, 10.0, 5.0), (61, 6, 10.0, 5.0))
    expect(part, {"spec": SPEC, "t0": T0, "initReady": 1, "steps": given}, [6, 6, 3], INVARIANT[6])


@pytest.mark.task("5.4")
def test_no_data(part: Part) -> None:
    """Without data, or without the pods' number, there is no decision."""
    given = steps((0, 3, None, None), (2, None, 10.0, 10.0), (4, 1, 10.0, 10.0))
    nothing = {"desired": 0, "valid": False, "panic": False, "most": 1}
    answers = [nothing, nothing, {"desired": 1, "valid": True, "panic": False, "most": 1}]
    part.gives("decide", {"spec": SPEC, "t0": T0, "initReady": 1, "steps": given}, answers, INVARIANT[7])


@pytest.mark.task("5.4")
def test_activation_scale(part: Part) -> None:
    """Whoever needs a pod at all gets as many as the activation scale says, and zero stays zero."""
    given = steps((0, 0, 1.0, 0.0), (2, 1, 0.0, 0.0))
    spec = {**SPEC, "activationScale": 5, "panicThreshold": 1000}
    expect(part, {"spec": spec, "t0": T0, "initReady": 1, "steps": given}, [5, 0], INVARIANT[5])


@pytest.mark.task("5.4")
def test_delay(part: Part) -> None:
    """A fall is delayed by following the largest recent decision."""
    spec = {**SPEC, "scaleDownDelay": 10, "panicThreshold": 1000}
    given = steps((0, 4, 40.0, 40.0), (2, 4, 20.0, 20.0), (8, 4, 20.0, 20.0))
    expect(part, {"spec": spec, "t0": T0, "initReady": 1, "steps": given}, [4, 4, 4], INVARIANT[3])


FAMILIES = (
    "steady", "ramp", "burst-panic", "scale-to-zero", "from-zero", "max-up-rate", "max-down-rate",
    "activation-scale", "no-data", "restart", "unreachable", "rps",
)  # fmt: skip
NO_PODS, NO_DATA = ("pods",), ("nodata", "notcollecting", "metric")


@pytest.mark.task("5.4")
@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_decisions(part: Part, family: str) -> None:
    """Decisions are those that Knative's autoscaler took."""
    for case in islice(cases("scale", lambda case: case["family"] == family), 2):
        given, answers = [], []
        for step in case["steps"]:
            error = step.get("err")
            ready = None if error in NO_PODS else 0 if error == "podsnotfound" else step["ready"]
            measured = (None, None) if error in NO_DATA else (step["stable"], step["panic"])
            spec = {"spec": step["spec"]} if "spec" in step else {}
            given.append({"t": step["t"], "ready": ready, "stable": measured[0], "panic": measured[1]} | spec)
            answers.append({"desired": step["desired"], "valid": step["valid"]})
            answers[-1] |= {"panic": bool(step["pm"]), "most": step["mp"]}
        ready_before = None if case.get("initErr") else case["initReady"]
        sent = {"spec": case["spec"], "t0": case["t0"], "initReady": ready_before, "steps": given}
        part.gives("decide", sent, answers, "Knative's own code decided so")
