"""Lab 02's hidden checks: the same behaviours, on inputs that nobody has seen."""

from random import Random
from typing import Any

import pytest

from minilab.part import Part

K = "serving.knative.dev/"
STEPS = (None, None, 1, 4, 12, "error", "error", "conflict", "again")
VERDICTS = ("ready", "failed", "starting")


def word(rng: Random) -> str:
    return "".join(rng.choices("abcdefghij", k=rng.randint(3, 9)))


def some(rng: Random, *keys: str) -> dict[str, str]:
    return {key: word(rng) for key in (*keys, word(rng), word(rng)) if rng.random() < 0.6}


def target(rng: Random) -> dict[str, Any]:
    whose = (
        {"revisionName": f"web-{rng.randint(1, 3)}"} if rng.random() < 0.5 else {"configurationName": "web"}
    )
    tag = {"tag": rng.choice(["blue", "red"])} if rng.random() < 0.4 else {}
    return {**whose, **tag, "percent": rng.choice([0, 20, 100])}


def reported(rng: Random, wanted: list[dict[str, Any]], latest: str) -> list[dict[str, Any]]:
    """What a Route reports of `wanted`, now and then with a mistake."""
    seen = []
    for each in wanted:
        row = {key: value for key, value in each.items() if key != "configurationName"}
        row.setdefault("revisionName", latest)
        seen.append(row | ({"url": f"http://{each['tag']}-web.test"} if "tag" in each else {}))
    if rng.random() < 0.4 and seen:
        changes: list[dict[str, Any]] = [{"revisionName": word(rng)}, {"percent": 33}, {"tag": word(rng)}]
        seen[rng.randrange(len(seen))] |= rng.choice(changes)
    return seen[: rng.choice([9, 9, 1])]


def children(rng: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Configuration and a Route in any state."""
    found = []
    latest = f"web-{rng.randint(1, 3)}"
    wanted = [target(rng) for _ in range(rng.randint(1, 3))]
    status = {"latestReadyRevisionName": latest, "latestCreatedRevisionName": f"web-{rng.randint(1, 3)}"}
    for more in (status, {"traffic": reported(rng, wanted, latest)}):
        ready = rng.choice([["True", "", ""], ["True", "", ""], ["False", word(rng), word(rng)]])
        condition = {"type": "Ready", "status": ready[0], "reason": ready[1], "message": ready[2]}
        generation = rng.randint(1, 9)
        said = {
            "observedGeneration": generation - (rng.random() < 0.2),
            "conditions": [condition] if rng.random() < 0.9 else [],
            **more,
        }
        found.append({"metadata": {"name": "web", "generation": generation}, "status": said})
    return found[0], {**found[1], "spec": {"traffic": wanted}}


@pytest.mark.task("2.1")
def test_any_work(part: Part, rng: Random) -> None:
    """Any work, at any time: order, retries and wishes."""
    for _ in range(15):
        t, ops = 0.0, []
        for _ in range(rng.randint(5, 50)):
            t += rng.choice([0, 0, 0.25, 1, rng.randint(1, 8)])
            ops.append([t, rng.choice("abcde"), *([rng.randint(1, 40) / 4] if rng.random() < 0.4 else [])])
        script = {name: rng.choices(STEPS, k=rng.randint(0, 20)) for name in "abcde"}
        urgent = rng.sample("abcde", rng.randint(0, 2))
        part.same(
            "queue", {"ops": ops, "script": script, "urgent": urgent, "seconds": t + 99}, "invariants 1, 2"
        )


@pytest.mark.task("2.1")
def test_long_failures(part: Part, rng: Random) -> None:
    """Pauses of a long row of failures, up to their limit."""
    script = {"a": ["error"] * rng.randint(13, 18)}
    part.same("queue", {"ops": [[rng.randint(0, 5), "a"]], "script": script, "seconds": 400}, "invariant 2")


@pytest.mark.task("2.2")
def test_any_revision(part: Part, rng: Random) -> None:
    """The revision of any Configuration."""
    for _ in range(20):
        own = {"name": f"web-{word(rng)}"} if rng.random() < 0.3 else {}
        meta = {
            **own,
            "labels": some(rng, K + "configuration", K + "routingState"),
            "annotations": some(rng, K + "creator", K + "routingStateModified"),
        }
        thing = {
            "metadata": {
                "name": word(rng),
                "namespace": word(rng),
                "uid": word(rng),
                "generation": rng.randint(1, 120),
                "labels": some(rng, K + "service", K + "serviceUID"),
                "annotations": some(rng, K + "lastModifier", K + "creator"),
            },
            "spec": {"template": {"metadata": meta, "spec": {"containers": [{"image": word(rng)}]}}},
        }
        part.same("revision", {"configuration": thing}, "invariant 3")


@pytest.mark.task("2.2")
def test_any_name(part: Part, rng: Random) -> None:
    """Whether a name is taken, for any revision of that name."""
    for _ in range(40):
        specs = [{"containers": [{"image": rng.choice("ab")}]} for _ in range(2)]
        generations, uids = rng.choices([1, 2], k=2), rng.choices(["u1", "u1", "u2"], k=2)
        owner = {"apiVersion": K + "v1", "kind": "Configuration", "name": "web", "uid": uids[0]}
        owners = [{**owner, "controller": rng.random() < 0.8}] if rng.random() < 0.9 else []
        labels = {K + "configurationGeneration": str(generations[0])} if rng.random() < 0.8 else {}
        stored = {"metadata": {"name": "w", "labels": labels, "ownerReferences": owners}, "spec": specs[0]}
        meta = {"name": "web", "uid": uids[1], "generation": generations[1]}
        thing = {"metadata": meta, "spec": {"template": {"spec": specs[1]}}}
        part.same("taken", {"configuration": thing, "revision": stored}, "invariant 3")


@pytest.mark.task("2.3")
def test_any_latest(part: Part, rng: Random) -> None:
    """The latest ready of any revisions."""
    for _ in range(40):
        many = rng.randint(1, 7)
        names = [f"{word(rng)}-{number}" for number in range(many)]
        revisions = {name: [rng.randint(0, many), rng.choice(VERDICTS)] for name in names}
        case = {
            "before": rng.choice(["", "gone", *names]),
            "created": rng.choice(names),
            "revisions": revisions,
        }
        part.same("latest", case, "invariant 4")


@pytest.mark.task("2.3")
def test_any_history(part: Part, rng: Random) -> None:
    """What a Configuration reports in any history of deploys."""
    for _ in range(15):
        generation, steps = 1, []
        for _ in range(15):
            generation += rng.random() < 0.3
            revisions = {f"web-{n:05}": [n, rng.choice(VERDICTS)] for n in range(1, generation + 1)}
            steps.append({"generation": generation, "revisions": revisions})
        part.same("history", {"steps": steps}, "invariant 4")


@pytest.mark.task("2.4")
def test_any_children(part: Part, rng: Random) -> None:
    """What any two children say, and whether the traffic is migrated."""
    for _ in range(40):
        first, second = children(rng)
        part.same("migrated", {"configuration": first, "route": second}, "invariant 6")
        part.same("says", {"kind": "Configuration", "child": first}, "invariant 5")
        part.same("says", {"kind": "Route", "child": rng.choice([None, second])}, "invariant 5")
        case: dict[str, Any] = {
            "configuration": first,
            "route": second,
            "taken": rng.choice(["", "", word(rng)]),
        }
        if rng.random() < 0.2:
            case[rng.choice(["configuration", "route"])] = None
        part.same("routed", case, "invariants 5 and 6")


@pytest.mark.task("2.4")
def test_any_service(part: Part, rng: Random) -> None:
    """A Service's conditions in any state of its children."""
    for _ in range(20):
        first, second = children(rng)
        case = {"configuration": first, "route": second, "taken": rng.choice(["", "", word(rng)])}
        part.same("service", case, "invariants 5 and 6")
