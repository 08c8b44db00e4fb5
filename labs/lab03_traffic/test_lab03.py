# Made by `lab build` from solutions/lab03_traffic/test_lab03.py; edit that, not this.
"""Lab 03's public checks: hosts, the exact split, and the gradual rollout."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from minilab.drives.lab03 import bound, furthest
from minilab.part import Part

INVARIANT = {
    1: "invariant 1: a host has one owner at any time, whatever the order in which routes came",
    2: "invariant 2: what is not known (a host, a tag) never leads to somebody else's revision",
    3: "invariant 3: after any number of requests no target is further than 1 - 1/(2k-2) from its share",
    4: "invariant 4: a change of percentages takes nobody's turn away",
    5: "invariant 5: the shares of a rollout always sum to the target's percent",
    6: "invariant 6: a new revision gets 1 % first, and more only when a step is due",
}
WEB = {"namespace": "default", "name": "web"}


@pytest.mark.task("3.1")
def test_normalise(part: Part) -> None:
    """Case, port and a trailing dot of a host do not matter."""
    given = ["Web.Default.Example.COM", "web.default:8080", "web.default.", "web.default.:80", "web.default:"]
    clean = ["web.default.example.com", *["web.default"] * 4]
    part.gives("normalised", {"hosts": given}, clean, INVARIANT[2])


@pytest.mark.task("3.1")
def test_not_a_port(part: Part) -> None:
    """What follows a colon is a port only if it is a number."""
    part.gives("normalised", {"hosts": ["a:b", "[::1]:8080"]}, ["a:b", "[::1]"], INVARIANT[2])


@pytest.mark.task("3.1")
@pytest.mark.parametrize(
    ("tag", "domain", "expected"),
    [
        (
            "",
            "example.com",
            [
                "web.default",
                "web.default.svc",
                "web.default.svc.cluster.local",
                "web.default.example.com",
            ],
        ),
        ("", None, ["web.default", "web.default.svc", "web.default.svc.cluster.local"]),
        (
            "Blue",
            None,
            ["blue-web.default", "blue-web.default.svc", "blue-web.default.svc.cluster.local"],
        ),
    ],
    ids=["public", "inside only", "a tag"],
)
def test_hosts(part: Part, tag: str, domain: str | None, expected: list[str]) -> None:
    """A route answers inside and outside, or inside only; a tag stands before the name."""
    part.gives("hosts", {**WEB, "tag": tag, "domain": domain}, expected, INVARIANT[1])


@pytest.mark.task("3.1")
def test_two_want_one_host(part: Part) -> None:
    """A route's own name goes before a tag, and tags go by their routes' names, whoever came first."""
    tagged_c = {"namespace": "default", "name": "c", "tags": ["a-b"]}
    tagged_bc = {"namespace": "default", "name": "b-c", "tags": ["a"]}
    own = {"namespace": "default", "name": "a-b-c"}
    asks = [["a-b-c.default", None]]
    for routes, expected in (
        ([tagged_c, tagged_bc, own], ["default", "a-b-c", ""]),
        ([tagged_c, tagged_bc], ["default", "b-c", "a"]),
        ([tagged_bc, tagged_c], ["default", "b-c", "a"]),
    ):
        case = {"routes": routes, "domain": "example.com", "asks": asks}
        part.gives("lookups", case, [expected], INVARIANT[1])


@pytest.mark.task("3.1")
def test_header(part: Part) -> None:
    """The header selects a tag on the route's own hosts only, and an unknown tag is ignored."""
    case = {
        "routes": [{**WEB, "tags": ["blue", "red"]}],
        "domain": "example.com",
        "asks": [
            ["web.default.example.com", "blue"],
            ["web.default.example.com", "green"],
            ["blue-web.default.example.com", "red"],
            ["green-web.default.example.com", "blue"],
        ],
    }
    blue = ["default", "web", "blue"]
    part.gives("lookups", case, [blue, ["default", "web", ""], blue, None], INVARIANT[2])


def exact(part: Part, phases: list[Any], because: str) -> None:
    """The picks of one split after another stay within the first one's bound, and 1 more for each change."""
    limit = bound(phases[0][0]) + len(phases) - 1

    def wrong(picked: Any) -> str:
        far = furthest(phases, picked)
        return f"{float(far):.3f} requests away from a share" if far > limit else ""

    part.holds("picks", {"phases": phases}, wrong, f"at most {float(limit):.3f}", because)


@pytest.mark.task("3.2")
def test_alone(part: Part) -> None:
    """A single target gets everything; one with weight 0 gets nothing."""
    part.gives("picks", {"phases": [[[["a", 7], ["b", 0]], 5]]}, ["a"] * 5, INVARIANT[3])


@pytest.mark.task("3.2")
def test_halves(part: Part) -> None:
    """Two equal targets take turns."""

    def wrong(picked: Any) -> str:
        return "" if picked in (["a", "b"] * 3, ["b", "a"] * 3) else f"{picked}"

    part.holds("picks", {"phases": [[[["a", 50], ["b", 50]], 6]]}, wrong, "a and b in turn", INVARIANT[3])


@pytest.mark.task("3.2")
def test_canary(part: Part) -> None:
    """A canary of 1 % gets exactly one of every hundred, and not at an edge of it."""

    def wrong(picked: Any) -> str:
        at = [turn % 100 for turn, name in enumerate(picked) if name == "canary"]
        return "" if len(at) == 3 and all(40 <= each <= 60 for each in at) else f"turns {at} of a hundred"

    case = {"phases": [[[["stable", 99], ["canary", 1]], 300]]}
    part.holds("picks", case, wrong, "3 turns, each between 40 and 60", INVARIANT[3])


@pytest.mark.task("3.2")
def test_sums(part: Part) -> None:
    """After as many requests as the weights sum to, every count is its weight."""
    weights = {"a": 50, "b": 30, "c": 13, "d": 7}

    def wrong(picked: Any) -> str:
        counts = dict(Counter(picked))
        return "" if counts == weights else f"{counts}"

    case = {"phases": [[list(weights.items()), 100]]}
    part.holds("picks", case, wrong, f"{weights}", INVARIANT[3])


@pytest.mark.task("3.2")
@pytest.mark.parametrize("big", [2, 3])
def test_bound(part: Part, big: int) -> None:
    """Many small targets beside large ones: nobody is ever further from its share than the bound."""
    targets = [[f"big-{n}", 30] for n in range(big)] + [[f"small-{n}", 1] for n in range(4)]
    exact(part, [[targets, 200]], INVARIANT[3])


@pytest.mark.task("3.2")
def test_change(part: Part) -> None:
    """A canary gets its turns in a split that is replaced all the time."""
    phases = [[[["canary", 1], [f"stable-{n % 2}", 99]], 10] for n in range(60)]

    def wrong(picked: Any) -> str:
        count = picked.count("canary")
        return "" if 5 <= count <= 7 else f"{count} requests of 600 for the canary"

    part.holds("picks", {"phases": phases}, wrong, "6, or one more or less", INVARIANT[4])


@pytest.mark.task("3.2")
def test_other_sum(part: Part) -> None:
    """Weights of another sum: what was owed before is still owed, neither more nor less."""
    phases = [[[["a", 30], ["b", 70]], 6], [[["a", 300], ["b", 700]], 4], [[["a", 3], ["b", 7]], 10]]
    exact(part, phases, INVARIANT[4])
    for first, many in ((1, 1), (1, 3), (1, 48), (1000, 1)):
        again = [[[["a", first], ["b", first]], many], [[["a", 50], ["b", 50]], 20 - many % 2]]

        def wrong(picked: Any) -> str:
            row = max(picked.count("a"), picked.count("b")) - min(picked.count("a"), picked.count("b"))
            return "" if row <= 1 else f"{row} more of one than of the other"

        part.holds("picks", {"phases": again}, wrong, "halves, give or take one", INVARIANT[4])


@pytest.mark.task("3.3")
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"percent": 100, "first": 20, "duration": 100}, {"size": 25, "step": 20.0, "next": 40.0}),
        ({"percent": 100, "first": 2.1, "duration": 123}, {"size": 2, "step": 3.0, "next": 5.1}),
        ({"percent": 50, "first": 1, "duration": 99}, {"size": 1, "step": 2.0, "next": 3.0}),
        ({"percent": 100, "first": 300, "duration": 120}, {"size": 99, "step": 1.0, "next": 301.0}),
        ({"percent": 6, "first": 10, "duration": 30}, {"size": 3, "step": 10.0, "next": 20.0}),
    ],
    ids=["four steps", "rounded up", "never less than 1 %", "slower than all", "half up"],
)
def test_plan(part: Part, case: dict[str, Any], expected: dict[str, float]) -> None:
    """The time of the first percent decides the size and the pace of the steps."""
    part.gives("planned", case, expected, INVARIANT[6])


@pytest.mark.task("3.3")
def test_plan_once(part: Part) -> None:
    """A rollout that has a plan keeps it."""
    case = {"percent": 100, "first": 20, "duration": 100, "step": 7}
    part.gives("planned", case, {"size": 0, "step": 7.0, "next": 0.0}, INVARIANT[6])


@pytest.mark.task("3.4")
def test_start(part: Part) -> None:
    """A newer revision starts with 1 %, without a plan; until there is one nothing moves."""
    case = {"shares": [["r1", 100]], "steps": [[100, 100, "r2"], [900, 100, "r2"]]}
    part.gives("shares", case, [[[["r1", 99], ["r2", 1]], 0, 0.0]] * 2, INVARIANT[6])


@pytest.mark.task("3.4")
def test_due(part: Part) -> None:
    """A step moves its size when it is due and not before; the last one ends the rollout."""
    case = {
        "shares": [["r1", 60], ["r2", 40]],
        "params": [1, 100, 10, 40],
        "steps": [[99, 100, "r2"], [100, 100, "r2"], [105, 100, "r2"], [112, 100, "r2"]],
    }
    half = [[["r1", 20], ["r2", 80]], 40, 110.0]
    expected = [[[["r1", 60], ["r2", 40]], 40, 100.0], half, half, [[["r2", 100]], 0, 0.0]]
    part.gives("shares", case, expected, INVARIANT[6])


@pytest.mark.task("3.4")
def test_superseded(part: Part) -> None:
    """A still newer revision starts anew; the youngest of the others runs dry first."""
    case = {
        "shares": [["r1", 60], ["r2", 30], ["r3", 10]],
        "params": [1, 100, 10, 20],
        "steps": [[100, 100, "r3"], [101, 100, "r4"]],
    }
    expected = [
        [[["r1", 60], ["r2", 10], ["r3", 30]], 20, 110.0],
        [[["r1", 60], ["r2", 10], ["r3", 29], ["r4", 1]], 0, 0.0],
    ]
    part.gives("shares", case, expected, INVARIANT[5])


@pytest.mark.task("3.4")
def test_other_percent(part: Part) -> None:
    """The user changes the target's percent in the middle: the sum follows at once."""
    case = {
        "shares": [["r1", 60], ["r2", 40]],
        "params": [1, 100, 10, 50],
        "steps": [[50, 70, "r2"], [60, 80, "r2"], [70, 40, "r2"]],
    }
    expected = [
        [[["r1", 30], ["r2", 40]], 50, 100.0],
        [[["r1", 30], ["r2", 50]], 50, 100.0],
        [[["r2", 40]], 0, 0.0],
    ]
    part.gives("shares", case, expected, INVARIANT[5])


@pytest.mark.task("3.4")
def test_size_shrinks(part: Part) -> None:
    """A step is never larger than the target."""
    case = {
        "shares": [["r1", 60], ["r2", 10]],
        "params": [1, 100, 10, 50],
        "steps": [[50, 30, "r2"]],
    }
    part.gives("shares", case, [[[["r1", 20], ["r2", 10]], 30, 100.0]], INVARIANT[5])


@pytest.mark.task("3.4")
def test_back(part: Part) -> None:
    """Whoever goes back in the middle of a rollout goes back by steps, too."""
    case = {"shares": [["r1", 40], ["r2", 60]], "steps": [[100, 100, "r1"]]}
    part.gives("shares", case, [[[["r2", 59], ["r1", 41]], 0, 0.0]], INVARIANT[6])


@pytest.mark.task("3.4")
def test_long_lives(part: Part, rng: Random) -> None:
    """Long histories of rollouts have the reference's shares."""
    for _ in range(10):
        newest, t, steps = 1, 10, []
        for _ in range(20):
            newest += rng.random() < 0.2
            t += rng.randint(0, 12)
            steps.append([t, rng.choice([100, 100, rng.randint(2, 100)]), f"r{newest}"])
        case = {"shares": [["r0", 60], ["r1", 40]], "params": [1, 15, 10, 20], "steps": steps}
        part.same("shares", case, INVARIANT[5])
