"""What clients ask before they do anything: discovery in both forms, schemas, and questions about oneself."""

import re
from typing import Any

import httpx
import pytest

ACCEPT_BOTH = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1")
)
SERVICE_PATH = "/apis/serving.knative.dev/v1/namespaces/{namespace}/services/{name}"


async def aggregated(client: httpx.AsyncClient, path: str, accept: str = ACCEPT_BOTH) -> dict[str, Any]:
    answer = await client.get(path, headers={"accept": f"{accept},application/json"})
    assert answer.headers["content-type"] == accept.partition(",")[0]
    body: dict[str, Any] = answer.json()
    return body


async def test_both_forms_of_discovery_offer_the_same(client: httpx.AsyncClient) -> None:
    items = [item for path in ("/api", "/apis") for item in (await aggregated(client, path))["items"]]
    for group in items:
        for version in group["versions"]:
            name = group["metadata"]["name"]
            place = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
            listed = (await client.get(place)).json()["resources"]
            offered = [r["resource"] for r in version["resources"]] + [
                f"{r['resource']}/{sub['subresource']}"
                for r in version["resources"]
                for sub in r.get("subresources", ())
            ]
            assert sorted(r["name"] for r in listed) == sorted(offered)
            by_name = {r["name"]: r for r in listed}
            for resource in version["resources"]:
                legacy = by_name[resource["resource"]]
                assert legacy["verbs"] == resource["verbs"]
                assert legacy["singularName"] == resource["singularResource"]
                assert legacy.get("shortNames") == resource.get("shortNames")


async def test_the_form_is_the_first_that_the_client_names(client: httpx.AsyncClient) -> None:
    older = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
    assert (await aggregated(client, "/apis", older))["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    plain = await client.get("/apis", headers={"accept": "application/json"})
    assert plain.json()["kind"] == "APIGroupList"


async def test_knative_names_are_those_of_its_crds(client: httpx.AsyncClient) -> None:
    group = next(
        item
        for item in (await aggregated(client, "/apis"))["items"]
        if item["metadata"]["name"] == "serving.knative.dev"
    )
    assert [version["version"] for version in group["versions"]] == ["v1", "v1beta1"]
    services = next(r for r in group["versions"][0]["resources"] if r["resource"] == "services")
    assert services["shortNames"] == ["kservice", "ksvc"]
    assert services["categories"] == ["all", "knative", "serving"]
    assert services["subresources"][0]["verbs"] == ["get", "patch", "update"]


async def test_every_document_of_the_schema_list_is_complete(client: httpx.AsyncClient) -> None:
    documents = (await client.get("/openapi/v3")).json()["paths"]
    assert {"api/v1", "apis/serving.knative.dev/v1", "apis/serving.knative.dev/v1beta1"} <= documents.keys()
    for place in documents.values():
        answer = await client.get(place["serverRelativeURL"])
        schemas = answer.json()["components"]["schemas"]
        references = set(re.findall(r'"#/components/schemas/([^"]*)"', answer.text))
        assert references <= schemas.keys()
        assert '"null"' not in answer.text
    assert (await client.get("/openapi/v3/apis/example.com/v1")).status_code == 404


async def test_the_schema_of_services_has_what_kubectl_looks_for(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi/v3/apis/serving.knative.dev/v1")).json()
    patch = document["paths"][SERVICE_PATH]["patch"]
    gvk = {"group": "serving.knative.dev", "version": "v1", "kind": "Service"}
    assert patch["x-kubernetes-group-version-kind"] == gvk
    assert {"dryRun", "fieldValidation", "fieldManager", "force"} <= {p["name"] for p in patch["parameters"]}
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    schema = document["components"]["schemas"]["dev.knative.serving.v1.Service"]
    assert schema["x-kubernetes-group-version-kind"] == [gvk]
    core = (await client.get("/openapi/v3/api/v1")).json()["paths"]
    of_config_map = core["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"]["requestBody"][
        "content"
    ]
    assert "application/strategic-merge-patch+json" in of_config_map
    assert "put" not in core["/api/v1/nodes/{name}"]


async def test_the_old_schema_is_an_empty_document(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi/v2")
    assert answer.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert len(answer.content) == 30


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_user_may_ask_who_they_are(client: httpx.AsyncClient, version: str) -> None:
    answer = await client.post(f"/apis/authentication.k8s.io/{version}/selfsubjectreviews", json={})
    assert answer.status_code == 201
    assert answer.json()["status"]["userInfo"]["username"] == "minirun"


async def test_a_user_may_ask_what_they_may_do(client: httpx.AsyncClient) -> None:
    address = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    wanted = {"verb": "create", "resource": "services", "group": "serving.knative.dev"}
    answer = await client.post(address, json={"spec": {"resourceAttributes": wanted}})
    assert answer.status_code == 201
    assert answer.json()["status"]["allowed"] is True
    assert answer.json()["spec"]["resourceAttributes"] == wanted
    assert (await client.post(address, json={"spec": {}})).status_code == 422
    assert (await client.get(address)).status_code in (404, 405)
