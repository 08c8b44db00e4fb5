"""Patches: RFC 6902 and Kubernetes' strategic merge, and that no patch harms what it is given."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.patches import (
    Operation,
    PatchError,
    PatchTooLargeError,
    json_patch,
    keyed,
    strategic_merge,
)

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc~/"), inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "~0", "~1", "01", ""]), max_size=3).map(
    lambda tokens: "".join(f"/{token}" for token in tokens)
)
OPERATIONS = st.builds(
    Operation,
    op=st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "bogus"]),
    path=POINTERS | st.just("a"),
    source=POINTERS | st.none(),
    value=JSON,
)


def operation(op: str, path: str, value: Any = None, source: str | None = None) -> Operation:
    return Operation(op=op, path=path, source=source, value=value)


@pytest.mark.parametrize(
    ("document", "step", "result"),
    [
        ({"a": 1}, operation("add", "/b", 2), {"a": 1, "b": 2}),
        ({"a": [1, 3]}, operation("add", "/a/1", 2), {"a": [1, 2, 3]}),
        ({"a": [1]}, operation("add", "/a/-", 2), {"a": [1, 2]}),
        ({"a": 1}, operation("add", "", 5), 5),
        ({"a": 1}, operation("add", "/b", None), {"a": 1, "b": None}),
        ({"a": 1, "b": 2}, operation("remove", "/a"), {"b": 2}),
        ({"a": [1, 2]}, operation("remove", "/a/0"), {"a": [2]}),
        ({"a": [1, 2]}, operation("replace", "/a/1", 3), {"a": [1, 3]}),
        ({"a": {"b": 1}}, operation("move", "/c", source="/a/b"), {"a": {}, "c": 1}),
        ({"a": [1, 2, 3]}, operation("move", "/a/2", source="/a/0"), {"a": [2, 3, 1]}),
        ({"a": 1}, operation("copy", "/b", source="/a"), {"a": 1, "b": 1}),
        ({"a/b": 1, "m~n": 2}, operation("test", "/a~1b", 1), {"a/b": 1, "m~n": 2}),
        ({"~1": 1}, operation("remove", "/~01"), {}),
    ],
)
def test_each_operation_does_what_the_rfc_says(document: Any, step: Operation, result: Any) -> None:
    assert json_patch(document, [step]) == result


@pytest.mark.parametrize(
    "step",
    [
        operation("add", "/x/y", 1),
        operation("add", "/list/5", 1),
        operation("add", "/list/01", 1),
        operation("add", "/text/0", 1),
        operation("remove", "/x"),
        operation("remove", "/list/-"),
        operation("remove", ""),
        operation("replace", "/x", 1),
        operation("replace", "/list/-", 1),
        operation("move", "/a/b", source="/a"),
        operation("move", "/c"),
        operation("copy", "/c", source="/x"),
        operation("test", "/one", True),
        operation("test", "/list", [1]),
        operation("add", "no-pointer", 1),
        operation("bogus", "/a", 1),
        Operation(op="add", path="/c"),
    ],
)
def test_an_operation_that_does_not_fit_is_refused(step: Operation) -> None:
    with pytest.raises(PatchError):
        json_patch({"a": {}, "list": [1, 2], "text": "x", "one": 1}, [step])


@given(JSON, st.lists(OPERATIONS, max_size=4))
def test_any_operations_give_json_or_a_refusal_and_leave_the_original(
    document: Any, operations: list[Operation]
) -> None:
    before = copy.deepcopy(document)
    try:
        json_patch(document, operations)
    except (PatchError, PatchTooLargeError):
        pass
    assert document == before


@given(JSON, POINTERS, JSON)
def test_what_was_added_is_found_and_can_be_removed(document: Any, pointer: str, value: Any) -> None:
    if not isinstance(document, dict) or not pointer or pointer.endswith("/-"):
        return
    try:
        json_patch(document, [operation("test", pointer, None)])
    except PatchError as error:
        if "missing value" not in str(error):
            return
    else:
        return
    try:
        added = json_patch(document, [operation("add", pointer, value), operation("test", pointer, value)])
    except PatchError:
        return
    assert json_patch(added, [operation("remove", pointer)]) == document


def test_lists_with_an_identity_merge_and_others_are_replaced() -> None:
    target = {"volumes": [{"name": "a", "x": 1}, {"name": "b"}], "args": ["1"], "finalizers": ["f"]}
    patch = {"volumes": [{"name": "a", "y": 2}, {"name": "c"}], "args": ["2"], "finalizers": ["g"]}
    assert strategic_merge(target, patch) == {
        "volumes": [{"name": "a", "x": 1, "y": 2}, {"name": "b"}, {"name": "c"}],
        "args": ["2"],
        "finalizers": ["f", "g"],
    }


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"volumes": [{"name": "a", "$patch": "delete"}]}, [{"name": "b"}]),
        ({"volumes": [{"$patch": "replace"}, {"name": "c"}]}, [{"name": "c"}]),
        ({"volumes": [{"x": 1}]}, [{"x": 1}]),
        (
            {"$setElementOrder/volumes": [{"name": "b"}], "$retainKeys": ["volumes"]},
            [{"name": "a"}, {"name": "b"}],
        ),
        ({"volumes": None}, None),
        ({"$patch": "delete"}, None),
        ({"$patch": "replace", "volumes": []}, []),
    ],
)
def test_directives_of_a_strategic_merge(patch: Any, result: Any) -> None:
    merged = strategic_merge({"volumes": [{"name": "a"}, {"name": "b"}]}, patch)
    assert isinstance(merged, dict)
    assert merged.get("volumes") == result


@given(JSON, JSON)
def test_a_strategic_merge_without_lists_of_identity_changes_nothing_twice(target: Any, patch: Any) -> None:
    before = copy.deepcopy(target)
    once = strategic_merge(target, patch)
    assert strategic_merge(once, patch) == once
    assert target == before


@given(st.lists(JSON | st.fixed_dictionaries({"name": JSON}), max_size=4))
def test_a_list_is_keyed_only_if_every_item_is(items: list[Any]) -> None:
    found = keyed("volumes", items)
    if found is not None:
        assert list(found.values()) == items
    assert keyed("args", items) is None
