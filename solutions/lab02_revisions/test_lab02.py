"""Lab 02's public checks: the work queue, revisions, latest ready, and the Service's answer."""

from random import Random
from typing import Any

import pytest

from minilab.part import Part

INVARIANT = {
    1: "invariant 1: a key waits once, however often it is asked for, and is worked on after the last change",
    2: "invariant 2: what failed comes back, each time after a longer pause, until it succeeds",
    3: "invariant 3: a revision's name stands for one template, for ever",
    4: "invariant 4: latest ready never falls back to an older revision than it was",
    5: "invariant 5: only what was said of the newest generation counts",
    6: "invariant 6: a Service is ready when the wanted traffic is where it should be, not before",
}
K = "serving.knative.dev/"
TEMPLATE = {"spec": {"containers": [{"image": "hello"}]}}
OTHER = {"spec": {"containers": [{"image": "goodbye"}]}}
FAILURE = 'Revision "web-00002" failed with message: Container failed with: no database.'


def configuration(**more: Any) -> dict[str, Any]:
    """A Configuration's manifest; `more` goes into its metadata, but for `template`."""
    template = more.pop("template", TEMPLATE)
    meta = {"name": "web", "namespace": "default", "uid": "u1", "generation": 3, **more}
    return {"metadata": meta, "spec": {"template": template}}


def revision(generation: int, uid: str = "u1", template: dict[str, Any] = TEMPLATE) -> dict[str, Any]:
    """A stored Revision's manifest, and the Configuration's generation and uid that it was made for."""
    owner = {"apiVersion": K + "v1", "kind": "Configuration", "name": "web", "uid": uid, "controller": True}
    labels = {K + "configurationGeneration": str(generation)}
    meta = {"name": "mine", "namespace": "default", "labels": labels, "ownerReferences": [owner]}
    return {"metadata": meta, "spec": template["spec"]}


@pytest.mark.task("2.1")
def test_burst(part: Part) -> None:
    """Many changes of one object are one piece of work, and each object keeps its place."""
    ops = [[0, name] for name in ("a", "b", "a", "a", "b")]
    part.gives("queue", {"ops": ops, "seconds": 1}, [["a", 0.0], ["b", 0.0]], INVARIANT[1])


@pytest.mark.task("2.1")
def test_while_it_runs(part: Part) -> None:
    """What changes while its reconciler runs is worked on once more."""
    case = {"ops": [[0, "a"], [0, "b"]], "script": {"a": ["again"]}, "seconds": 1}
    part.gives("queue", case, [["a", 0.0], ["b", 0.0], ["a", 0.0]], INVARIANT[1])


@pytest.mark.task("2.1")
def test_urgent(part: Part) -> None:
    """Urgent keys overtake the others."""
    case = {"ops": [[0, "a"], [0, "b"], [0, "u"]], "urgent": ["u"], "seconds": 1}
    part.gives("queue", case, [["u", 0.0], ["a", 0.0], ["b", 0.0]], INVARIANT[1])


@pytest.mark.task("2.1")
def test_later(part: Part) -> None:
    """A reconciler says when to come back, and of several such wishes the earliest counts."""
    case = {"ops": [[0, "a"], [1, "a"]], "script": {"a": [10, 3]}, "seconds": 60}
    part.gives("queue", case, [["a", 0.0], ["a", 1.0], ["a", 4.0]], INVARIANT[1])
    case = {"ops": [[0, "a", 5], [1, "a", 30], [2, "a", 1]], "seconds": 60}
    part.gives("queue", case, [["a", 3.0]], INVARIANT[1])


@pytest.mark.task("2.1")
def test_back_off(part: Part) -> None:
    """Failures pause 5 ms, 10 ms, 20 ms; after a success the pauses start anew."""
    script = {"a": ["error", "error", "error", None, "error", None]}
    times = [0.0, 0.005, 0.015, 0.035, 1.0, 1.005]
    case = {"ops": [[0, "a"], [1, "a"]], "script": script, "seconds": 2}
    part.gives("queue", case, [["a", t] for t in times], INVARIANT[2])


@pytest.mark.task("2.1")
def test_conflict(part: Part) -> None:
    """Whoever met a newer version tries again at once, behind those that wait."""
    case = {"ops": [[0, "a"], [0, "b"]], "script": {"a": ["conflict"]}, "seconds": 9}
    part.gives("queue", case, [["a", 0.0], ["b", 0.0], ["a", 0.0]], INVARIANT[2])


@pytest.mark.task("2.2")
def test_made(part: Part) -> None:
    """A revision has the template's spec, labels of where it is from, and an owner."""
    owner = {
        "apiVersion": K + "v1",
        "kind": "Configuration",
        "name": "web",
        "uid": "u1",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {
        K + "configuration": "web",
        K + "configurationGeneration": "3",
        K + "configurationUID": "u1",
        K + "routingState": "pending",
    }
    meta = {
        "name": "web-00003",
        "namespace": "default",
        "labels": labels,
        "annotations": {K + "routingStateModified": "2026-01-01T00:00:00Z"},
        "ownerReferences": [owner],
    }
    case = {"configuration": configuration()}
    part.gives("revision", case, {"metadata": meta, **TEMPLATE}, INVARIANT[3])


@pytest.mark.task("2.2")
def test_handed_down(part: Part) -> None:
    """The template's own labels and annotations, the Service's labels and the creator are handed down."""
    meta = {
        "labels": {"color": "blue", K + "configurationGeneration": "77"},
        "annotations": {"note": "hi", "autoscaling.knative.dev/max-scale": "5"},
    }
    labels = {K + "service": "web", K + "serviceUID": "s1", "team": "shop"}
    annotations = {K + "lastModifier": "ann", K + "creator": "joe"}
    thing = configuration(labels=labels, annotations=annotations, template={**TEMPLATE, "metadata": meta})
    part.same("revision", {"configuration": thing}, INVARIANT[3])


@pytest.mark.task("2.2")
def test_own_name(part: Part) -> None:
    """A name of the user's own is kept."""
    thing = configuration(template={**TEMPLATE, "metadata": {"name": "web-blue"}})
    part.same("revision", {"configuration": thing}, INVARIANT[3])


@pytest.mark.task("2.2")
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (revision(3), False),
        (revision(3, template=OTHER), False),
        (revision(2), False),
        (revision(2, template=OTHER), True),
        (revision(3, uid="u2"), True),
    ],
    ids=["made of it", "filled in later", "same again", "other template", "somebody else's"],
)
def test_taken(part: Part, stored: dict[str, Any], expected: bool) -> None:
    """A revision's name may be used again only for the same thing."""
    case = {"configuration": configuration(), "revision": stored}
    part.gives("taken", case, expected, INVARIANT[3])


@pytest.mark.task("2.3")
@pytest.mark.parametrize(
    ("before", "created", "verdicts", "expected"),
    [
        ("web-1", "web-3", ["ready", "ready", "starting"], "web-2"),
        ("web-2", "web-3", ["ready", "failed", "failed"], "web-2"),
        ("web-2", "web-3", ["ready", "ready", "ready"], "web-3"),
        ("web-3", "web-1", ["ready", "ready", "ready"], "web-1"),
        ("", "web-3", ["starting", "starting", "failed"], ""),
        ("gone", "web-3", ["ready", "starting", "failed"], "web-1"),
    ],
    ids=["forward", "never back", "the newest", "wanted back", "none", "the one before is deleted"],
)
def test_latest(part: Part, before: str, created: str, verdicts: list[str], expected: str) -> None:
    """Latest ready is the newest that is ready, and never an older one than it was."""
    revisions = {f"web-{number}": [number, verdict] for number, verdict in enumerate(verdicts, 1)}
    part.gives(
        "latest", {"before": before, "created": created, "revisions": revisions}, expected, INVARIANT[4]
    )


@pytest.mark.task("2.3")
def test_bad_deploy(part: Part) -> None:
    """A deploy that fails is reported, and the one before stays the latest ready."""
    first, second = "web-00001", "web-00002"
    steps = [
        {"generation": 1, "revisions": {first: [1, "starting"]}},
        {"generation": 1, "revisions": {first: [1, "ready"]}},
        {"generation": 2, "revisions": {first: [1, "ready"], second: [2, "starting"]}},
        {"generation": 2, "revisions": {first: [1, "ready"], second: [2, "failed"]}},
    ]
    expected = [
        [first, "", "Unknown", "", ""],
        [first, first, "True", "", ""],
        [second, first, "Unknown", "", ""],
        [second, first, "False", "RevisionFailed", FAILURE],
    ]
    part.gives("history", {"steps": steps}, expected, INVARIANT[4])


@pytest.mark.task("2.3")
def test_hiccup(part: Part) -> None:
    """A revision that was ready and starts again changes nothing; that it failed, it does."""
    verdicts = ["ready", "starting", "failed", "ready"]
    steps = [{"generation": 1, "revisions": {"web-00001": [1, verdict]}} for verdict in verdicts]
    part.same("history", {"steps": steps}, INVARIANT[4])
    came = [["web-00001", "web-00001", "True", "", ""]] * 2
    part.gives("history", {"steps": steps[:2]}, came, INVARIANT[4])


def child(ready: list[str] | None, observed: int = 3, **status: Any) -> dict[str, Any]:
    """A child of generation 3, the generation that it speaks of, and its condition Ready."""
    conditions = []
    if ready is not None:
        conditions = [dict(zip(("type", "status", "reason", "message"), ["Ready", *ready], strict=True))]
    status = {"observedGeneration": observed, "conditions": conditions, **status}
    return {"metadata": {"name": "web", "generation": 3}, "status": status}


def route(
    wanted: list[dict[str, Any]], reported: list[dict[str, Any]], ready: str = "True"
) -> dict[str, Any]:
    """A Route, what is wanted of it and what it reports."""
    return {**child([ready, "", ""], traffic=reported), "spec": {"traffic": wanted}}


LATEST = {"configurationName": "web", "latestRevision": True, "percent": 100}
FIRST = {"revisionName": "web-00001", "latestRevision": True, "percent": 100}
SECOND = {**FIRST, "revisionName": "web-00002"}
CHILD = child(["True", "", ""], latestReadyRevisionName="web-00001", latestCreatedRevisionName="web-00002")


@pytest.mark.task("2.4")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ["False", "NotOwned", 'There is an existing Route "web" that we do not own.']),
        (child(None), ["Unknown", "OutOfDate"]),
        (child(["True", "", ""], observed=2), ["Unknown", "OutOfDate"]),
        (child(["False", "Why", "Because."]), ["False", "Why", "Because."]),
        (child(["True", "", ""]), ["True", "", ""]),
    ],
    ids=["somebody else's", "silent", "speaks of the past", "failed", "ready"],
)
def test_says(part: Part, given: dict[str, Any] | None, expected: list[str]) -> None:
    """A child is asked, and only what it says of its newest generation counts."""
    if len(expected) == 2:
        text = "The Route is still working to reflect the latest desired specification."
        expected = [*expected, text]
    part.gives("says", {"kind": "Route", "child": given}, expected, INVARIANT[5])


@pytest.mark.task("2.4")
@pytest.mark.parametrize(
    ("wanted", "reported", "expected"),
    [
        ([LATEST], [FIRST], True),
        ([LATEST], [SECOND], False),
        ([LATEST], [], False),
        ([{"tag": "blue", **FIRST}], [{"tag": "blue", **FIRST, "url": "http://blue-web.test"}], True),
        ([{**LATEST, "percent": 60}, {**FIRST, "percent": 40}], [FIRST], False),
    ],
    ids=["latest ready", "another one", "nothing yet", "a tag", "half"],
)
def test_migrated(part: Part, wanted: list[Any], reported: list[Any], expected: bool) -> None:
    """Traffic is migrated if each target goes to the revision that is meant, with its percent."""
    case = {"configuration": CHILD, "route": route(wanted, reported)}
    part.gives("migrated", case, expected, INVARIANT[6])


@pytest.mark.task("2.4")
def test_routed(part: Part) -> None:
    """A Route that is ready with the traffic of yesterday is not what was wanted."""
    old = {"configuration": CHILD, "route": route([LATEST], [SECOND]), "taken": ""}
    text = "Traffic is not yet migrated to the latest revision."
    part.gives("routed", old, ["Unknown", "TrafficNotMigrated", text], INVARIANT[6])
    new = {"configuration": CHILD, "route": route([LATEST], [FIRST]), "taken": ""}
    part.gives("routed", new, ["True", "", ""], INVARIANT[6])


@pytest.mark.task("2.4")
def test_name_taken(part: Part) -> None:
    """A revision name that is taken stops the traffic, but not if the Route is somebody else's."""
    text = 'The revision name "web-x" is taken by a conflicting Revision, so traffic will not be migrated'
    for its in (route([LATEST], [FIRST]), route([LATEST], [FIRST], "False")):
        case = {"configuration": CHILD, "route": its, "taken": "web-x"}
        part.gives("routed", case, ["False", "RevisionNameTaken", text], INVARIANT[6])
    part.same("routed", {"configuration": CHILD, "route": None, "taken": "web-x"}, INVARIANT[6])


@pytest.mark.task("2.1")
def test_long_days(part: Part, rng: Random) -> None:
    """A busy minute of mixed work has the reference's times."""
    for _ in range(10):
        t, ops = 0.0, []
        for _ in range(30):
            t += rng.choice([0, 0, 0.25, 1, 3])
            later = [rng.choice([0.5, 2, 9])] if rng.random() < 0.3 else []
            ops.append([t, rng.choice("abcd"), *later])
        steps = [None, 1, 5, "error", "conflict", "again"]
        script = {name: rng.choices(steps, k=12) for name in "abcd"}
        case = {"ops": ops, "script": script, "urgent": ["d"], "seconds": 100}
        part.same("queue", case, INVARIANT[2])
