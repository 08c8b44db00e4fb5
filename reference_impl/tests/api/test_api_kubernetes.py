"""The verbs over HTTP: shapes, status codes and texts of section 4 of the wire contract."""

import json
from typing import Any

import httpx
import pytest

from minirun.model.meta import ObjectMeta, replace, with_meta
from minirun.model.resources import ConfigMap, Pod, Revision, Service
from minirun.store.store import Store

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"content-type": "application/merge-patch+json"}


def service(name: str = "hello", image: str = "hello", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name} | metadata,
        "spec": {"template": {"spec": {"containers": [{"name": "", "image": image, "resources": {}}]}}},
        "status": {},
    }


def config_map(name: str, namespace: str = "default", **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace), data=data)


# --- create --------------------------------------------------------------------------------------------


async def test_create_answers_201_with_the_completed_object(client: httpx.AsyncClient, store: Store) -> None:
    answer = await client.post(SERVICES, json=service(creationTimestamp=None))
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert body["metadata"]["namespace"] == "default"
    assert body["metadata"]["generation"] == 1
    assert body["metadata"]["resourceVersion"] == str(store.version)
    assert body["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert (await client.get(f"{SERVICES}/hello")).json() == body


async def test_create_under_a_taken_name_is_409(client: httpx.AsyncClient) -> None:
    await client.post(SERVICES, json=service())
    answer = await client.post(SERVICES, json=service())
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'services.serving.knative.dev "hello" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "hello", "group": "serving.knative.dev", "kind": "services"},
        "code": 409,
    }


async def test_generate_name_makes_names_that_differ(client: httpx.AsyncClient) -> None:
    document = service() | {"metadata": {"generateName": "hello-"}}
    names = {(await client.post(SERVICES, json=document)).json()["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("hello-") and len(name) == len("hello-") + 5 for name in names)


async def test_the_namespace_must_be_there(client: httpx.AsyncClient) -> None:
    elsewhere = SERVICES.replace("default", "x")
    answer = await client.post(elsewhere, json=service())
    assert (answer.status_code, answer.json()["message"]) == (404, 'namespaces "x" not found')
    await client.post("/api/v1/namespaces", json={"metadata": {"name": "x"}})
    assert (await client.post(elsewhere, json=service())).status_code == 201


REFUSED_CREATES: dict[str, tuple[dict[str, Any], int, str]] = {
    "an unknown field, strictly": (
        service()
        | {"spec": {"template": {"spec": {"containerz": [1], "containers": [{"image": "a", "x": 1}]}}}},
        400,
        'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field '
        '"spec.template.spec.containers[0].x", unknown field "spec.template.spec.containerz"',
    ),
    "no image": (
        service(image=""),
        400,
        'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: '
        "missing field(s): spec.template.spec.containers[0].image",
    ),
    "a wrong annotation": (
        service()
        | {
            "spec": {
                "template": {
                    "metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "-1"}},
                    "spec": {"containers": [{"image": "a"}]},
                }
            }
        },
        400,
        'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: '
        "expected 0 <= -1 <= 2147483647: "
        "spec.template.metadata.annotations.autoscaling.knative.dev/min-scale",
    ),
    "a wrong type": (
        service() | {"spec": {"template": {"spec": {"timeoutSeconds": "5"}}}},
        422,
        'Service.serving.knative.dev "" is invalid: spec.template.spec.timeoutSeconds: Invalid value: '
        '"string": spec.template.spec.timeoutSeconds in body must be of type integer: "string"',
    ),
    "no name": (
        service(name=""),
        422,
        'Service.serving.knative.dev "" is invalid: metadata.name: Required value: name or generateName is '
        "required",
    ),
    "another kind": (
        service() | {"kind": "Route"},
        400,
        "the object in the body is serving.knative.dev/v1, Kind=Route; "
        "this address takes serving.knative.dev/v1, Kind=Service",
    ),
    "another namespace": (
        service(namespace="elsewhere"),
        400,
        "the namespace of the provided object (elsewhere) does not match the namespace sent on the request"
        " (default)",
    ),
}


@pytest.mark.parametrize(("document", "code", "message"), REFUSED_CREATES.values(), ids=REFUSED_CREATES)
async def test_a_create_is_refused(
    client: httpx.AsyncClient, store: Store, document: dict[str, Any], code: int, message: str
) -> None:
    before = store.version
    answer = await client.post(SERVICES, json=document, params={"fieldValidation": "Strict"})
    assert (answer.status_code, answer.json()["message"]) == (code, message)
    assert store.version == before


async def test_a_label_value_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(CONFIG_MAPS, json={"metadata": {"name": "A_", "labels": {"a": "-b"}}})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith(
        'ConfigMap "A_" is invalid: [metadata.name: Invalid value: "A_": a low'
    )
    assert 'metadata.labels: Invalid value: "-b": a valid label must be an empty' in answer.json()["message"]


@pytest.mark.parametrize(
    ("mode", "warnings"), [("Warn", ['299 - "unknown field \\"spec.x\\""']), ("Ignore", [])]
)
async def test_unknown_fields_are_warned_of_or_dropped(
    client: httpx.AsyncClient, mode: str, warnings: list[str]
) -> None:
    document = service()
    document["spec"]["x"] = 1
    answer = await client.post(SERVICES, json=document, params={"fieldValidation": mode})
    assert answer.status_code == 201
    assert answer.headers.get_list("warning") == warnings


@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
async def test_a_dry_run_answers_as_usual_and_stores_nothing(
    client: httpx.AsyncClient, store: Store, verb: str
) -> None:
    if verb != "create":
        await client.post(SERVICES, json=service())
    before = store.version
    params = {"dryRun": "All"}
    if verb == "create":
        answer = await client.post(SERVICES, json=service(), params=params)
    elif verb == "update":
        answer = await client.put(
            f"{SERVICES}/hello", json=service(image="new", annotations=SIGNED), params=params
        )
    elif verb == "patch":
        patch = {"spec": {"template": {"spec": {"timeoutSeconds": 9}}}}
        answer = await client.patch(
            f"{SERVICES}/hello", content=json.dumps(patch), headers=MERGE, params=params
        )
    else:
        answer = await client.delete(f"{SERVICES}/hello", params=params)
    assert answer.is_success, answer.text
    assert store.version == before


SIGNED = {"serving.knative.dev/creator": "minirun", "serving.knative.dev/lastModifier": "minirun"}


# --- update and patch ----------------------------------------------------------------------------------


async def test_put_replaces_spec_and_keeps_status(client: httpx.AsyncClient, store: Store) -> None:
    created = (await client.post(SERVICES, json=service())).json()
    stored = store.get(Service, "default", "hello")
    store.update(
        Service(metadata=stored.metadata, spec=stored.spec, status=type(stored.status)(url="http://x"))
    )
    created["spec"]["template"]["spec"]["containers"][0]["image"] = "hello:2"
    del created["metadata"]["resourceVersion"]
    answer = (
        await client.put(f"{SERVICES}/hello", json=created | {"status": {"url": "http://forged"}})
    ).json()
    assert answer["metadata"]["generation"] == 2
    assert answer["metadata"]["uid"] == created["metadata"]["uid"]
    assert answer["status"] == {"url": "http://x"}


async def test_put_of_an_older_version_conflicts(client: httpx.AsyncClient) -> None:
    created = (await client.post(SERVICES, json=service())).json()
    created["metadata"]["labels"] = {"a": "1"}
    assert (await client.put(f"{SERVICES}/hello", json=created)).status_code == 200
    for params in ({}, {"dryRun": "All"}):
        answer = await client.put(f"{SERVICES}/hello", json=created, params=params)
        assert answer.json()["reason"] == "Conflict"
        assert answer.json()["message"] == (
            'Operation cannot be fulfilled on services.serving.knative.dev "hello": '
            "the object has been modified; please apply your changes to the latest version and try again"
        )


@pytest.mark.parametrize("params", [{}, {"dryRun": "All"}], ids=["stored", "dry run"])
async def test_a_write_meant_for_another_uid_is_409(
    client: httpx.AsyncClient, params: dict[str, str]
) -> None:
    created = (await client.post(SERVICES, json=service())).json()
    del created["metadata"]["resourceVersion"]
    created["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    answer = await client.put(f"{SERVICES}/hello", json=created, params=params)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")


async def test_writing_the_same_again_is_no_write(client: httpx.AsyncClient, store: Store) -> None:
    created = (await client.post(SERVICES, json=service())).json()
    before = store.version
    assert (await client.put(f"{SERVICES}/hello", json=created)).json() == created
    patched = await client.patch(f"{SERVICES}/hello", content=b'{"spec":{}}', headers=MERGE)
    assert patched.json() == created
    assert store.version == before


async def test_a_merge_patch_merges_removes_and_replaces_lists(client: httpx.AsyncClient) -> None:
    await client.post(SERVICES, json=service(labels={"a": "1", "b": "2"}))
    patch = {
        "metadata": {"labels": {"a": None, "c": "3"}},
        "spec": {"template": {"spec": {"containers": [{"image": "other"}]}}},
    }
    answer = (await client.patch(f"{SERVICES}/hello", content=json.dumps(patch), headers=MERGE)).json()
    assert answer["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert [c["image"] for c in answer["spec"]["template"]["spec"]["containers"]] == ["other"]


async def test_a_patch_may_insist_on_a_version(client: httpx.AsyncClient) -> None:
    await client.post(SERVICES, json=service())
    patch = b'{"metadata":{"resourceVersion":"1","labels":{"a":"b"}}}'
    assert (await client.patch(f"{SERVICES}/hello", content=patch, headers=MERGE)).status_code == 409


async def test_a_patch_of_a_revision_spec_is_refused(client: httpx.AsyncClient, store: Store) -> None:
    store.create(Revision(metadata=ObjectMeta(name="r", namespace="default")))
    address = "/apis/serving.knative.dev/v1/namespaces/default/revisions/r"
    answer = await client.patch(address, content=b'{"spec":{"timeoutSeconds":5}}', headers=MERGE)
    assert "Immutable fields changed (-old +new): spec" in answer.json()["message"]


async def test_the_name_in_the_body_is_that_of_the_address(client: httpx.AsyncClient) -> None:
    await client.post(SERVICES, json=service())
    answer = await client.put(f"{SERVICES}/hello", json=service(name="other"))
    assert (
        answer.json()["message"]
        == "the name of the object (other) does not match the name on the URL (hello)"
    )


async def test_a_body_that_is_no_json_or_too_large_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    assert (await client.post(SERVICES, content=b"{", headers=headers)).status_code == 400
    answer = await client.post(SERVICES, content=b" " * (3 << 20) + b"{}", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_what_is_not_there_is_404(client: httpx.AsyncClient, method: str) -> None:
    headers = MERGE if method == "PATCH" else {"content-type": "application/json"}
    content = None if method in ("GET", "DELETE") else b"{}"
    answer = await client.request(method, f"{SERVICES}/nope", content=content, headers=headers)
    assert answer.json()["message"] == 'services.serving.knative.dev "nope" not found'
    assert answer.json()["details"] == {"name": "nope", "group": "serving.knative.dev", "kind": "services"}
    core = await client.request(method, f"{CONFIG_MAPS}/nope", content=content, headers=headers)
    assert core.json()["message"] == 'configmaps "nope" not found'
    assert core.json()["details"] == {"name": "nope", "kind": "configmaps"}


# --- settings ------------------------------------------------------------------------------------------

SYSTEM = "/api/v1/namespaces/knative-serving/configmaps"


async def test_a_wrong_setting_is_refused_at_the_door(client: httpx.AsyncClient, store: Store) -> None:
    document = {"metadata": {"name": "config-defaults"}, "data": {"container-concurrency": "many"}}
    answer = await client.post(SYSTEM, json=document)
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        'admission webhook "config.webhook.serving.knative.dev" denied the request: validation failed: '
        'failed to parse "container-concurrency": "many" is not a whole number',
    )
    autoscaler = {"metadata": {"name": "config-autoscaler"}, "data": {"stable-window": "1s"}}
    assert (await client.post(SYSTEM, json=autoscaler)).status_code == 400
    assert store.select(ConfigMap) == []
    assert (await client.post(CONFIG_MAPS, json=document)).status_code == 201, "elsewhere it is anybody's"


async def test_settings_and_profile_decide_defaults_and_limits(client: httpx.AsyncClient) -> None:
    data = {"revision-timeout-seconds": "20", "max-revision-timeout-seconds": "30"}
    await client.post(SYSTEM, json={"metadata": {"name": "config-defaults"}, "data": data})
    label = {"minirun.dev/profile": "cloudrun"}
    await client.post("/api/v1/namespaces", json={"metadata": {"name": "p", "labels": label}})
    knative = (await client.post(SERVICES, json=service())).json()["spec"]["template"]["spec"]
    cloud = await client.post(SERVICES.replace("default", "p"), json=service())
    assert (knative["timeoutSeconds"], knative["containerConcurrency"]) == (20, 0)
    template = cloud.json()["spec"]["template"]["spec"]
    assert (template["timeoutSeconds"], template["containerConcurrency"]) == (300, 80)
    too_long = service("slow")
    too_long["spec"]["template"]["spec"]["timeoutSeconds"] = 31
    assert "expected 0 <= 31 <= 30" in (await client.post(SERVICES, json=too_long)).text


# --- list ----------------------------------------------------------------------------------------------


async def test_a_list_has_its_kind_and_the_version_to_watch_from(
    client: httpx.AsyncClient, store: Store
) -> None:
    for name in ("b", "a"):
        store.create(config_map(name))
    body = (await client.get(CONFIG_MAPS)).json()
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert body["metadata"] == {"resourceVersion": str(store.version)}
    assert [(o["kind"], o["apiVersion"], o["metadata"]["name"]) for o in body["items"]] == [
        ("ConfigMap", "v1", "a"),
        ("ConfigMap", "v1", "b"),
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"labelSelector": "app=x"}, "ab"),
        ({"labelSelector": "app==x,tier=1"}, "a"),
        ({"labelSelector": "app!=x"}, "cd"),
        ({"labelSelector": "app in (x, y)"}, "abc"),
        ({"labelSelector": "app notin (x,y)"}, "d"),
        ({"labelSelector": "tier"}, "a"),
        ({"labelSelector": "!tier"}, "bcd"),
        ({"labelSelector": "app,!tier"}, "bc"),
        ({"labelSelector": "app="}, ""),
        ({"fieldSelector": "metadata.name=c"}, "c"),
        ({"fieldSelector": "metadata.name!=c,metadata.namespace=default"}, "abd"),
        ({"fieldSelector": "metadata.name=c", "labelSelector": "app=x"}, ""),
    ],
)
async def test_selectors(client: httpx.AsyncClient, store: Store, query: dict[str, str], names: str) -> None:
    for name, labels in (
        ("a", {"app": "x", "tier": "1"}),
        ("b", {"app": "x"}),
        ("c", {"app": "y"}),
        ("d", {}),
    ):
        store.create(with_meta(config_map(name), labels=labels))
    body = (await client.get(CONFIG_MAPS, params=query)).json()
    assert "".join(o["metadata"]["name"] for o in body["items"]) == names


@pytest.mark.parametrize(
    "query",
    [
        {"labelSelector": "a=b=c"},
        {"labelSelector": "a in x"},
        {"labelSelector": ",,"},
        {"fieldSelector": "status.x=1"},
    ],
)
async def test_a_selector_that_is_none_is_400(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    assert (await client.get(CONFIG_MAPS, params=query)).status_code == 400


async def test_pages_join_to_the_list_and_keep_its_version(client: httpx.AsyncClient, store: Store) -> None:
    for number in range(7):
        store.create(config_map(f"a{number}"))
    version, names, token, remaining = str(store.version), [], "", []
    while True:
        body = (await client.get(CONFIG_MAPS, params={"limit": "3", "continue": token})).json()
        names += [o["metadata"]["name"] for o in body["items"]]
        assert body["metadata"]["resourceVersion"] == version
        remaining.append(body["metadata"].get("remainingItemCount", 0))
        token = body["metadata"].get("continue", "")
        if not token:
            break
        store.create(config_map(f"0-late-{token[:2].lower()}{len(names)}"))
    assert names == [f"a{n}" for n in range(7)]
    assert remaining == [4, 1, 0]


async def test_a_list_as_of_an_older_version(client: httpx.AsyncClient, store: Store) -> None:
    first = store.create(config_map("a", x="1"))
    second = store.create(config_map("b"))
    third = store.update(replace(first, data={"x": "2"}))
    store.delete(ConfigMap, "default", "b")

    async def at(resource: ConfigMap) -> dict[str, dict[str, str]]:
        version = resource.metadata.resource_version
        query = {"resourceVersion": version, "resourceVersionMatch": "Exact"}
        body = (await client.get(CONFIG_MAPS, params=query)).json()
        assert body["metadata"]["resourceVersion"] == version
        return {each["metadata"]["name"]: each["data"] for each in body["items"]}

    assert await at(first) == {"a": {"x": "1"}}
    assert await at(second) == {"a": {"x": "1"}, "b": {}}
    assert await at(third) == {"a": {"x": "2"}, "b": {}}
    newer = {"resourceVersion": first.metadata.resource_version, "resourceVersionMatch": "NotOlderThan"}
    assert len((await client.get(CONFIG_MAPS, params=newer)).json()["items"]) == 1


async def test_a_page_of_a_version_that_is_gone_is_410(client: httpx.AsyncClient, store: Store) -> None:
    for name in "abc":
        store.create(config_map(name))
    body = (await client.get(CONFIG_MAPS, params={"limit": "1"})).json()
    store.create(config_map("d"))
    store._history.clear()
    answer = await client.get(CONFIG_MAPS, params={"continue": body["metadata"]["continue"]})
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")
    query = {"resourceVersion": "1", "resourceVersionMatch": "Exact"}
    assert (await client.get(CONFIG_MAPS, params=query)).status_code == 410


REFUSED_LISTS: list[tuple[dict[str, str], int, str]] = [
    ({"continue": "x"}, 400, "continue key is not valid"),
    ({"limit": "-1"}, 400, "limit"),
    ({"resourceVersion": "x"}, 400, "resourceVersion"),
    ({"resourceVersion": "99999"}, 504, "Timeout: Too large resource version: 99999, current: "),
    ({"resourceVersionMatch": "Exact"}, 422, "is forbidden unless resourceVersion is provided"),
    ({"resourceVersion": "0", "resourceVersionMatch": "Exact"}, 422, '"exact" is forbidden for resource'),
    ({"resourceVersion": "1", "resourceVersionMatch": "x"}, 422, 'Unsupported value: "x"'),
    ({"sendInitialEvents": "true"}, 422, "sendInitialEvents is forbidden for list"),
    ({"watch": "1", "sendInitialEvents": "true"}, 422, "requires setting resourceVersionMatch to NotOlder"),
    ({"watch": "1", "resourceVersionMatch": "NotOlderThan"}, 422, "unless sendInitialEvents is provided"),
    ({"watch": "1", "timeoutSeconds": "nan"}, 400, "timeoutSeconds"),
    ({"watch": "1", "resourceVersion": "99999"}, 504, "Too large resource version"),
]


@pytest.mark.parametrize(("query", "code", "text"), REFUSED_LISTS)
async def test_refused_lists_and_watches(
    client: httpx.AsyncClient, query: dict[str, str], code: int, text: str
) -> None:
    answer = await client.get(CONFIG_MAPS, params=query)
    assert (answer.status_code, text in answer.json()["message"]) == (code, True), answer.text


async def test_all_namespaces_are_listed_without_one(client: httpx.AsyncClient, store: Store) -> None:
    store.create(config_map("a"))
    store.create(config_map("a", namespace="knative-serving"))
    body = (await client.get("/api/v1/configmaps")).json()
    assert [o["metadata"]["namespace"] for o in body["items"]] == ["default", "knative-serving"]


# --- delete --------------------------------------------------------------------------------------------


async def test_delete_answers_success_with_the_uid(client: httpx.AsyncClient, store: Store) -> None:
    uid = (await client.post(SERVICES, json=service())).json()["metadata"]["uid"]
    answer = await client.request("DELETE", f"{SERVICES}/hello", json={"propagationPolicy": "Foreground"})
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "hello", "group": "serving.knative.dev", "kind": "services", "uid": uid},
    }
    assert store.select(Service) == []


async def test_what_has_finalizers_lingers(client: httpx.AsyncClient, store: Store) -> None:
    store.create(with_meta(config_map("a"), finalizers=["x"]))
    body = (await client.delete(f"{CONFIG_MAPS}/a")).json()
    assert body["kind"] == "ConfigMap"
    assert body["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize(
    ("query", "body", "kept"),
    [
        ({"gracePeriodSeconds": "0"}, None, 0),
        ({}, {"gracePeriodSeconds": 7}, 7),
        ({"gracePeriodSeconds": "5"}, {"gracePeriodSeconds": 7}, 5),
        ({}, {"gracePeriodSeconds": -1}, 1),
        ({}, {}, None),
    ],
)
async def test_a_pod_is_deleted_with_a_grace_period(
    client: httpx.AsyncClient, store: Store, query: dict[str, str], body: object, kept: int | None
) -> None:
    store.create(Pod(metadata=ObjectMeta(name="p", namespace="default", finalizers=["drain"])))
    pods = "/api/v1/namespaces/default/pods"
    answer = await client.request("DELETE", f"{pods}/p", params=query, json=body)
    assert answer.json()["metadata"].get("deletionGracePeriodSeconds") == kept
    longer = await client.request("DELETE", f"{pods}/p", params={"gracePeriodSeconds": "9"})
    assert longer.json()["metadata"]["deletionGracePeriodSeconds"] == (9 if kept is None else kept)
    refused = await client.request("DELETE", f"{pods}/p", params={"gracePeriodSeconds": "soon"})
    assert refused.status_code == 400
    assert "gracePeriodSeconds" in refused.json()["message"]


async def test_delete_has_preconditions(client: httpx.AsyncClient, store: Store) -> None:
    store.create(config_map("a"))
    wrong = {"gracePeriodSeconds": None, "preconditions": {"uid": "another", "resourceVersion": None}}
    answer = await client.request("DELETE", f"{CONFIG_MAPS}/a", json=wrong)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: another, UID in object meta: " in answer.text
    assert len(store.select(ConfigMap)) == 1


@pytest.mark.parametrize(
    ("policy", "finalizers"), [("Orphan", ["orphan"]), ("Foreground", ["foregroundDeletion"])]
)
async def test_an_owner_waits_for_the_garbage_collector(
    client: httpx.AsyncClient, store: Store, policy: str, finalizers: list[str]
) -> None:
    owner = store.create(config_map("owner"))
    store.create(with_meta(config_map("child"), owner_references=[owner.owner_reference()]))
    answer = await client.request("DELETE", f"{CONFIG_MAPS}/owner", json={"propagationPolicy": policy})
    assert answer.json()["metadata"]["finalizers"] == finalizers
    assert answer.json()["metadata"]["deletionTimestamp"]
    assert (await client.delete(f"{CONFIG_MAPS}/child")).json()["status"] == "Success"


async def test_delete_collection_deletes_what_is_selected(client: httpx.AsyncClient, store: Store) -> None:
    for name in "abc":
        store.create(with_meta(config_map(name), labels={"n": name}))
    body = (await client.delete(CONFIG_MAPS, params={"labelSelector": "n in (a,b)"})).json()
    assert [o["metadata"]["name"] for o in body["items"]] == ["a", "b"]
    assert [o.metadata.name for o in store.select(ConfigMap)] == ["c"]


async def test_nothing_new_comes_into_a_namespace_that_goes(client: httpx.AsyncClient) -> None:
    await client.post("/api/v1/namespaces", json={"metadata": {"name": "x"}})
    gone = (await client.delete("/api/v1/namespaces/x")).json()
    assert (gone["status"], gone["spec"]) == ({"phase": "Terminating"}, {"finalizers": ["kubernetes"]})
    assert gone["metadata"]["deletionTimestamp"]
    late = await client.post(SERVICES.replace("default", "x"), json=service())
    assert (late.status_code, late.json()["reason"]) == (403, "Forbidden")
    assert late.json()["details"]["causes"][0]["reason"] == "NamespaceTerminating"


async def test_the_default_namespace_stays(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/api/v1/namespaces/default")
    assert answer.json()["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'


# --- what is read only, and what is not there ----------------------------------------------------------


async def test_pods_are_read_and_restarted_but_not_written(client: httpx.AsyncClient, store: Store) -> None:
    store.create(Pod(metadata=ObjectMeta(name="p", namespace="default")))
    pods = "/api/v1/namespaces/default/pods"
    headers = {"content-type": "application/json"}
    for method, address in (("POST", pods), ("PUT", f"{pods}/p"), ("DELETE", pods)):
        answer = await client.request(method, address, content=b"{}", headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    assert len((await client.get(pods)).json()["items"]) == 1
    assert (await client.delete(f"{pods}/p")).status_code == 200
    assert store.select(Pod) == []


@pytest.mark.parametrize(
    "address",
    [
        "/nope",
        "/apis/serving.knative.dev/v1/nope",
        "/apis/serving.knative.dev/v2/services",
        "/apis/serving.knative.dev/v1/services/hello",
        f"{SERVICES}/hello/scale",
        "/api/v1/namespaces/default/namespaces/x",
        "/api/v1/namespaces//pods",
    ],
)
async def test_an_unknown_address_is_a_plain_404(client: httpx.AsyncClient, address: str) -> None:
    answer = await client.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")


async def test_the_server_describes_itself(client: httpx.AsyncClient) -> None:
    assert (await client.get("/version")).json()["minor"] == "32"
    groups = (await client.get("/apis")).json()["groups"]
    assert "serving.knative.dev" in [group["name"] for group in groups]
    resources = (await client.get("/apis/serving.knative.dev/v1")).json()["resources"]
    services = next(r for r in resources if r["name"] == "services")
    assert services["shortNames"] == ["kservice", "ksvc"]
    assert services["namespaced"] is True
    assert "watch" in services["verbs"]
    assert (await client.get("/healthz")).text == "ok"
    assert (await client.get("/readyz")).text == "ok"
    assert (await client.get("/metrics")).text == "up 1\n"
