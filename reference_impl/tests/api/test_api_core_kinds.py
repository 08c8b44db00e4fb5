"""Kinds of core/v1 beside Knative's: Secrets, and Services of two groups."""

import httpx

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
