"""JSON becomes typed resources; what has no place in them is found by its path."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.decoding import DecodingError, decode, parse_json
from minirun.model.patches import merge_patch
from minirun.model.resources import Service, ServiceStatus


def spec(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def test_nulls_and_status_of_the_client_do_not_count() -> None:
    document = {
        "metadata": {"name": "s", "creationTimestamp": None},
        "status": {"url": "http://x"},
        "spec": None,
    }
    decoded = decode(document, Service)
    assert decoded.resource.metadata.name == "s"
    assert decoded.resource.status == ServiceStatus()
    assert decoded.unknown == []


def test_unknown_fields_are_found_with_their_paths_in_order() -> None:
    document = spec(containerz=[{}], containers=[{"image": "a"}, {"ports": [{"hostPort": 80}], "nam": "x"}])
    document["metadata"] = {"managedFields": [{}], "nme": "s"}
    assert [(u.path, u.owner) for u in decode(document, Service).unknown] == [
        ("metadata.nme", "ObjectMeta"),
        ("spec.template.spec.containers[1].nam", "Container"),
        ("spec.template.spec.containers[1].ports[0].hostPort", "ContainerPort"),
        ("spec.template.spec.containerz", "RevisionSpec"),
    ]


@pytest.mark.parametrize(
    ("document", "field", "wanted", "got"),
    [
        (spec(timeoutSeconds="soon"), "spec.template.spec.timeoutSeconds", "integer", "string"),
        (spec(containers={}), "spec.template.spec.containers", "array", "object"),
        (
            spec(containers=[{"env": [{"name": 1}]}]),
            "spec.template.spec.containers[0].env[0].name",
            "string",
            "integer",
        ),
        ({"spec": []}, "spec", "object", "array"),
        (spec(enableServiceLinks="yes"), "spec.template.spec.enableServiceLinks", "boolean", "string"),
    ],
)
def test_a_wrong_type_is_a_sentence_with_the_path(
    document: dict[str, Any], field: str, wanted: str, got: str
) -> None:
    with pytest.raises(DecodingError) as refused:
        decode(document, Service)
    assert refused.value.field == field
    assert str(refused.value) == (
        f'{field}: Invalid value: "{got}": {field} in body must be of type {wanted}: "{got}"'
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(DecodingError, match="the body is not a JSON object"):
        parse_json(body)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_is_that_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda v: st.dictionaries(st.sampled_from("abc"), v),
    max_leaves=8,
)


@given(values, values)
def test_merging_twice_is_merging_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
