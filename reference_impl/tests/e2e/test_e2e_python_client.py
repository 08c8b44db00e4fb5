"""The `kubernetes` Python client, unmodified, against a real platform."""

import json
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from liveplatform import Platform, conditions, manifest, running

kubernetes = pytest.importorskip("kubernetes", reason="the kubernetes client is not installed")

KNATIVE = ("serving.knative.dev", "v1", "default", "services")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("python-client") / "data") as platform:
        yield platform


@pytest.fixture(scope="module")
def client(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["kubernetes.client.ApiClient"]:
    config: Path = tmp_path_factory.mktemp("config") / "kubeconfig"
    platform.minirun("kubeconfig", "--write", str(config))
    with kubernetes.config.new_client_from_config(str(config)) as client:
        yield client


def test_a_service_is_created_watched_patched_and_deleted(client: "kubernetes.client.ApiClient") -> None:
    services = kubernetes.client.CustomObjectsApi(client)
    body = manifest("py", image="slow-start", **{"autoscaling.knative.dev/min-scale": "1"})
    made = services.create_namespaced_custom_object(*KNATIVE, body)
    assert made["metadata"]["generation"] == 1
    version = made["metadata"]["resourceVersion"]
    watch = kubernetes.watch.Watch()
    for event in watch.stream(
        services.list_namespaced_custom_object, *KNATIVE, resource_version=version, timeout_seconds=60
    ):
        if conditions(event["object"]).get("Ready") == "True":
            watch.stop()
    core = kubernetes.client.CoreV1Api(client)
    [pod] = core.list_namespaced_pod("default", label_selector="serving.knative.dev/service=py").items
    assert pod.status.phase == "Running"
    assert pod.status.container_statuses[0].ready
    assert "loading" in core.read_namespaced_pod_log(pod.metadata.name, "default")
    patched = services.patch_namespaced_custom_object(*KNATIVE, "py", {"metadata": {"labels": {"a": "b"}}})
    assert patched["metadata"]["labels"]["a"] == "b"
    gone = services.delete_namespaced_custom_object(*KNATIVE, "py")
    assert gone["status"] == "Success"
    with pytest.raises(kubernetes.client.ApiException) as missing:
        services.get_namespaced_custom_object(*KNATIVE, "py")
    assert missing.value.status == 404


def test_typed_objects_of_core_are_read_and_written(client: "kubernetes.client.ApiClient") -> None:
    core = kubernetes.client.CoreV1Api(client)
    metadata = kubernetes.client.V1ObjectMeta(name="py")
    core.create_namespaced_config_map(
        "default", kubernetes.client.V1ConfigMap(metadata=metadata, data={"a": "b"})
    )
    core.patch_namespaced_config_map("py", "default", {"data": {"c": "d"}})
    assert core.read_namespaced_config_map("py", "default").data == {"a": "b", "c": "d"}
    secret = kubernetes.client.V1Secret(metadata=metadata, string_data={"a": "b"})
    assert core.create_namespaced_secret("default", secret).data == {"a": "Yg=="}
    ingress = core.read_namespaced_service("istio-ingressgateway", "istio-system")
    assert ingress.status.load_balancer.ingress[0].ip == "127.0.0.1"
    [node] = core.list_node().items
    assert node.status.capacity["cpu"]
    assert core.list_namespaced_event("default").items is not None
    assert {"default", "knative-serving"} <= {n.metadata.name for n in core.list_namespace().items}
    core.delete_namespaced_config_map("py", "default")
    assert "py" not in {each.metadata.name for each in core.list_namespaced_config_map("default").items}


def test_the_dynamic_client_finds_kinds_by_discovery(client: "kubernetes.client.ApiClient") -> None:
    dynamic = kubernetes.dynamic.DynamicClient(client)
    services = dynamic.resources.get(api_version="serving.knative.dev/v1", kind="Service")
    assert services.name == "services"
    assert services.get(namespace="default").items == []


def changes(lines: Iterable[dict[str, Any]]) -> list[tuple[str, str, dict[str, str]]]:
    return [(e["type"], e["object"]["metadata"]["name"], e["object"].get("data", {})) for e in lines]


def test_a_watch_goes_on_after_a_sigkill_with_all_that_happened_since(
    platform: Platform, client: "kubernetes.client.ApiClient"
) -> None:
    where, core = "/api/v1/namespaces/default/configmaps", kubernetes.client.CoreV1Api(client)

    def write(method: str, name: str, **data: str) -> None:
        path = where if method == "POST" else f"{where}/{name}"
        body = {"metadata": {"name": name, "labels": {"watched": "yes"}}, "data": data}
        platform.api.request(method, path, json=body if data else None).raise_for_status()

    write("POST", "changed", n="0")
    write("POST", "deleted", n="0")
    version = platform.api.get(where).json()["metadata"]["resourceVersion"]
    write("PUT", "changed", n="1")
    write("DELETE", "deleted")
    write("POST", "made", n="0")
    platform.stop(signal.SIGKILL)
    platform.start()
    write("PUT", "made", n="1")
    wanted = [("MODIFIED", "changed", {"n": "1"}), ("DELETED", "deleted", {"n": "0"})]
    wanted += [("ADDED", "made", {"n": "0"}), ("MODIFIED", "made", {"n": "1"})]
    query = {
        "labelSelector": "watched=yes",
        "resourceVersion": version,
        "watch": "true",
        "timeoutSeconds": "1",
    }
    assert changes(map(json.loads, platform.api.get(where, params=query).text.splitlines())) == wanted

    watch, seen = kubernetes.watch.Watch(), []
    for event in watch.stream(
        core.list_namespaced_config_map,
        "default",
        label_selector="watched=yes",
        resource_version=version,
        timeout_seconds=60,
    ):
        seen.append((event["type"], event["object"].metadata.name, event["object"].data))
        if seen[-1] == wanted[-1]:
            watch.stop()
    assert seen == wanted
