"""Kinds of core/v1 beside Knative's, and domain mappings: their rules, and Services of two groups."""

from typing import Any

import httpx
import pytest

from minirun.model.resources import CoreService, Secret, Service
from minirun.store.store import Store

CORE = "/api/v1/namespaces/default"
KNATIVE = "/apis/serving.knative.dev/v1/namespaces/default"


async def test_the_text_of_a_secret_is_stored_as_data(client: httpx.AsyncClient, store: Store) -> None:
    body = {"metadata": {"name": "s"}, "data": {"a": "AAE=", "b": "eA=="}, "stringData": {"b": "text"}}
    made = (await client.post(f"{CORE}/secrets", json=body)).json()
    assert made["data"] == {"a": "AAE=", "b": "dGV4dA=="}
    assert made["type"] == "Opaque"
    assert "stringData" not in made
    assert store.get(Secret, "default", "s").data == {"a": b"\x00\x01", "b": b"text"}


async def test_data_of_a_secret_that_is_not_base64_is_refused(client: httpx.AsyncClient) -> None:
    body = {"metadata": {"name": "s"}, "data": {"a": "?"}}
    assert (await client.post(f"{CORE}/secrets", json=body)).status_code == 422


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30T10:00:00Z", "0001-01-01"])
async def test_an_event_of_no_time_is_refused(client: httpx.AsyncClient, text: str) -> None:
    event = {"metadata": {"name": "e"}, "lastTimestamp": text}
    refused = await client.post(f"{CORE}/events", json=event)
    assert refused.status_code == 422
    assert f'lastTimestamp: Invalid value: "{text}": must be an RFC 3339 time' in refused.json()["message"]


async def test_a_condition_of_no_time_is_refused(client: httpx.AsyncClient) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}
    assert (await client.post(f"{KNATIVE}/services", json=service)).status_code == 201
    status = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "soon"}]}
    refused = await client.put(f"{KNATIVE}/services/s/status", json=service | {"status": status})
    assert refused.status_code == 422
    assert "status.conditions[0].lastTransitionTime" in refused.json()["message"]


async def test_an_owner_without_uid_is_refused(client: httpx.AsyncClient) -> None:
    owner = {"apiVersion": "v1", "kind": "Secret", "name": "o", "uid": ""}
    body = {"metadata": {"name": "c", "ownerReferences": [owner]}}
    refused = await client.post(f"{CORE}/configmaps", json=body)
    assert refused.status_code == 422
    assert 'ownerReferences.uid: Invalid value: "": must not be empty' in refused.json()["message"]


async def test_services_of_two_groups_live_beside_each_other(client: httpx.AsyncClient, store: Store) -> None:
    core = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "hello"},
        "spec": {"type": "ExternalName"},
    }
    knative = {
        "metadata": {"name": "hello"},
        "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}},
    }
    assert (await client.post(f"{CORE}/services", json=core)).status_code == 201
    made = await client.post(f"{KNATIVE}/services", json=knative)
    assert made.status_code == 201, made.text
    assert (await client.get(f"{CORE}/services/hello")).json()["apiVersion"] == "v1"
    assert (await client.get(f"{KNATIVE}/services")).json()["kind"] == "ServiceList"
    await client.delete(f"{CORE}/services/hello")
    assert store.find(CoreService, "default", "hello") is None
    assert store.find(Service, "default", "hello") is not None


MERGE = {"content-type": "application/merge-patch+json"}
DOMAINS = "/apis/serving.knative.dev/v1beta1/namespaces/default/domainmappings"


@pytest.mark.parametrize(
    ("plural", "patch", "said"),
    [
        ("configmaps", {"data": {"a": "c"}}, "data: Forbidden: field is immutable when `immutable` is set"),
        (
            "configmaps",
            {"immutable": None},
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ),
        (
            "secrets",
            {"stringData": {"b": "c"}},
            "data: Forbidden: field is immutable when `immutable` is set",
        ),
        ("secrets", {"type": "x"}, 'type: Invalid value: "x": field is immutable'),
    ],
)
async def test_what_is_immutable_stays(
    client: httpx.AsyncClient, plural: str, patch: dict[str, Any], said: str
) -> None:
    body = {"metadata": {"name": "m"}, "data": {"a": "YQ=="}, "immutable": True}
    assert (await client.post(f"{CORE}/{plural}", json=body)).status_code == 201
    refused = await client.patch(f"{CORE}/{plural}/m", json=patch, headers=MERGE)
    assert refused.status_code == 422
    assert refused.json()["message"].endswith(f'"m" is invalid: {said}')
    labelled = await client.patch(
        f"{CORE}/{plural}/m", json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE
    )
    assert labelled.status_code == 200


async def test_keys_of_a_config_map_are_checked(client: httpx.AsyncClient) -> None:
    body = {"metadata": {"name": "m"}, "data": {"a b": "c", "d": ""}, "binaryData": {"d": ""}}
    said = (await client.post(f"{CORE}/configmaps", json=body)).json()["message"]
    assert 'data[a b]: Invalid value: "a b": a valid config key must consist of' in said
    assert 'data[d]: Invalid value: "d": duplicate of key present in binaryData' in said
    large = {"metadata": {"name": "m"}, "data": {"a": "x" * (1 << 20) + "x"}}
    refused = await client.post(f"{CORE}/configmaps", json=large)
    assert "may not be more than 1048576 bytes" in refused.json()["message"]


def mapping(name: str = "www.example.com", **ref: str) -> dict[str, Any]:
    to = {"kind": "Service", "name": "hello", "apiVersion": "serving.knative.dev/v1"} | ref
    return {"metadata": {"name": name}, "spec": {"ref": to}}


async def test_a_domain_mapping_refers_to_its_own_namespace(client: httpx.AsyncClient) -> None:
    made = await client.post(DOMAINS, json=mapping())
    assert made.json()["spec"]["ref"]["namespace"] == "default"
    assert made.json()["metadata"]["annotations"]["serving.knative.dev/creator"] == "minirun"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            mapping("short"),
            'invalid name "short": name: Invalid value: "short": should be a domain with at least',
        ),
        (mapping(kind="", apiVersion=""), "missing field(s): spec.ref.apiVersion, spec.ref.kind"),
        (
            mapping(namespace="other"),
            "mismatched namespaces: spec.ref.namespace\n"
            'parent namespace: "default" does not match ref: "other"',
        ),
    ],
)
async def test_a_domain_mapping_that_can_not_be_is_refused(
    client: httpx.AsyncClient, document: dict[str, Any], said: str
) -> None:
    refused = await client.post(DOMAINS, json=document)
    assert refused.status_code == 400
    assert said in refused.json()["message"]
