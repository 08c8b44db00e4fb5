"""Patches of every media type, and server-side apply: who owns what, and who is told so."""

import json
from typing import Any

import httpx
import pytest

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
HELLO = f"{SERVICES}/hello"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def service(image: str = "hello", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello"} | metadata,
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
    }


async def patch(
    client: httpx.AsyncClient, media_type: str, body: object, address: str = HELLO, **query: str
) -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    headers = {"content-type": f"application/{media_type}"}
    return await client.patch(address, content=content, headers=headers, params=query)


async def apply(
    client: httpx.AsyncClient, document: object, manager: str = "kubectl", address: str = HELLO, **query: str
) -> httpx.Response:
    return await patch(client, "apply-patch+yaml", document, address, fieldManager=manager, **query)


async def create(client: httpx.AsyncClient, manager: str = "kn", **metadata: Any) -> dict[str, Any]:
    answer = await client.post(SERVICES, json=service(**metadata), params={"fieldManager": manager})
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 201, body
    return body


def owners(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["manager"]: entry["fieldsV1"] for entry in body["metadata"]["managedFields"]}


# --- patches -------------------------------------------------------------------------------------------


async def test_a_json_patch_does_all_or_nothing(client: httpx.AsyncClient) -> None:
    created = await create(client, labels={"a": "1"})
    good = [
        {"op": "test", "path": "/metadata/labels/a", "value": "1"},
        {"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/b"},
        {"op": "copy", "from": "/metadata/labels/b", "path": "/metadata/labels/c~1d"},
        {"op": "add", "path": "/spec/template/spec/containers/0/env", "value": []},
        {"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "X", "value": "1"}},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "other"},
        {"op": "remove", "path": "/metadata/labels/b"},
    ]
    bad = [*good, {"op": "test", "path": "/spec/template/spec/timeoutSeconds", "value": 1}]
    refused = await patch(client, "json-patch+json", bad)
    assert (refused.status_code, refused.json()["reason"]) == (422, "Invalid")
    assert refused.json()["message"] == (
        "the server rejected our request due to an error in our request: "
        "testing value /spec/template/spec/timeoutSeconds failed: test failed"
    )
    assert (await client.get(HELLO)).json() == created
    body = (await patch(client, "json-patch+json", good)).json()
    assert body["metadata"]["labels"] == {"c/d": "1"}
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "other"
    assert body["metadata"]["generation"] == 2


@pytest.mark.parametrize("body", ["{", "{}", '[{"op":1}]', '["remove"]'])
async def test_a_json_patch_that_is_none_is_400(client: httpx.AsyncClient, body: str) -> None:
    await create(client)
    assert (await patch(client, "json-patch+json", body)).status_code == 400


async def test_a_json_patch_can_not_grow_without_bound(client: httpx.AsyncClient) -> None:
    await create(client, annotations={"a": "x" * 1000})
    doubled = [{"op": "copy", "from": "/metadata", "path": f"/metadata/{n}"} for n in range(40)]
    assert (await patch(client, "json-patch+json", doubled)).status_code == 413
    assert (await patch(client, "json-patch+json", doubled[:1] * 10_001)).status_code == 413


async def test_a_strategic_merge_patch_is_for_core_kinds_only(client: httpx.AsyncClient) -> None:
    await create(client)
    refused = await patch(client, "strategic-merge-patch+json", {})
    assert (refused.status_code, refused.json()["reason"]) == (415, "UnsupportedMediaType")
    assert refused.json()["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    await client.post(CONFIG_MAPS, json={"metadata": {"name": "a", "finalizers": ["x/1", "x/2"]}, "data": {}})
    wanted = {
        "data": {"k": "v"},
        "metadata": {"finalizers": ["x/3"], "$deleteFromPrimitiveList/finalizers": ["x/1"]},
    }
    body = (await patch(client, "strategic-merge-patch+json", wanted, f"{CONFIG_MAPS}/a")).json()
    assert (body["data"], body["metadata"]["finalizers"]) == ({"k": "v"}, ["x/2", "x/3"])


async def test_a_member_that_is_there_twice_is_told(client: httpx.AsyncClient) -> None:
    text = json.dumps(service(labels={"a": "1"})).replace('"a": "1"', '"a": "1", "a": "2"')
    headers = {"content-type": "application/json"}
    warned = await client.post(SERVICES, content=text, headers=headers, params={"dryRun": "All"})
    assert warned.headers["warning"] == '299 - "duplicate field \\"metadata.labels.a\\""'
    assert warned.json()["metadata"]["labels"] == {"a": "2"}
    refused = await client.post(SERVICES, content=text, headers=headers, params={"fieldValidation": "Strict"})
    assert refused.json()["message"].endswith('strict decoding error: duplicate field "metadata.labels.a"')


async def test_status_is_written_apart(client: httpx.AsyncClient) -> None:
    created = await create(client)
    status = {"observedGeneration": 7, "url": "http://x"}
    document = {**created, "spec": {"template": {}}, "status": status}
    written = (await client.put(f"{HELLO}/status", json=document)).json()
    assert (written["status"], written["spec"]) == (status, created["spec"])
    patched = await patch(client, "merge-patch+json", {"status": {"url": "http://y"}}, f"{HELLO}/status")
    assert patched.json()["status"] == {"observedGeneration": 7, "url": "http://y"}
    assert (await client.get(f"{HELLO}/status")).json() == patched.json()
    assert patched.json()["metadata"]["generation"] == 1
    assert (await client.put(f"{HELLO}/status", json=document)).status_code == 409
    assert (await client.delete(f"{HELLO}/status")).status_code == 405


# --- server-side apply ---------------------------------------------------------------------------------


async def test_apply_creates_and_then_is_no_write(client: httpx.AsyncClient) -> None:
    created = await apply(client, service())
    assert created.status_code == 201
    (entry,) = created.json()["metadata"]["managedFields"]
    assert entry.pop("time")
    assert entry == {
        "manager": "kubectl",
        "operation": "Apply",
        "apiVersion": "serving.knative.dev/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {}}}}},
    }
    again = await apply(client, service())
    assert (again.status_code, again.json()) == (200, created.json())


async def test_apply_takes_yaml_too(client: httpx.AsyncClient) -> None:
    text = """
    apiVersion: serving.knative.dev/v1
    kind: Service
    metadata: {name: hello, annotations: {when: 2026-11-24}}
    spec: {template: {spec: {containers: [{image: hello}]}}}
    """
    body = (await apply(client, text)).json()
    assert body["metadata"]["annotations"]["when"] == "2026-11-24"
    bomb = "a: &a [x]\nb: [*a, *a]"
    assert "aliases" in (await apply(client, bomb)).json()["message"]
    assert (await apply(client, "{")).status_code == 400


async def test_what_is_applied_no_longer_goes(client: httpx.AsyncClient) -> None:
    await apply(client, service(labels={"a": "1", "b": "2"}))
    await apply(client, {**service(labels={"b": "2", "c": "3"}), "spec": None}, "other")
    body = (await apply(client, service())).json()
    assert body["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert owners(body)["other"] == {"f:metadata": {"f:labels": {"f:b": {}, "f:c": {}}}}


async def test_a_field_of_somebody_else_is_a_conflict(client: httpx.AsyncClient) -> None:
    created = await create(client)
    refused = await apply(client, service("other"))
    assert refused.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "kn" using serving.knative.dev/v1: '
        ".spec.template.spec.containers",
        "reason": "Conflict",
        "details": {
            "causes": [
                {
                    "reason": "FieldManagerConflict",
                    "message": 'conflict with "kn" using serving.knative.dev/v1',
                    "field": ".spec.template.spec.containers",
                }
            ]
        },
        "code": 409,
    }
    assert (await client.get(HELLO)).json() == created
    taken = await apply(client, service("other"), force="true")
    assert taken.status_code == 200
    assert "f:containers" not in json.dumps(owners(taken.json())["kn"])
    assert "f:containers" in json.dumps(owners(taken.json())["kubectl"])


async def test_several_conflicts_are_listed_by_manager(client: httpx.AsyncClient) -> None:
    await create(client, labels={"a": "1"})
    await apply(client, {**service(labels={"b": "1"}), "spec": None}, "second")
    refused = await apply(client, service("other", labels={"a": "2", "b": "2"}))
    assert refused.json()["message"] == (
        'Apply failed with 3 conflicts: conflicts with "kn" using serving.knative.dev/v1:\n'
        "- .metadata.labels.a\n- .spec.template.spec.containers\n"
        'conflicts with "second":\n- .metadata.labels.b'
    )


async def test_saying_the_same_shares_a_field(client: httpx.AsyncClient) -> None:
    await create(client)
    assert (await apply(client, service())).status_code == 200
    body = (await apply(client, {**service(), "spec": None})).json()
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "hello"


async def test_the_pass_of_kubectl_for_its_annotation_leaves_the_rest(client: httpx.AsyncClient) -> None:
    text = json.dumps(service())
    created = await create(client, "kubectl-client-side-apply", annotations={LAST_APPLIED: text})
    first = await apply(client, service(), force="true")
    annotation = {**service(annotations={LAST_APPLIED: "new"})}
    del annotation["spec"]
    second = (await apply(client, annotation, "kubectl-last-applied", force="true")).json()
    assert first.status_code == 200
    assert second["spec"] == created["spec"]
    assert second["metadata"]["annotations"][LAST_APPLIED] == "new"
    assert owners(second)["kubectl-last-applied"] == {
        "f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}
    }


async def test_kubectl_moves_to_the_server_without_conflicts_of_its_own(client: httpx.AsyncClient) -> None:
    document = service(labels={"a": "1"})
    text = json.dumps(document)
    await create(client, "kubectl-client-side-apply", annotations={LAST_APPLIED: text}, labels={"a": "1"})
    await patch(client, "merge-patch+json", {"metadata": {"labels": {"a": "2"}}}, fieldManager="label")
    refused = await apply(client, service("other", labels={"a": "3"}))
    assert refused.json()["message"].endswith(
        'conflict with "label" using serving.knative.dev/v1: .metadata.labels.a'
    )
    assert (await apply(client, service("other", labels={"a": "3"}), "somebody")).status_code == 409
    moved = await apply(client, service("other", labels={"a": "2"}))
    assert moved.status_code == 200
    assert "f:containers" not in json.dumps(owners(moved.json())["kubectl-client-side-apply"])


async def test_kubectl_moves_ownership_with_a_json_patch(client: httpx.AsyncClient) -> None:
    created = await create(client, "kubectl-client-side-apply")
    entries = created["metadata"]["managedFields"]
    entries[0] |= {"manager": "kubectl", "operation": "Apply"}
    moved = await patch(
        client,
        "json-patch+json",
        [
            {"op": "replace", "path": "/metadata/managedFields", "value": entries},
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": created["metadata"]["resourceVersion"],
            },
        ],
    )
    assert moved.json()["metadata"]["managedFields"] == entries
    assert (await apply(client, service("other"))).status_code == 200


async def test_a_client_may_reset_owners_but_not_forge_nonsense(client: httpx.AsyncClient) -> None:
    created = await create(client)
    nonsense = {"metadata": {"managedFields": [{"manager": "x", "operation": "y"}]}}
    kept = (await patch(client, "merge-patch+json", nonsense)).json()
    assert kept["metadata"]["managedFields"] == created["metadata"]["managedFields"]
    reset = (await patch(client, "merge-patch+json", {"metadata": {"managedFields": []}})).json()
    assert "managedFields" not in reset["metadata"]


async def test_the_user_agent_names_a_manager_that_does_not(client: httpx.AsyncClient) -> None:
    answer = await client.post(SERVICES, json=service(), headers={"user-agent": "kn/v1.15 (linux)"})
    assert list(owners(answer.json())) == ["kn"]


@pytest.mark.parametrize(
    ("document", "query", "code", "text"),
    [
        (service(), {"fieldManager": ""}, 422, "fieldManager: Required value: is required for apply patch"),
        (service(), {"fieldManager": "x" * 129}, 422, "fieldManager: Invalid value"),
        ({"spec": {}}, {}, 400, "Object 'kind' is missing"),
        ({**service(), "metadata": {"managedFields": [{}]}}, {}, 400, "managedFields must be nil"),
        (service(resourceVersion="1"), {}, 409, "the object has been modified"),
        (service(""), {}, 400, "missing field(s): spec.template.spec.containers[0].image"),
        ({**service(), "spek": 1}, {"fieldValidation": "Strict"}, 400, 'unknown field "spek"'),
    ],
)
async def test_refused_applies(
    client: httpx.AsyncClient, document: dict[str, Any], query: dict[str, str], code: int, text: str
) -> None:
    created = await create(client)
    answer = await patch(
        client, "apply-patch+yaml", document, **{"fieldManager": "m", "force": "true"} | query
    )
    assert (answer.status_code, text in answer.json()["message"]) == (code, True), answer.text
    assert (await client.get(HELLO)).json() == created


async def test_a_dry_apply_stores_nothing(client: httpx.AsyncClient) -> None:
    answer = await apply(client, service(), dryRun="All")
    assert (answer.status_code, answer.json()["spec"]["template"]["spec"]["timeoutSeconds"]) == (201, 300)
    assert (await client.get(HELLO)).status_code == 404
