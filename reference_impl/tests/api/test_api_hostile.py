"""Whatever a client sends, it gets an answer: never a traceback, and never a half-written object."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from apiworld import Platform
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minirun.model.resources import KINDS

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
SERVICE = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "x", "labels": {"a": "1"}},
    "spec": {
        "template": {
            "spec": {
                "containers": [{"image": "hello"}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            }
        }
    },
}
NAMES = st.sampled_from(
    [
        *("metadata", "spec", "status", "template", "containers", "image", "name", "labels", "finalizers"),
        *("ownerReferences", "managedFields", "volumes", "traffic", "percent", "resourceVersion", "uid"),
        *("fieldsV1", "f:a", "op", "path", "value", "from", "apiVersion", "kind", "env", "ports", "$patch"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NAMES
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
MEDIA_TYPES = st.sampled_from(
    [
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "text/plain",
    ]
)
PARAMETERS = (
    *("limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch"),
    *("sendInitialEvents", "fieldManager", "fieldValidation", "dryRun", "force", "propagationPolicy"),
)
ARGUMENTS = ("", "0", "1", "-1", "x", "true", "All", "Strict", "Exact", "NotOlderThan", "a in (b", "a=b,!c")
QUERIES = st.dictionaries(st.sampled_from(PARAMETERS), st.sampled_from(ARGUMENTS), max_size=3)
ADDRESSES = st.sampled_from(
    ["x", "x/status", ""]
    + [f"../{plural}{name}" for plural in ("configurations", "routes", "revisions") for name in ("", "/x")]
)
POINTERS = st.lists(NAMES | st.sampled_from(["0", "-", "a"]), max_size=4).map(
    lambda t: "".join(f"/{n}" for n in t)
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
        optional={"from": POINTERS, "value": TREES},
    ),
    max_size=3,
)


class Server:
    """An API and a loop that it runs on."""

    def __init__(self, platform: Platform) -> None:
        self.store = platform.store
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(platform.api.app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081")
        self.ask("POST", SERVICES, json.dumps(SERVICE).encode(), "application/json")

    def ask(
        self, method: str, address: str, body: bytes, media_type: str, query: dict[str, str] | None = None
    ) -> httpx.Response:
        headers = {"content-type": media_type}
        request = self._client.request(method, address, content=body, headers=headers, params=query or {})
        return self._runner.run(request)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def check(self, answer: httpx.Response) -> None:
        """An answer is JSON or a plain refusal, and all that is stored can be read back as it is."""
        assert answer.status_code < 500 or answer.status_code == 504, answer.text
        if answer.headers["content-type"].startswith("application/json"):
            answer.json()
        for row in KINDS:
            for resource in self.store.select(row.type):
                assert msgspec.json.decode(msgspec.json.encode(resource), type=row.type) == resource
                assert resource.metadata.uid
                assert resource.metadata.name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(Platform(tmp_path_factory.mktemp("images")))
    yield server
    server.close()


def encoded(tree: Any) -> bytes:
    return json.dumps(tree).encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]), ADDRESSES, TREES, MEDIA_TYPES, QUERIES)
def test_any_request_is_answered(
    server: Server, method: str, place: str, tree: Any, media_type: str, query: dict[str, str]
) -> None:
    address = str(httpx.URL(f"http://h{SERVICES}/").join(place).path).rstrip("/")
    server.check(server.ask(method, address, encoded(tree), media_type, query))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TREES | OPERATIONS, MEDIA_TYPES, QUERIES, ADDRESSES)
def test_any_patch_of_an_object_is_answered(
    server: Server, tree: Any, media_type: str, query: dict[str, str], place: str
) -> None:
    server.ask("POST", SERVICES, encoded(SERVICE), "application/json")
    query = {"fieldManager": "fuzz"} | query
    if isinstance(tree, dict) and media_type.endswith("yaml"):
        tree = SERVICE | tree
    address = f"{SERVICES}/x" + ("/status" if "status" in place else "")
    server.check(server.ask("PATCH", address, encoded(tree), media_type, query))


@pytest.mark.parametrize("depth", [100, 400, 700, 100_000])
@pytest.mark.parametrize(
    ("method", "media_type"),
    [
        ("PUT", "application/json"),
        ("PATCH", "application/merge-patch+json"),
        ("PATCH", "application/apply-patch+yaml"),
        ("DELETE", "application/yaml"),
    ],
)
@pytest.mark.parametrize("place", ['"spec":%s', '"metadata":{"managedFields":[{"fieldsV1":%s}]}'])
def test_a_body_nested_too_deeply_is_refused_or_taken(
    server: Server, method: str, media_type: str, place: str, depth: int
) -> None:
    deep = place % ('{"f:a":' * depth + "{}" + "}" * depth)
    body = f'{{"apiVersion":"serving.knative.dev/v1","kind":"Service",{deep}}}'.encode()
    query = {"fieldManager": "m", "dryRun": "All"}
    server.check(server.ask(method, f"{SERVICES}/x", body, media_type, query))


@pytest.mark.parametrize("name", ["labelSelector", "fieldSelector"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(alphabet="ab=!,() innot.-/\"'\\\n", max_size=20))
def test_any_selector_selects_or_is_refused(server: Server, name: str, text: str) -> None:
    answer = server.ask("GET", SERVICES, b"", "application/json", {name: text})
    assert answer.status_code in (200, 400)
