"""Tables as `kubectl get` asks for them: of lists, single objects and watches."""

import json
from typing import Any

import httpx
import pytest

from minirun.model.durations import human_duration
from minirun.model.meta import Condition, ObjectMeta
from minirun.model.resources import (
    Container,
    ContainerState,
    ContainerStateDetail,
    CoreEvent,
    CoreService,
    CoreServiceSpec,
    CoreServiceStatus,
    LoadBalancerIngress,
    LoadBalancerStatus,
    ObjectReference,
    Pod,
    PodContainerStatus,
    PodSpec,
    PodStatus,
    Revision,
    RevisionStatus,
    Service,
    ServicePort,
    ServiceStatus,
)
from minirun.store.store import Store

TABLE = {
    "accept": "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
}
CORE = "/api/v1/namespaces/default"
KNATIVE = "/apis/serving.knative.dev/v1/namespaces/default"


def named(name: str, **more: Any) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="default", **more)


async def shown(client: httpx.AsyncClient, path: str, wide: bool = False) -> list[dict[str, Any]]:
    """The rows as heading → cell, as kubectl shows them."""
    body = (await client.get(path, headers=TABLE)).json()
    assert (body["kind"], body["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    columns = body["columnDefinitions"]
    return [
        {c["name"]: cell for c, cell in zip(columns, row["cells"], strict=True) if wide or not c["priority"]}
        for row in body["rows"]
    ]


def ready_service() -> Service:
    conditions = [Condition(type="Ready", status="False", reason="RevisionFailed")]
    status = ServiceStatus(url="http://x", latest_created_revision_name="x-00001", conditions=conditions)
    return Service(metadata=named("x"), status=status)


async def test_services_have_knatives_columns(client: httpx.AsyncClient, store: Store) -> None:
    store.create(ready_service())
    wanted = {
        "Name": "x",
        "URL": "http://x",
        "LatestCreated": "x-00001",
        "LatestReady": "",
        "Ready": "False",
        "Reason": "RevisionFailed",
    }
    assert await shown(client, f"{KNATIVE}/services") == [wanted]
    assert await shown(client, f"{KNATIVE}/services/x") == [wanted]


async def test_what_is_not_known_yet_is_an_empty_cell(client: httpx.AsyncClient, store: Store) -> None:
    labels = {"serving.knative.dev/configuration": "x", "serving.knative.dev/configurationGeneration": "3"}
    store.create(Revision(metadata=named("x-00003", labels=labels), status=RevisionStatus(actual_replicas=2)))
    [row] = await shown(client, f"{KNATIVE}/revisions")
    assert (row["Config Name"], row["Generation"], row["Ready"]) == ("x", "3", None)
    assert (row["Actual Replicas"], row["Desired Replicas"]) == (2, None)


async def test_pods_say_what_keeps_them(client: httpx.AsyncClient, store: Store) -> None:
    waiting = ContainerState(waiting=ContainerStateDetail(reason="CrashLoopBackOff"))
    status = PodContainerStatus(name="c", restart_count=3, state=waiting)
    for name, meta in (("going", {"finalizers": ["a/b"]}), ("stuck", {})):
        store.create(
            Pod(
                metadata=named(name, **meta),
                spec=PodSpec(containers=[Container(name="c")]),
                status=PodStatus(phase="Running", container_statuses=[status], pod_ip="127.0.0.1"),
            )
        )
    store.delete(Pod, "default", "going")
    going, stuck = await shown(client, f"{CORE}/pods", wide=True)
    assert going["Status"] == "Terminating"
    assert (stuck["Ready"], stuck["Status"], stuck["Restarts"]) == ("0/1", "CrashLoopBackOff", "3")
    assert (stuck["IP"], stuck["Node"]) == ("127.0.0.1", "<none>")


async def test_core_services_show_their_addresses(client: httpx.AsyncClient, store: Store) -> None:
    ports = [ServicePort(port=80, node_port=31380), ServicePort(port=443, protocol="TCP")]
    balanced = CoreServiceStatus(
        load_balancer=LoadBalancerStatus(ingress=[LoadBalancerIngress(ip="127.0.0.1")])
    )
    for spec, status in (
        (CoreServiceSpec(type="ClusterIP", cluster_ip="10.0.0.1"), CoreServiceStatus()),
        (CoreServiceSpec(type="ExternalName", external_name="x.local"), CoreServiceStatus()),
        (CoreServiceSpec(type="LoadBalancer"), CoreServiceStatus()),
        (CoreServiceSpec(type="LoadBalancer", ports=ports), balanced),
    ):
        store.create(CoreService(metadata=named(f"s{store.version}"), spec=spec, status=status))
    rows = await shown(client, f"{CORE}/services")
    assert [row["External-IP"] for row in rows] == ["<none>", "x.local", "<pending>", "127.0.0.1"]
    assert [row["Cluster-IP"] for row in rows] == ["10.0.0.1", "<none>", "<none>", "<none>"]
    assert rows[-1]["Port(s)"] == "80:31380/TCP,443/TCP"


async def test_events_start_with_when(client: httpx.AsyncClient, store: Store) -> None:
    about = ObjectReference(api_version="serving.knative.dev/v1", kind="Service", name="x")
    store.create(CoreEvent(metadata=named("e"), involved_object=about, type="Warning", reason="R", count=2))
    selected = "involvedObject.kind=Service,involvedObject.apiVersion=serving.knative.dev/v1"
    assert not await shown(client, f"{CORE}/events?fieldSelector={selected}x")
    [row] = await shown(client, f"{CORE}/events?fieldSelector={selected}")
    assert list(row) == ["Last Seen", "Type", "Reason", "Object", "Message"]
    assert (row["Last Seen"], row["Object"]) == ("<unknown>", "service/x")


@pytest.mark.parametrize(
    ("include", "kind"), [("", "PartialObjectMetadata"), ("Object", "Service"), ("None", None)]
)
async def test_a_row_carries_what_was_asked_for(
    client: httpx.AsyncClient, store: Store, include: str, kind: str | None
) -> None:
    stored = store.create(ready_service())
    query = {"includeObject": include} if include else {}
    body = (await client.get(f"{KNATIVE}/services", params=query, headers=TABLE)).json()
    carried = body["rows"][0].get("object", {"kind": None})
    assert carried["kind"] == kind
    if kind is not None:
        assert carried["metadata"]["uid"] == stored.metadata.uid
    refused = await client.get(f"{KNATIVE}/services", params={"includeObject": "All"}, headers=TABLE)
    assert refused.status_code == 400


async def test_errors_and_plain_requests_are_no_tables(client: httpx.AsyncClient) -> None:
    missing = await client.get(f"{KNATIVE}/services/nope", headers=TABLE)
    assert (missing.status_code, missing.json()["kind"]) == (404, "Status")
    plain = {"accept": "application/json, application/json;as=Table;v=v1;g=meta.k8s.io"}
    assert (await client.get(f"{KNATIVE}/services", headers=plain)).json()["kind"] == "ServiceList"


async def test_a_watch_gives_a_table_with_one_row_for_each_event(
    client: httpx.AsyncClient, store: Store
) -> None:
    store.create(ready_service())
    query = {"watch": "true", "timeoutSeconds": "0.01"}
    answer = await client.get(f"{KNATIVE}/services", params=query, headers=TABLE)
    [event] = [json.loads(line) for line in answer.text.splitlines()]
    assert event["type"] == "ADDED"
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][:2] == ["x", "http://x"]
    store._history.clear()
    gone = await client.get(f"{KNATIVE}/services", params=query | {"resourceVersion": "1"}, headers=TABLE)
    assert [json.loads(line)["type"] for line in gone.text.splitlines()] == ["ERROR"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (599, "9m59s"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_500, "3h11m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (187_200, "2d4h"),
        (691_200, "8d"),
        (3 * 365 * 86_400 + 86_400, "3y1d"),
        (9 * 365 * 86_400, "9y"),
    ],
)
def test_ages_are_written_as_kubectl_writes_them(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text
