"""Field ownership: what applying and updating do to documents and to who owns what."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.managedfields import (
    APPLY,
    UPDATE,
    Manager,
    Owners,
    changes,
    describe,
    fields_of,
    find_conflicts,
    hand_over,
    merge_applied,
    owned_part,
    read_owners,
    write_owners,
)
from minirun.model.meta import ManagedFieldsEntry

A, B = Manager("a", APPLY), Manager("b", APPLY)
KN = Manager("kn", UPDATE, "serving.knative.dev/v1")
VALUES = st.integers(0, 2)
LABELS = st.dictionaries(st.sampled_from("xyz"), VALUES, min_size=1, max_size=3)
VOLUMES = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("pqr")}, optional={"v": VALUES, "w": VALUES}),
    unique_by=lambda each: each["name"],
    min_size=1,
    max_size=3,
)
FINALIZERS = st.lists(st.sampled_from("fgh"), unique=True, min_size=1)
METADATA = st.fixed_dictionaries({}, optional={"labels": LABELS, "finalizers": FINALIZERS})
SPEC = st.fixed_dictionaries(
    {}, optional={"n": VALUES, "volumes": VOLUMES, "atomic": st.lists(VALUES, max_size=2)}
)
DOCUMENTS = st.fixed_dictionaries({}, optional={"metadata": METADATA, "spec": SPEC})


def pure(value: Any) -> Any:
    """Without empty containers, as typed objects are stored."""
    if isinstance(value, dict):
        return {k: left for k, v in value.items() if (left := pure(v)) not in ({}, [])}
    return [pure(each) for each in value] if isinstance(value, list) else value


def apply(
    live: dict[str, Any], owners: Owners, document: dict[str, Any], manager: Manager, force: bool = True
) -> tuple[dict[str, Any], dict[Manager, Any], dict[Manager, Any]]:
    """The new document, its owners, and the conflicts."""
    merged = pure(merge_applied(live, document, owners, manager))
    change = changes(owned_part(live), owned_part(merged))
    said = fields_of(owned_part(document))
    conflicts = find_conflicts(owners, change, said, manager)
    if conflicts and not force:
        return live, dict(owners), conflicts
    return merged, hand_over(owners, change, said, manager), conflicts


def content(document: dict[str, Any]) -> dict[str, Any]:
    """With lists that have an identity in one order."""
    spec, metadata = document.get("spec", {}), document.get("metadata", {})
    spec = {k: sorted(v, key=lambda each: each["name"]) if k == "volumes" else v for k, v in spec.items()}
    return {
        "spec": spec,
        "metadata": {k: sorted(v) if isinstance(v, list) else v for k, v in metadata.items()},
    }


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_applying_twice_is_applying_once(live: Any, other: Any, document: Any) -> None:
    live, owners, _ = apply(pure(live), {}, pure(other), B)
    once = apply(live, owners, document, A)
    twice = apply(once[0], once[1], document, A, force=False)
    assert twice[:2] == once[:2]
    assert not twice[2]


@given(DOCUMENTS, DOCUMENTS)
def test_what_one_applies_is_there_and_theirs(live: Any, document: Any) -> None:
    document = pure(document)
    merged, owners, _ = apply(pure(live), {}, document, A)
    assert owners.get(A, frozenset()) == fields_of(owned_part(document))
    back = content(apply(merged, owners, document, A)[0])
    assert back == content(merged)
    for part in ("spec", "metadata"):
        for name, value in document.get(part, {}).items():
            if name in ("n", "atomic"):
                assert merged[part][name] == value


@given(DOCUMENTS, DOCUMENTS)
def test_what_nobody_owns_stays(live: Any, document: Any) -> None:
    live, document = pure(live), pure(document)
    merged, owners, _ = apply(live, {}, document, A)
    without, left, _ = apply(merged, owners, {}, A)
    there = fields_of(owned_part(live)) - fields_of(owned_part(document))
    parents = {path[:end] for path in fields_of(owned_part(document)) for end in range(1, len(path))}
    kept = {path for path in there if not any(path[: len(own)] == own for own in owners.get(A, ()))} - parents
    assert kept <= fields_of(owned_part(without))
    assert left == {}


@given(DOCUMENTS, DOCUMENTS)
def test_what_is_applied_no_longer_goes_only_from_its_sole_owner(one: Any, other: Any) -> None:
    one, other = pure(one), pure(other)
    live, owners, _ = apply({}, {}, one, A)
    live, owners, _ = apply(live, owners, other, B)
    left, owners, _ = apply(live, owners, {}, A)
    assert content(left) == content(apply({}, {}, other, B)[0])
    assert A not in owners


@given(DOCUMENTS, DOCUMENTS)
def test_conflicts_are_symmetric(one: Any, other: Any) -> None:
    one, other = pure(one), pure(other)

    def conflict(first: Any, second: Any) -> Any:
        live, owners, _ = apply({}, {}, first, A)
        return apply(live, owners, second, B)[2].get(A, frozenset())

    assert conflict(one, other) == conflict(other, one)


@given(DOCUMENTS, DOCUMENTS)
def test_force_takes_what_is_in_conflict_and_nothing_else(one: Any, other: Any) -> None:
    live, owners, _ = apply({}, {}, pure(one), A)
    _, after, conflicts = apply(live, owners, pure(other), B)
    assert after.get(A, frozenset()) == owners.get(A, frozenset()) - conflicts.get(A, frozenset())


@given(st.lists(st.tuples(st.sampled_from([A, B, KN]), DOCUMENTS), max_size=4))
def test_owners_survive_being_written_down(steps: Any) -> None:
    live: dict[str, Any] = {}
    owners: dict[Manager, Any] = {}
    for manager, document in steps:
        live, owners, _ = apply(live, owners, pure(document), manager)
    entries = write_owners(owners, [], "2026-01-01T00:00:00Z")
    assert read_owners(entries) == owners
    assert write_owners(owners, entries, "2027-01-01T00:00:00Z") == entries


def test_an_update_owns_what_it_changed() -> None:
    live: dict[str, Any] = {"spec": {"n": 1, "m": 1}}
    new: dict[str, Any] = {"spec": {"n": 2}, "metadata": {"labels": {"x": "1"}}}
    owners = {A: frozenset({("f:spec", "f:n"), ("f:spec", "f:m")})}
    change = changes(live, new)
    after = hand_over(owners, change, fields_of(owned_part(new), branches=True), KN)
    assert after == {
        KN: frozenset({("f:spec", "f:n"), ("f:metadata", "f:labels"), ("f:metadata", "f:labels", "f:x")})
    }


def test_fields_are_written_as_kubernetes_does() -> None:
    document = {
        "metadata": {"name": "x", "labels": {"a/b": "1"}, "finalizers": ["f"]},
        "spec": {"volumes": [{"name": "data", "emptyDir": {}}]},
        "status": {"x": 1},
    }
    (entry,) = write_owners({A: fields_of(owned_part(document))}, [], "now")
    assert entry.fields_v1 == {
        "f:metadata": {"f:finalizers": {'v:"f"': {}}, "f:labels": {"f:a/b": {}}},
        "f:spec": {"f:volumes": {'k:{"name":"data"}': {".": {}, "f:emptyDir": {}, "f:name": {}}}},
    }


def test_paths_are_described_as_people_read_them() -> None:
    assert describe(("f:spec", "f:volumes", 'k:{"name":"a"}', "f:x")) == '.spec.volumes[name="a"].x'
    assert describe(("f:metadata", "f:finalizers", 'v:"f"')) == '.metadata.finalizers[="f"]'
    assert str(KN) == '"kn" using serving.knative.dev/v1'
    assert str(Manager("k", UPDATE, "v1", "status")) == '"k" with subresource "status" using v1'
    assert str(A) == '"a"'


def test_the_oldest_updaters_become_one() -> None:
    entries: list[ManagedFieldsEntry] = []
    owners: dict[Manager, Any] = {}
    for number in range(15):
        owners[Manager(f"m{number:02}", UPDATE, "v1")] = frozenset({("f:spec", f"f:{number}")})
        entries = write_owners(owners, entries, f"2026-01-01T00:00:{number:02}Z")
        owners = read_owners(entries)
    assert len(entries) == 10
    assert entries[-1].manager == "m14"
    gathered = next(e for e in entries if e.manager == "ancient-changes")
    assert gathered.fields_v1 == {"f:spec": {f"f:{number}": {} for number in range(6)}}


@pytest.mark.parametrize("fields", [{"x:y": {}}, {"f:a": 1}, {"f:a": {"b": {}}}])
def test_fields_that_are_none_are_refused(fields: dict[str, Any]) -> None:
    entry = ManagedFieldsEntry(manager="m", operation=APPLY, fields_type="FieldsV1", fields_v1=fields)
    with pytest.raises(ValueError, match="is no step of FieldsV1"):
        read_owners([entry])
