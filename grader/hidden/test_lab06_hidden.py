"""Lab 06's hidden checks: the same behaviours, on traffic and states that nobody has seen."""

from random import Random
from typing import Any

import pytest

from minilab.part import Part


@pytest.mark.task("6.1")
def test_any_share(part: Part, rng: Random) -> None:
    """What any activator may let through."""
    for _ in range(60):
        backends = rng.randint(0, 40)
        case = {
            "concurrency": rng.choice([0, 1, 2, 7, 80, 2**29]),
            "trackers": rng.choice([0, rng.randint(0, backends)]),
            "backends": backends,
            "activators": rng.randint(0, 12),
        }
        part.same("share", case, "invariant 1")


@pytest.mark.task("6.1")
def test_any_part(part: Part, rng: Random) -> None:
    """Which instances are any activator's own."""
    for _ in range(60):
        activators = rng.randint(1, 14)
        case = {"instances": rng.randint(0, 40), "activators": activators}
        part.same("mine", {**case, "index": rng.randint(-1, activators - 1)}, "invariant 1")


def traffic(rng: Random, limit: int, length: int) -> list[list[Any]]:
    """Requests, ends, instances that come and go; who waits or runs is followed by the rules of the chapter.

    Only what is certain is ended: the request that was started last when all others were, or a request that
    surely waits because there is no instance.
    """
    ops: list[list[Any]] = [["pods"]]
    waiting: list[int] = []
    for number in range(length):
        if rng.random() < 0.75 or not waiting:
            ops.append(["request", number])
            waiting.append(number)
        else:
            ops.append(["cancel", waiting.pop(rng.randrange(len(waiting)))])
    names = [f"pod-{n}" for n in range(rng.randint(1, 4))]
    ops.append(["pods", *names])
    running, room = [], limit * len(names)
    while waiting and room:
        running.append(waiting.pop(0))
        room -= 1
    while running:
        ops.append(["finish", running.pop(rng.randrange(len(running)))])
        if waiting:
            running.append(waiting.pop(0))
    return ops


@pytest.mark.task("6.2")
@pytest.mark.parametrize("limit", [1, 2, 3, 8], ids=lambda limit: f"{limit} at once")
def test_any_burst_from_zero(part: Part, rng: Random, limit: int) -> None:
    """A burst that finds no instance, until the last of it is served."""
    for _ in range(6):
        part.same("hold", {"concurrency": limit, "ops": traffic(rng, limit, 40)}, "invariants 2 to 4")


@pytest.mark.task("6.2")
def test_any_busy_instances(part: Part, rng: Random) -> None:
    """Slots that others take and give back, while requests wait between the doors."""
    for _ in range(8):
        names = [f"pod-{n}" for n in range(rng.randint(2, 5))]
        ops: list[list[Any]] = [["pods", *names], *(["busy", name] for name in names)]
        waiting: list[int] = []
        for number in range(rng.randint(2, 8)):
            ops.append(["request", number, *rng.sample(names, rng.randint(0, 1))])
            waiting.append(number)
        while len(waiting) > 2 and rng.random() < 0.5:
            ops.append(["cancel", waiting.pop(rng.randrange(len(waiting)))])
        ops += [["free", name] for name in rng.sample(names, len(names))]
        part.same("hold", {"concurrency": 1, "ops": ops}, "invariants 2 to 4")


@pytest.mark.task("6.3")
@pytest.mark.parametrize("status", ["True", "False", "Unknown"])
def test_any_state(part: Part, rng: Random, status: str) -> None:
    """The next step on the way to zero, from any state."""
    for _ in range(50):
        policy = {
            "enable_scale_to_zero": rng.random() < 0.9,
            "always_buffered": rng.random() < 0.3,
            "reachable": rng.random() < 0.7,
            "stable_window": rng.choice([6, 60]),
            "grace_period": rng.choice([0, 10, 30]),
            "retention": rng.choice([0, 0, 45, 90]),
            "activation_timeout": rng.choice([60, 630]),
        }
        seen = {
            "active_status": status,
            "active_age": rng.choice([0, 5, 20, 31, 61, 100, 700]),
            "proxy_for": rng.choice([0, 3, 9, 30, 80]),
            "sks_mode": rng.choice(["Proxy", "Serve"]),
            "probe_ok": rng.random() < 0.7,
        }
        part.same("zero", {"policy": policy, "seen": seen}, "invariants 5 and 6")
