"""Lab 05's hidden checks: the same behaviours, on inputs that nobody has seen."""

from random import Random
from typing import Any

import pytest

from minilab.part import Part

T0 = 1_000_000_000


def load(rng: Random, seconds: int) -> list[float]:
    """A load that steps, ramps and rests: a value for each decision."""
    values: list[float] = []
    while len(values) < seconds:
        low, high = rng.choice([(0.0, 0.0), (0.0, 5.0), (5.0, 50.0), (50.0, 900.0)])
        start, end, length = rng.uniform(low, high), rng.uniform(low, high), rng.randint(1, 12)
        values += [round(start + (end - start) * n / length, 6) for n in range(length)]
    return values[:seconds]


def spec(rng: Random, **more: Any) -> dict[str, Any]:
    return {
        "targetValue": rng.choice([0.7, 1, 7.5, 10, 70]),
        "totalValue": rng.choice([1, 10, 100]),
        "maxScaleUpRate": rng.choice([1.5, 2, 10, 1000]),
        "maxScaleDownRate": rng.choice([1.1, 2, 10]),
        "panicThreshold": rng.choice([1.1, 2, 10]),
        "stableWindow": rng.choice([6, 30, 60]),
        "targetBurstCapacity": rng.choice([0, -1, 10, 211]),
        **more,
    }


def decide(part: Part, rng: Random, steps: int = 60, **more: Any) -> None:
    """A decider over a made-up day, its pods following its decisions late."""
    declared = spec(rng, **more)
    stable, panic = load(rng, steps), load(rng, steps)
    ready, given = rng.randint(0, 20), []
    for number in range(steps):
        ready = max(0, ready + rng.choice([-2, -1, 0, 0, 0, 1, 3]))
        counted = None if rng.random() < 0.03 else ready
        measured = None if rng.random() < 0.05 else stable[number]
        given.append({"t": 2 * number, "ready": counted, "stable": measured, "panic": panic[number]})
    case = {"spec": declared, "t0": T0, "initReady": rng.randint(0, 5), "steps": given}
    part.same("decide", case, "the decision as the chapter states it")


@pytest.mark.task("5.1")
@pytest.mark.parametrize("gaps", [0.0, 0.3, 0.8], ids=["dense", "some gaps", "sparse"])
def test_averages(part: Part, rng: Random, gaps: float) -> None:
    """Averages of any stream of samples, at any time after."""
    for _ in range(4):
        window, now, ops = rng.choice([1, 2, 6, 17, 60]), 0.0, []
        for _ in range(120):
            now += 0 if rng.random() < 0.2 else rng.choice([0.25, 1, 1, 1]) if rng.random() > gaps else 5
            ops.append(["r", now, round(rng.uniform(0, 300), 3)])
            if rng.random() < 0.4:
                ops.append(["a", now + rng.choice([0, 0, 1, rng.randint(1, 70)])])
        case = {"window": window, "granularity": 1, "t0": T0, "ops": ops}
        part.same("average", case, "invariants 1 and 2")


@pytest.mark.task("5.2")
@pytest.mark.parametrize("granularity", [1, 2, 5])
def test_peaks(part: Part, rng: Random, granularity: int) -> None:
    """Peaks of any stream of decisions."""
    for _ in range(4):
        now, ops = 0, []
        for _ in range(150):
            now += rng.choice([0, 1, 2, 2, 2, 2, rng.randint(3, 40)])
            ops.append([now, rng.randint(0, 30)])
        window = rng.randint(granularity, 60)
        case = {"window": window, "granularity": granularity, "t0": T0, "ops": ops}
        part.same("largest", case, "invariant 3")


@pytest.mark.task("5.2")
def test_a_clock_that_steps_back(part: Part, rng: Random) -> None:
    """Peaks when the clock steps back for a moment."""
    for _ in range(4):
        now, ops = 100, []
        for _ in range(60):
            now += rng.choice([2, 2, 2, -3])
            ops.append([now, rng.randint(0, 9)])
        part.same("largest", {"window": 12, "granularity": 2, "t0": T0, "ops": ops}, "invariant 3")


@pytest.mark.task("5.3")
def test_bursts(part: Part, rng: Random) -> None:
    """Room for any burst at any load."""
    for _ in range(20):
        steps = [[rng.randint(0, 300), round(rng.uniform(0, 5000), 3)] for _ in range(30)]
        part.same("burst", {"spec": spec(rng), "steps": steps}, "invariant 4")


@pytest.mark.task("5.4")
@pytest.mark.parametrize("number", range(6))
def test_decisions(part: Part, rng: Random, number: int) -> None:
    """Decisions over a day of any load."""
    for _ in range(2):
        decide(part, rng)


@pytest.mark.task("5.4")
def test_delayed_decisions(part: Part, rng: Random) -> None:
    """Decisions with a scale-down delay."""
    for _ in range(3):
        decide(part, rng, scaleDownDelay=rng.choice([2, 7, 30, 120]))


@pytest.mark.task("5.4")
def test_unreachable_decisions(part: Part, rng: Random) -> None:
    """Decisions for a revision that nobody can reach."""
    for _ in range(3):
        decide(part, rng, reachable=False, scaleDownDelay=rng.choice([0, 30]))


@pytest.mark.task("5.4")
def test_decisions_with_an_activation_scale(part: Part, rng: Random) -> None:
    """Decisions with an activation scale."""
    for _ in range(3):
        decide(part, rng, activationScale=rng.randint(2, 9))
