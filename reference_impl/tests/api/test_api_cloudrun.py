"""Cloud Run's APIs as their clients send requests, against a store that nobody reconciles."""

import base64
import socket
import warnings
from typing import Any

import grpc
import httpx
import pytest
from apiworld import Platform
from google.api_core.exceptions import Unauthenticated

from minirun.api.app import API
from minirun.api.keyring import SELF_SIGNED, Keyring
from minirun.api.managed import DEFAULT_CALLER
from minirun.identity.account import OWNER
from minirun.model.clock import SECOND_NS
from minirun.model.meta import replace, with_meta
from minirun.model.profiles import PROFILE_LABEL
from minirun.model.resources import Namespace, Revision, Service
from minirun.store.store import Store
from minirun.telemetry.logs import LogEntry

with warnings.catch_warnings():  # of the client's own generated code
    warnings.simplefilter("ignore")
    from google.cloud import run_v2
    from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport

    from minirun.api.rpc import serve_grpc

REGIONAL = "http://us-central1-run.googleapis.com"
GLOBAL = "http://run.googleapis.com"
V1 = f"{REGIONAL}/apis/serving.knative.dev/v1/namespaces/demo/services"
V2 = "/v2/projects/demo/locations/us-central1/services"
REVISIONS = V1.replace("services", "revisions")
LOGS = "http://logging.googleapis.com/v2/entries:list"
RUN = "run.googleapis.com/"


def v1_service(name: str = "hello", **spec: Any) -> dict[str, Any]:
    """What `gcloud run deploy` sends."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "demo",
            "labels": {},
            "annotations": {f"{RUN}client-name": "gcloud"},
        },
        "spec": {
            "template": {
                "metadata": {"labels": {"client.knative.dev/nonce": "a"}, "annotations": {}},
                "spec": {"containers": [{"image": "img:v1", "name": ""}], "nodeSelector": {}} | spec,
            }
        },
        "status": {"address": {}},
    }


async def post(client: httpx.AsyncClient, url: str, body: dict[str, Any], **query: str) -> dict[str, Any]:
    answered = await client.post(url, json=body, params={"alt": "json", **query})
    assert answered.status_code in (200, 201), answered.text
    document: dict[str, Any] = answered.json()
    return document


async def test_a_create_is_answered_with_what_gcloud_reads(client: httpx.AsyncClient, store: Store) -> None:
    made = await post(client, V1, v1_service())
    meta, status = made["metadata"], made["status"]
    assert (meta["namespace"], meta["labels"]["cloud.googleapis.com/location"]) == ("demo", "us-central1")
    assert meta["selfLink"].endswith("/namespaces/demo/services/hello")
    assert meta["annotations"][f"{RUN}ingress-status"] == "all"
    assert meta["annotations"]["serving.knative.dev/lastModifier"]
    assert f"{RUN}operation-id" not in meta["annotations"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == dict.fromkeys(
        ("Ready", "ConfigurationsReady", "RoutesReady"), "Unknown"
    )
    assert status.get("observedGeneration") != meta["generation"]
    spec = made["spec"]["template"]["spec"]
    assert (spec["containerConcurrency"], spec["timeoutSeconds"]) == (80, 300)
    container = spec["containers"][0]
    assert container["ports"] == [{"name": "http1", "containerPort": 8080}]
    assert container["resources"]["limits"] == {"cpu": "1000m", "memory": "512Mi"}
    assert container["startupProbe"]["periodSeconds"] == 240
    assert made["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    stored = store.get(Service, "demo", "hello")
    assert "cloud.googleapis.com/location" not in stored.metadata.labels


async def test_regions_are_apart_and_the_list_of_all_has_each(
    client: httpx.AsyncClient, store: Store
) -> None:
    elsewhere = V1.replace("us-central1", "europe-west1")
    await post(client, V1, v1_service("here"))
    await post(client, elsewhere, v1_service("there"))
    assert store.find(Service, "demo--europe-west1", "there")
    assert [s["metadata"]["name"] for s in (await client.get(V1)).json()["items"]] == ["here"]
    everywhere = (await client.get(f"{GLOBAL}/v1/projects/demo/locations/-/services")).json()
    assert everywhere["kind"] == "ServiceList"
    places = {(s["metadata"]["name"], s["metadata"]["namespace"]) for s in everywhere["items"]}
    assert places == {("here", "demo"), ("there", "demo")}
    regions = (await client.get(f"{GLOBAL}/v1/projects/demo/locations", params={"pageSize": 100})).json()
    assert "us-central1" in [location["locationId"] for location in regions["locations"]]


async def test_an_update_writes_back_what_it_read_and_changes_only_what_is_the_clients(
    client: httpx.AsyncClient, store: Store
) -> None:
    read = await post(client, V1, v1_service())
    read["status"] = {"url": "http://stale"}
    read["metadata"]["annotations"] |= {f"{RUN}urls": "stale", "serving.knative.dev/lastModifier": "forged"}
    same = (await client.put(f"{V1}/hello", json=read)).json()
    assert same["metadata"]["generation"] == 1
    assert same["metadata"]["annotations"]["serving.knative.dev/lastModifier"] != "forged"
    assert f"{RUN}urls" not in store.get(Service, "demo", "hello").metadata.annotations
    read["spec"]["template"]["metadata"]["labels"]["client.knative.dev/nonce"] = "b"
    read["metadata"]["resourceVersion"] = same["metadata"]["resourceVersion"]
    changed = (await client.put(f"{V1}/hello", json=read)).json()
    assert (changed["metadata"]["generation"], changed["metadata"]["uid"]) == (2, read["metadata"]["uid"])


async def test_the_addresses_by_project_and_location_have_the_same_verbs(client: httpx.AsyncClient) -> None:
    placed = f"{GLOBAL}/v1/projects/demo/locations/europe-west1/services"
    await post(client, placed, v1_service("there"))
    read = (await client.get(f"{placed}/there")).json()
    assert read["metadata"]["labels"]["cloud.googleapis.com/location"] == "europe-west1"
    assert (await client.put(f"{placed}/there", json=read)).json()["metadata"]["generation"] == 1
    assert [s["metadata"]["name"] for s in (await client.get(placed)).json()["items"]] == ["there"]
    assert (await client.delete(f"{placed}/there")).json()["status"] == "Success"
    assert (await client.get(f"{placed}/there")).status_code == 404


async def test_dry_runs_are_checked_and_store_nothing(client: httpx.AsyncClient, store: Store) -> None:
    tried = await post(client, V1, v1_service(), dryRun="all")
    assert tried["spec"]["template"]["spec"]["timeoutSeconds"] == 300
    assert store.find(Service, "demo", "hello") is None
    refused = await client.post(V1, json=v1_service(timeoutSeconds=4000), params={"dryRun": "all"})
    assert refused.status_code == 400


def stored_revision(store: Store, name: str, service: str = "hello") -> None:
    revision = with_meta(
        Revision(), name=name, namespace="demo", labels={"serving.knative.dev/service": service}
    )
    store.create(revision)


@pytest.mark.parametrize(
    ("method", "url", "body", "code", "status", "says"),
    [
        ("GET", f"{V1}/none", None, 404, "NOT_FOUND", "of kind 'SERVICE' in region"),
        ("GET", f"{V2}/none", None, 404, "NOT_FOUND", "does not exist"),
        ("POST", V1, v1_service(), 409, "ALREADY_EXISTS", "Resource 'hello' already exists."),
        ("POST", V1.replace("us-central1", "us-x1"), v1_service(), 404, "NOT_FOUND", "Location us-x1"),
        ("PUT", f"{V1}/hello", {}, 409, "ABORTED", "Conflict for resource"),
        ("PATCH", f"{V2}/hello", {"etag": '"1"'}, 409, "ABORTED", "etag"),
        ("DELETE", f"{V2}/hello?etag=1", None, 409, "ABORTED", "etag"),
        ("DELETE", f"{REVISIONS}/hello-00002", None, 400, "FAILED_PRECONDITION", "latest"),
        ("DELETE", f"{REVISIONS}/hello-00001", None, 400, "FAILED_PRECONDITION", "traffic"),
        ("POST", f"{V2}?serviceId=Bad_Name", {}, 400, "INVALID_ARGUMENT", "serviceId"),
        ("POST", f"{V2}?serviceId=x", {"template": 3}, 400, "INVALID_ARGUMENT", "wrong type"),
        ("POST", f"{V2}?serviceId=x", {"template": {"timeout": "x"}}, 400, "INVALID_ARGUMENT", "duration"),
        ("POST", f"{V2}?serviceId=x", {"labels": {f"{RUN}a": "b"}}, 400, "INVALID_ARGUMENT", "system"),
        ("POST", f"{V2}?serviceId=x", {"ingress": 9}, 400, "INVALID_ARGUMENT", "INGRESS_TRAFFIC_ALL"),
        ("POST", V1, {"metadata": 3}, 400, "INVALID_ARGUMENT", "must be objects"),
        ("POST", V1, v1_service() | {"spec": 3}, 400, "INVALID_ARGUMENT", "spec"),
        ("POST", V1, v1_service("n" * 50), 400, "INVALID_ARGUMENT", "49 characters"),
        ("PATCH", f"{V2}/hello?updateMask=ingress.x", {}, 400, "INVALID_ARGUMENT", "updateMask"),
        ("GET", f"{V2}/other/revisions/hello-00001", None, 404, "NOT_FOUND", "does not exist"),
        ("POST", V1.replace("demo", "No_Project"), v1_service(), 403, "PERMISSION_DENIED", "No_Project"),
        ("GET", f"{V2}?pageToken=!", None, 400, "INVALID_ARGUMENT", "pageToken"),
        ("GET", "/v2/projects/demo/locations/us-central1/operations/x", None, 404, "NOT_FOUND", "Operation"),
        ("GET", f"{GLOBAL}/v1/nothing/here", None, 404, "NOT_FOUND", "minirun has no"),
        ("GET", "http://sqladmin.googleapis.com/v1/x", None, 404, "NOT_FOUND", "sqladmin"),
        ("GET", "http://cloudtasks.googleapis.com/v2/x", None, 501, "UNIMPLEMENTED", "Cloud Tasks"),
        ("POST", LOGS, {"filter": "("}, 400, "INVALID_ARGUMENT", "filter"),
    ],
)  # fmt: skip
async def test_refusals_have_googles_form_and_code(
    client: httpx.AsyncClient,
    store: Store,
    method: str,
    url: str,
    body: dict[str, Any] | None,
    code: int,
    status: str,
    says: str,
) -> None:
    await post(client, V1, v1_service())
    service = store.get(Service, "demo", "hello")
    reported = replace(
        service.status,
        latest_created_revision_name="hello-00002",
        traffic=[replace(service.spec.traffic[0], revision_name="hello-00001")],
    )
    store.update(replace(service, status=reported))
    for revision in ("hello-00001", "hello-00002"):
        stored_revision(store, revision)
    if method == "PUT":
        body = v1_service() | {"metadata": v1_service()["metadata"] | {"resourceVersion": "1"}}
    answered = await client.request(method, url, json=body)
    error = answered.json()["error"]
    assert (answered.status_code, error["code"], error["status"]) == (code, code, status), answered.text
    assert says in answered.text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timeoutSeconds": 4000}, "spec.template.spec.timeoutSeconds"),
        ({"containerConcurrency": 2000}, "spec.template.spec.containerConcurrency"),
        ({"containers": [{"image": ""}]}, "spec.template.spec.containers[0].image"),
        (
            {"containers": [{"image": "a", "resources": {"limits": {"memory": "64Gi"}}}]},
            "spec.template.spec.containers.resources.limits.memory",
        ),
    ],
)
async def test_a_refusal_names_the_field(
    client: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    answered = await client.post(V1, json=v1_service(**change))
    error = answered.json()["error"]
    assert answered.status_code == 400
    (detail,) = error["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert field in [violation["field"] for violation in detail["fieldViolations"]]


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("service", {"timeout": "4000s"}, "template.timeout"),
        ("service", {"containers": [{"image": ""}]}, "template.containers[0].image"),
        ("service", {"scaling": {"maxInstanceCount": -1}}, "template.scaling.maxInstanceCount"),
        ("service", {"serviceAccount": "A B"}, "template.serviceAccount"),
        ("service", {"timeout": "x"}, "template.timeout"),
        ("job", {"containers": [{"image": "a", "env": 3}]}, "template.template.containers.env"),
        ("job", {"maxRetries": 11}, "template.template.maxRetries"),
        (
            "job",
            {"containers": [{"image": "a", "env": [{"name": "K_SERVICE", "value": "a"}]}]},
            "template.template.containers[0].env[0].name",
        ),
    ],
)
async def test_a_refusal_by_v2_names_the_field_as_v2_has_it(
    client: httpx.AsyncClient, kind: str, change: dict[str, Any], field: str
) -> None:
    template = {"containers": [{"image": "a"}]} | change
    body = {"template": template if kind == "service" else {"template": template}}
    address = V2.replace("services", f"{kind}s")
    refused = await client.post(f"{address}?{kind}Id=hello", json=body)
    (detail,) = refused.json()["error"]["details"]
    assert [violation["field"] for violation in detail["fieldViolations"]] == [field]


async def test_what_v2_has_outside_the_object_is_named_as_it_is_there(client: httpx.AsyncClient) -> None:
    nowhere = [{"type": 2, "revision": "none", "percent": 100}]
    body = {"template": {"containers": [{"image": "a"}]}, "traffic": nowhere}
    refused = await client.post(f"{V2}?serviceId={'n' * 50}", json=body)
    found = refused.json()["error"]["details"][0]["fieldViolations"]
    assert [violation["field"] for violation in found] == ["traffic[0].revision", "serviceId"]


async def test_annotations_say_only_what_cloud_run_knows(client: httpx.AsyncClient) -> None:
    wrong = v1_service()
    wrong["metadata"]["annotations"][f"{RUN}ingress"] = "everybody"
    assert "metadata.annotations.run.googleapis.com/ingress" in (await client.post(V1, json=wrong)).text
    wrong = v1_service()
    wrong["spec"]["template"]["metadata"]["annotations"][f"{RUN}execution-environment"] = "gen3"
    refused = await client.post(V1, json=wrong)
    assert (refused.status_code, "allowed are gen1, gen2" in refused.text) == (400, True)


async def test_traffic_names_revisions_that_are_there_or_that_it_makes(
    client: httpx.AsyncClient, store: Store
) -> None:
    made = v1_service()
    made["spec"]["template"]["metadata"]["name"] = "hello-00001-abc"
    made["spec"]["traffic"] = [{"revisionName": "hello-00001-abc", "percent": 100}]
    await post(client, V1, made)
    made["spec"]["traffic"] = [{"revisionName": "hello-00009", "percent": 100}]
    unknown = await client.put(f"{V1}/hello", json=made)
    assert "spec.traffic[0].revisionName" in unknown.text
    stored_revision(store, "hello-taken")
    made["spec"]["template"]["metadata"]["name"] = "hello-taken"
    made["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}]
    taken = await client.put(f"{V1}/hello", json=made)
    assert (taken.status_code, taken.json()["error"]["status"]) == (409, "ALREADY_EXISTS")


EVERY_FLAG: dict[str, Any] = {
    "labels": {"team": "x"},
    "annotations": {"mine": "1"},
    "description": "about it",
    "ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
    "launchStage": "BETA",
    "scaling": {
        "minInstanceCount": 1,
        "maxInstanceCount": 9,
        "scalingMode": "MANUAL",
        "manualInstanceCount": 2,
    },
    "invokerIamDisabled": True,
    "customAudiences": ["https://a.example"],
    "template": {
        "labels": {"team": "x"},
        "scaling": {"minInstanceCount": 1, "maxInstanceCount": 3},
        "timeout": "600s",
        "serviceAccount": "sa@demo.iam.gserviceaccount.com",
        "maxInstanceRequestConcurrency": 4,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "sessionAffinity": True,
        "vpcAccess": {"egress": "ALL_TRAFFIC", "networkInterfaces": [{"network": "n", "tags": ["t"]}]},
        "nodeSelector": {"accelerator": "nvidia-l4"},
        "gpuZonalRedundancyDisabled": True,
        "healthCheckDisabled": True,
        "encryptionKey": "k",
        "containers": [
            {
                "name": "web",
                "image": "img:v1",
                "command": ["run"],
                "args": ["-v"],
                "workingDir": "/app",
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "S", "valueSource": {"secretKeyRef": {"secret": "sec", "version": "latest"}}},
                ],
                "resources": {
                    "limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"},
                    "startupCpuBoost": True,
                },
                "ports": [{"name": "h2c", "containerPort": 9000}],
                "volumeMounts": [
                    {"name": "files", "mountPath": "/secrets"},
                    {"name": "bucket", "mountPath": "/bucket"},
                    {"name": "share", "mountPath": "/share"},
                    {"name": "scratch", "mountPath": "/scratch"},
                    {"name": "cloudsql", "mountPath": "/cloudsql"},
                ],
                "startupProbe": {"httpGet": {"path": "/up", "port": 9000}, "periodSeconds": 5},
                "livenessProbe": {"grpc": {"port": 9000, "service": "s"}, "failureThreshold": 2},
                "dependsOn": ["side"],
            },
            {"name": "side", "image": "img:v2"},
        ],
        "volumes": [
            {"name": "files", "secret": {"secret": "sec", "items": [{"path": "p", "version": "1"}]}},
            {"name": "bucket", "gcs": {"bucket": "b", "readOnly": True}},
            {"name": "share", "nfs": {"server": "10.0.0.1", "path": "/x"}},
            {"name": "scratch", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
            {"name": "cloudsql", "cloudSqlInstance": {"instances": ["p:r:db"]}},
        ],
    },
    "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
}


def assert_within(wanted: Any, there: Any, path: str = "") -> None:
    """Everything that is wanted is there; more may be."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            assert name in there, f"{path}.{name} is missing in {there}"
            assert_within(value, there[name], f"{path}.{name}")
    elif isinstance(wanted, list):
        assert len(wanted) == len(there), f"{path}: {there}"
        for index, value in enumerate(wanted):
            assert_within(value, there[index], f"{path}[{index}]")
    else:
        assert wanted == there, path


async def test_every_field_that_a_client_sets_comes_back_and_survives_a_round_through_v1(
    client: httpx.AsyncClient,
) -> None:
    operation = await post(client, V2, EVERY_FLAG, serviceId="all")
    assert operation["name"].startswith("projects/demo/locations/us-central1/operations/")
    first = (await client.get(f"{V2}/all")).json()
    assert_within(EVERY_FLAG, first)
    through_v1 = (await client.get(f"{V1}/all")).json()
    assert through_v1["spec"]["template"]["spec"]["nodeSelector"] == {f"{RUN}accelerator": "nvidia-l4"}
    written = await client.put(f"{V1}/all", json=through_v1)
    assert written.json()["metadata"]["generation"] == 1, "nothing has changed on the way"
    again = await client.patch(f"{V2}/all", json=(await client.get(f"{V2}/all")).json())
    assert again.status_code == 200, again.text
    last = (await client.get(f"{V2}/all")).json()
    assert last == first


async def test_enums_come_as_numbers_too_and_cpu_idle_is_always_said(client: httpx.AsyncClient) -> None:
    body = {"ingress": 2, "template": {"containers": [{"image": "a"}], "executionEnvironment": 1}}
    await post(client, V2, body, serviceId="numbers", **{"$alt": "json;enum-encoding=int"})
    shown = (await client.get(f"{V2}/numbers")).json()
    assert shown["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert shown["template"]["executionEnvironment"] == "EXECUTION_ENVIRONMENT_GEN1"
    assert shown["template"]["containers"][0]["resources"]["cpuIdle"] is True
    assert shown["reconciling"] is True
    assert shown["generation"] == "1"


async def test_pages_follow_one_another(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await post(client, V1, v1_service(name))
    first = (await client.get(V2, params={"pageSize": 2})).json()
    rest = (await client.get(V2, params={"pageSize": 2, "pageToken": first["nextPageToken"]})).json()
    names = [s["name"].rpartition("/")[2] for s in first["services"] + rest["services"]]
    assert names == ["a", "b", "c"]
    assert "nextPageToken" not in rest


async def test_neighbours_answer_what_gcloud_asks(client: httpx.AsyncClient) -> None:
    enabled = await client.get(
        "http://serviceusage.googleapis.com/v1/projects/demo/services/run.googleapis.com"
    )
    assert enabled.json()["state"] == "ENABLED"
    project = await client.get("http://cloudresourcemanager.googleapis.com/v1/projects/demo")
    assert project.json()["lifecycleState"] == "ACTIVE"
    accounts = "http://iam.googleapis.com/v1/projects/demo/serviceAccounts"
    made = await post(client, accounts, {"accountId": "worker", "serviceAccount": {}})
    assert made["email"] == "worker@demo.iam.gserviceaccount.com"
    assert [a["email"] for a in (await client.get(accounts)).json()["accounts"]] == [made["email"]]
    assert (await client.post(accounts, json={"accountId": "worker"})).status_code == 409
    assert (await client.delete(f"{accounts}/{made['email']}")).status_code == 200
    nobodys = await client.post(accounts.replace("demo", "No_Project"), json={"accountId": "worker"})
    assert nobodys.json()["error"]["status"] == "PERMISSION_DENIED"


async def test_logs_are_filtered_ordered_and_paged(silent: Platform, client: httpx.AsyncClient) -> None:
    await post(client, V1, v1_service())
    for second in range(3):
        silent.logs.append(
            LogEntry(
                timestamp_unix_ns=second * SECOND_NS,
                message=f"line {second}",
                namespace="demo",
                service="hello",
                revision="hello-00001",
                stream="stdout",
                pod="p",
            )
        )
    asked = {
        "filter": "resource.type = cloud_run_revision \n AND resource.labels.service_name = hello "
        '\n AND timestamp>="1970-01-01T00:00:01Z"',
        "orderBy": "timestamp desc",
        "pageSize": 1,
        "resourceNames": ["projects/demo"],
    }
    first = await post(client, LOGS, asked)
    (entry,) = first["entries"]
    assert entry["textPayload"] == "line 2"
    assert entry["logName"] == "projects/demo/logs/run.googleapis.com%2Fstdout"
    assert entry["resource"]["labels"]["location"] == "us-central1"
    rest = await post(client, LOGS, asked | {"pageToken": first["nextPageToken"], "pageSize": 5})
    assert [e["textPayload"] for e in rest["entries"]] == ["line 1"]


async def test_who_has_not_the_token_is_told_so_in_googles_form(silent: Platform) -> None:
    guarded = httpx.ASGITransport(API(silent.backend, token="secret").app)
    async with httpx.AsyncClient(transport=guarded, base_url="http://127.0.0.1:8081") as stranger:
        for url in (V1, V2):
            error = (await stranger.get(url)).json()["error"]
            assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")
        assert (await stranger.get("/api/v1/namespaces")).json()["kind"] == "Status"


async def test_a_target_in_absolute_form_and_an_unknown_wait_are_answered(client: httpx.AsyncClient) -> None:
    wait = f"{REGIONAL}/v1/projects/demo/locations/us-central1/operations/unknown:wait"
    assert (await post(client, wait, {"timeout": "30s"}))["done"] is True
    etag = (await client.post(V1, json=v1_service())).json()["metadata"]["resourceVersion"]
    assert etag
    policy = (await client.get(f"{V2}/hello:getIamPolicy")).json()
    assert base64.b64decode(policy["etag"])


@pytest.mark.parametrize("query", ["", "?dryRun=all"])
async def test_a_first_create_that_is_refused_or_tried_leaves_no_namespace_behind(
    client: httpx.AsyncClient, store: Store, query: str
) -> None:
    body = v1_service() if query else v1_service(timeoutSeconds=4000)
    answered = await client.post(V1 + query, json=body)
    assert answered.status_code == (201 if query else 400)
    assert store.find(Namespace, "", "demo") is None
    await post(client, V1, v1_service())
    assert store.get(Namespace, "", "demo").metadata.labels[PROFILE_LABEL] == "cloudrun"


@pytest.mark.parametrize("kind", ["services", "jobs"])
async def test_whoever_changes_only_a_label_is_the_last_modifier(
    silent: Platform, client: httpx.AsyncClient, kind: str
) -> None:
    body: dict[str, Any] = {"template": {"containers": [{"image": "a"}]}}
    if kind == "jobs":
        body = {"template": {"template": body["template"]}}
    all_of_them = V2.replace("services", kind)
    await client.post(f"{all_of_them}?{kind[:-1]}Id=hello", json=body)
    first = (await client.get(f"{all_of_them}/hello")).json()
    token = Keyring(silent.store, silent.backend.clock).issuer().access_token("ada@example.com")
    as_ada = {"authorization": f"Bearer {token}"}
    same = await client.patch(f"{all_of_them}/hello", json=body, headers=as_ada)
    assert same.json()["metadata"]["lastModifier"] == first["lastModifier"]
    labelled = await client.patch(f"{all_of_them}/hello", json=body | {"labels": {"a": "b"}}, headers=as_ada)
    shown = labelled.json()["metadata"]
    assert (shown["lastModifier"], shown["creator"]) == ("ada@example.com", first["creator"])
    assert shown["generation"] == first["generation"]


async def test_grpc_takes_the_tokens_that_rest_takes_and_signs_with_their_owner(silent: Platform) -> None:
    api = API(silent.backend, token="secret")
    keyring = Keyring(silent.store, silent.backend.clock)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    stop = await serve_grpc(api.cloud_run, api.iam, f"127.0.0.1:{port}", api.credentials)
    now = silent.backend.clock.unix_ns() // SECOND_NS
    claims = {"iss": OWNER, "sub": OWNER, "aud": SELF_SIGNED, "iat": now, "exp": now + 60}
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            transport = ServicesGrpcAsyncIOTransport(channel=channel)
            services = run_v2.ServicesAsyncClient(transport=transport)
            template = run_v2.RevisionTemplate(containers=[run_v2.Container(image="a")])
            for name, token, creator in (
                ("one", "secret", DEFAULT_CALLER),
                ("two", keyring.issuer().access_token(OWNER), OWNER),
                ("three", keyring.account.sign(claims), OWNER),
            ):
                begun = await services.create_service(
                    parent=V2.removeprefix("/v2/").removesuffix("/services"),
                    service=run_v2.Service(template=template),
                    service_id=name,
                    metadata=(("authorization", f"Bearer {token}"),),
                )
                assert begun.metadata.creator == creator
            for wrong in ("", "Bearer wrong", f"Bearer {keyring.issuer().access_token('ada@example.com')}"):
                with pytest.raises(Unauthenticated, match="Authorization: Bearer TOKEN"):
                    await services.get_service(name="x", metadata=(("authorization", wrong),))
    finally:
        await stop()
