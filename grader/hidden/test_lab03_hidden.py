"""Lab 03's hidden checks: the same behaviours, on inputs that nobody has seen."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from minilab.drives.lab03 import bound, furthest
from minilab.part import Part

WORDS = ("a", "b", "c", "a-b", "b-c", "a-b-c", "Blue", "web")


def spelled(rng: Random, host: str) -> str:
    host = host.upper() if rng.random() < 0.3 else host
    return host + rng.choice(["", "", ".", f":{rng.randint(1, 65535)}", ".:80", ":", ":x"])


@pytest.mark.task("3.1")
def test_any_spelling(part: Part, rng: Random) -> None:
    """A host in any spelling."""
    hosts = [spelled(rng, f"{rng.choice(WORDS)}.{rng.choice(WORDS)}.example.com") for _ in range(60)]
    part.same("normalised", {"hosts": hosts}, "invariant 2")


@pytest.mark.task("3.1")
def test_any_hosts(part: Part, rng: Random) -> None:
    """The hosts of any route or tag."""
    for _ in range(20):
        case = {
            "namespace": rng.choice(WORDS),
            "name": rng.choice(WORDS),
            "tag": rng.choice(["", *WORDS]),
            "domain": rng.choice([None, "example.com", f"{rng.randint(0, 9)}.test"]),
        }
        part.same("hosts", case, "invariant 1")


@pytest.mark.task("3.1")
def test_any_claims(part: Part, rng: Random) -> None:
    """Many routes and tags that want the same hosts, and requests with any header."""
    for _ in range(15):
        names = rng.sample([(space, name) for space in WORDS[:3] for name in WORDS[:6]], 8)
        routes = [
            {
                "namespace": space,
                "name": name,
                "tags": rng.sample(WORDS, rng.randint(0, 4)),
                "local": rng.random() < 0.3,
            }
            for space, name in names
        ]
        ends = ["", ".svc", ".svc.cluster.local", ".example.com", ".else.where"]
        asks = []
        for _ in range(40):
            label = rng.choice([rng.choice(WORDS), f"{rng.choice(WORDS)}-{rng.choice(WORDS)}"])
            host = f"{label}.{rng.choice(WORDS[:3])}{rng.choice(ends)}"
            asks.append([spelled(rng, host), rng.choice([None, *WORDS])])
        part.same("lookups", {"routes": routes, "domain": "example.com", "asks": asks}, "invariants 1 and 2")


@pytest.mark.task("3.2")
def test_any_split(part: Part, rng: Random) -> None:
    """The bound, for any number of targets of any weight."""
    for _ in range(25):
        weights = [rng.choice([1, 1, 2, 3, 10, 30, rng.randint(1, 50)]) for _ in range(rng.randint(1, 9))]
        targets = [[f"r{rng.randint(0, 10**6)}-{n}", weight] for n, weight in enumerate(weights)]
        phases = [[targets, rng.randint(100, 250)]]
        limit = bound(targets)

        def wrong(picked: Any, phases: Any = phases, limit: Any = limit) -> str:
            return "too far" if furthest(phases, picked) > limit else ""

        part.holds("picks", {"phases": phases}, wrong, "within the bound", "invariant 3")


@pytest.mark.task("3.2")
def test_any_sum(part: Part, rng: Random) -> None:
    """Every count is its weight after as many requests as the weights sum to."""
    for _ in range(15):
        weights = {f"r{rng.randint(0, 10**6)}-{n}": rng.randint(1, 60) for n in range(rng.randint(2, 6))}

        def wrong(picked: Any, weights: Any = weights) -> str:
            return "" if dict(Counter(picked)) == weights else "other counts"

        case = {"phases": [[list(weights.items()), sum(weights.values())]]}
        part.holds("picks", case, wrong, "the weights", "invariant 3")


@pytest.mark.task("3.2")
def test_any_changes(part: Part, rng: Random) -> None:
    """A split that changes all the time stays within two requests of the exact share."""
    for _ in range(10):
        phases = []
        for _ in range(30):
            percent, sum_of = rng.randint(1, 99), rng.choice([1, 10])
            targets = [["new", percent * sum_of], ["old", (100 - percent) * sum_of]]
            phases.append([targets, rng.randint(1, 30)])

        def wrong(picked: Any, phases: Any = phases) -> str:
            return "too far" if furthest(phases, picked) >= 2 else ""

        part.holds("picks", {"phases": phases}, wrong, "within two", "invariant 4")


@pytest.mark.task("3.3")
def test_any_plan(part: Part, rng: Random) -> None:
    """The plan of any rollout."""
    for _ in range(60):
        first = rng.choice([rng.randint(1, 30), rng.randint(1, 4000) / 16])
        case = {"percent": rng.randint(2, 100), "first": first, "duration": rng.randint(0, 900)}
        part.same(
            "planned", case | ({"step": rng.randint(1, 9)} if rng.random() < 0.1 else {}), "invariant 6"
        )


@pytest.mark.task("3.4")
def test_any_history(part: Part, rng: Random) -> None:
    """Any history: newer revisions, other percentages, steps on time, early and late."""
    for _ in range(30):
        many = rng.randint(1, 5)
        shares = [[f"r{n}", rng.randint(1, 20)] for n in range(many)]
        newest, t, steps = many - 1, 10, []
        for _ in range(rng.randint(5, 40)):
            newest += rng.random() < 0.2
            latest = newest if rng.random() < 0.95 else rng.randint(0, newest)
            t += rng.randint(0, 12)
            steps.append([t, rng.choice([100, 50, rng.randint(2, 100)]), f"r{latest}"])
        size = rng.randint(1, sum(percent for _, percent in shares))
        params = rng.choice([[0, 0, 0, 0], [1, rng.randint(5, 30), rng.randint(1, 20), size]])
        part.same("shares", {"shares": shares, "params": params, "steps": steps}, "invariants 5 and 6")
