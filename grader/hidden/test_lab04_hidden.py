"""Lab 04's hidden checks: the same behaviours, on traffic that nobody has seen."""

from random import Random

import pytest

from minilab.part import Part


def traffic(rng: Random, length: int, resizes: bool, reserves: bool) -> list[list[object]]:
    """Operations that are possible one after the other for a breaker that admits as it should.

    It follows who runs and who waits by counts alone, so a cancelled request is one that surely waits.
    """
    ops: list[list[object]] = []
    for number in range(length):
        kinds = ["enter"] * 5 + ["leave"] * 3 + ["resize"] * resizes + ["reserve", "release"] * reserves
        kind = rng.choice(kinds)
        ops.append(
            [kind, number] if kind == "enter" else [kind, rng.randint(0, 6)] if kind == "resize" else [kind]
        )
    return ops


def play(
    rng: Random, depth: int, most: int, length: int, resizes: bool, reserves: bool
) -> list[list[object]]:
    """Traffic without impossible steps: only who runs leaves, only what is reserved is released."""
    capacity, running, reserved, waiting, ops = most, 0, 0, [], []
    for op in traffic(rng, length, resizes, reserves):
        name = op[0]
        if (name == "leave" and not running) or (name == "release" and not reserved):
            if not waiting:
                continue
            op = ["cancel", waiting.pop(rng.randrange(len(waiting)))]
        elif name == "enter":
            if running + reserved + len(waiting) < depth + most:
                if running + reserved < capacity:
                    running += 1
                else:
                    waiting.append(op[1])
        elif name == "leave":
            running -= 1
        elif name == "reserve":
            free = running + reserved < capacity and running + reserved + len(waiting) < depth + most
            reserved += free
        elif name == "release":
            reserved -= 1
        else:
            capacity = op[1]
        while waiting and running + reserved < capacity:
            waiting.pop(0)
            running += 1
        ops.append(op)
    return ops


@pytest.mark.task("4.1")
@pytest.mark.parametrize(
    ("resizes", "reserves"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["plain", "resized", "reserved", "both"],
)
def test_any_traffic(part: Part, rng: Random, resizes: bool, reserves: bool) -> None:
    """Admissions under any traffic."""
    for _ in range(6):
        depth, most = rng.randint(0, 8), rng.randint(1, 6)
        ops = play(rng, depth, most, 120, resizes, reserves)
        case = {"queueDepth": depth, "maxConcurrency": most, "initialCapacity": most, "ops": ops}
        part.same("door", case, "invariants 1 to 4")


@pytest.mark.task("4.2")
@pytest.mark.parametrize("proxied", [0.0, 0.4], ids=["direct", "some by an activator"])
def test_any_day(part: Part, rng: Random, proxied: float) -> None:
    """Reports over any day of requests."""
    for _ in range(6):
        now, running, ops = 0, [], []
        for _ in range(200):
            now += rng.choice([0, 1, 7, 90, 400])
            if rng.random() < 0.15:
                ops.append(["report", now])
            elif running and rng.random() < 0.45:
                ops.append([running.pop(rng.randrange(len(running))) + "out", now])
            else:
                running.append("p" if rng.random() < proxied else "")
                ops.append([running[-1] + "in", now])
        part.same("report", {"ops": ops}, "invariants 5 and 6")
