"""The engine that makes documents of one API from those of another, and Cloud Run's tables in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.api.cloudrun_v2 import masked
from minirun.api.mapping import (
    DURATION,
    FLAG,
    NUMBER,
    USERS,
    Row,
    Table,
    each,
    enum,
    nested,
    rows,
    to_v1,
    to_v2,
)
from minirun.api.mapping_services import service_to_v1, service_to_v2, target_to_v1, target_to_v2

COLOUR = enum("COLOUR_", {1: ("RED", "red"), 2: ("BLUE", "blue")})
TABLE: Table = (
    *rows("name"),
    Row(("labels",), ("meta", "labels"), USERS),
    Row(("colour",), ("meta", "labels", "run.googleapis.com/colour"), COLOUR),
    Row(("on",), ("on",), FLAG),
    Row(("limit", "most"), ("most",), NUMBER),
    Row(("wait",), ("wait",), DURATION),
    Row(("parts",), ("deep", "parts"), each(nested(rows("id")))),
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(min_size=1),
        "labels": st.dictionaries(st.sampled_from(["team", "stage"]), st.text(min_size=1), min_size=1),
        "colour": st.sampled_from(["COLOUR_RED", "COLOUR_BLUE"]),
        "on": st.just(True),
        "limit": st.fixed_dictionaries({"most": st.integers(1)}),
        "wait": st.integers(1, 10**6).map("{}s".format),
        "parts": st.lists(st.fixed_dictionaries({"id": st.integers(1)}), min_size=1),
    },
)


@given(DOCUMENTS)
def test_there_and_back_is_the_same_document(document: dict[str, Any]) -> None:
    assert to_v2(TABLE, to_v1(TABLE, document)) == document


def test_what_is_empty_or_a_default_leaves_no_trace() -> None:
    assert to_v1(TABLE, {"name": "", "on": False, "parts": [], "colour": 0, "limit": {}}) == {}


def test_enums_are_taken_by_number_and_by_name_and_others_are_refused() -> None:
    assert COLOUR.to_v1(2) == COLOUR.to_v1("COLOUR_BLUE") == "blue"
    assert COLOUR.to_v1("COLOUR_UNSPECIFIED") is None
    assert COLOUR.to_v2("RED") == "COLOUR_RED"
    for wrong in (7, "GREEN"):
        with pytest.raises(ValueError, match="COLOUR_RED"):
            COLOUR.to_v1(wrong)


def test_a_traffic_target_follows_the_latest_revision_unless_it_names_one() -> None:
    assert target_to_v1({"percent": 100}) == {"latestRevision": True, "percent": 100}
    named = {"type": 2, "revision": "projects/p/locations/r/services/s/revisions/s-00001", "tag": "a"}
    assert target_to_v1(named) == {"revisionName": "s-00001", "tag": "a"}
    shown = target_to_v2({"latestRevision": True, "revisionName": "s-00002", "percent": 100}, resolved=True)
    assert (shown["type"].endswith("LATEST"), shown["revision"]) == (True, "s-00002")


@pytest.mark.parametrize(
    ("resources", "annotation", "idle"),
    [({}, None, True), ({"cpuIdle": True}, "true", True), ({"limits": {"cpu": "1"}}, "false", False)],
)
def test_resources_without_cpu_idle_mean_instance_based_billing(
    resources: dict[str, Any], annotation: str | None, idle: bool
) -> None:
    container = {"image": "a"} | ({"resources": resources} if resources else {})
    v1 = service_to_v1({"template": {"containers": [container]}}, "s")
    notes = v1["spec"]["template"].get("metadata", {}).get("annotations", {})
    assert notes.get("run.googleapis.com/cpu-throttling") == annotation
    shown = service_to_v2(v1 | {"status": {}}, "projects/p/locations/r", "Unknown")
    assert shown["template"]["containers"][0]["resources"]["cpuIdle"] is idle


def test_annotations_without_a_field_in_v2_stay_when_a_service_is_replaced() -> None:
    notes = {"run.googleapis.com/new": "1", "mine": "2", "run.googleapis.com/description": "x"}
    stored = {"metadata": {"annotations": notes}}
    new = service_to_v1({"annotations": {"mine": "3"}}, "s", stored)
    assert new["metadata"]["annotations"] == {"run.googleapis.com/new": "1", "mine": "3"}


def test_a_mask_takes_its_fields_from_the_new_document_and_leaves_the_old_one_alone() -> None:
    old = {"description": "a", "template": {"timeout": "1s", "labels": {"x": "1"}}}
    new = {"template": {"timeout": "2s"}, "ingress": 1}
    merged = masked(old, new, ["template.timeout", "description", "max_count"])
    assert merged == {"template": {"timeout": "2s", "labels": {"x": "1"}}}
    assert old["description"] == "a"
