"""The API client, at the level of HTTP: what it sends, and what it makes of answers."""

import json
from collections.abc import Callable

import click
import httpx
import pytest

from minirun.cli.client import ApiError, Client, LogObject, kind_of
from minirun.model.meta import ObjectMeta
from minirun.model.resources import CoreService, Image, Pod, Service

Answer = Callable[[httpx.Request], httpx.Response]
BODY = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "hello", "uid": "1"}}
REFUSAL = {"kind": "Status", "message": 'services "x" not found', "reason": "NotFound", "code": 404}


class Wire:
    """Answers every request with `answer`, and keeps them."""

    def __init__(self, answer: object, status: int = 200) -> None:
        self.requests: list[httpx.Request] = []
        self._answer, self._status = answer, status

    def client(self, **options: str) -> Client:
        return Client("http://127.0.0.1:1", transport=httpx.MockTransport(self._handle), **options)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self._answer, Exception):
            raise self._answer
        if isinstance(self._answer, bytes):
            return httpx.Response(self._status, content=self._answer)
        return httpx.Response(self._status, json=self._answer)


@pytest.mark.parametrize(
    ("act", "method", "url"),
    [
        (
            lambda c: c.get(Service, "ns", "a"),
            "GET",
            "/apis/serving.knative.dev/v1/namespaces/ns/services/a",
        ),
        (lambda c: c.get(Pod, "ns", "a"), "GET", "/api/v1/namespaces/ns/pods/a"),
        (lambda c: c.get(Image, "", "a"), "GET", "/apis/minirun.dev/v1/images/a"),
        (
            lambda c: c.list(LogObject, "ns", {"a": "b", "c": "d"}, tailLines="3"),
            "GET",
            "/apis/minirun.dev/v1/namespaces/ns/logentries?labelSelector=a%3Db%2Cc%3Dd&tailLines=3",
        ),
        (
            lambda c: c.delete(Service, "ns", "a"),
            "DELETE",
            "/apis/serving.knative.dev/v1/namespaces/ns/services/a",
        ),
    ],
)
def test_kinds_are_found_at_their_addresses(act: Callable[[Client], object], method: str, url: str) -> None:
    wire = Wire({"items": []} if "logentries" in url else {})
    act(wire.client())
    (request,) = wire.requests
    assert (request.method, request.url.raw_path.decode()) == (method, url)


def test_writing_is_strict_and_says_who_writes() -> None:
    wire = Wire(BODY)
    service = Service(metadata=ObjectMeta(name="hello", namespace="ns"))
    client = wire.client()
    assert client.create(Service, "ns", service).metadata.uid == "1"
    client.replace(Service, service)
    client.patch(Service, "ns", "hello", {"spec": {}})
    assert [r.method for r in wire.requests] == ["POST", "PUT", "PATCH"]
    assert [r.url.params["fieldValidation"] for r in wire.requests] == ["Strict"] * 3
    assert [r.headers["content-type"] for r in wire.requests] == [
        "application/json",
        "application/json",
        "application/merge-patch+json",
    ]
    assert json.loads(wire.requests[2].content) == {"spec": {}}


def test_the_token_is_shown() -> None:
    wire = Wire(BODY)
    wire.client(token="secret").get(Service, "ns", "a")
    assert wire.requests[0].headers["authorization"] == "Bearer secret"


def test_the_environment_names_the_api_and_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIRUN_API", "http://127.0.0.1:7/")
    assert Client().api == "http://127.0.0.1:7"


def test_a_refusal_is_the_sentence_of_its_status() -> None:
    with pytest.raises(ApiError, match='services "x" not found') as caught:
        Wire(REFUSAL, 404).client().get(Service, "ns", "x")
    assert (caught.value.reason, caught.value.code) == ("NotFound", 404)
    assert Wire(REFUSAL, 404).client().find(Service, "ns", "x") is None


def test_a_refusal_that_is_no_status_is_shown_as_it_is() -> None:
    with pytest.raises(ApiError, match="404 page not found"):
        Wire(b"404 page not found\n", 404).client().get(Service, "ns", "x")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            httpx.ConnectError("refused"),
            "no platform answers at http://127.0.0.1:1; start one",
        ),
        (httpx.ReadError("reset"), "http://127.0.0.1:1 broke off"),
        (b"<html>", "is no minirun platform"),
    ],
)
def test_a_platform_that_is_not_there_is_one_sentence(answer: object, sentence: str) -> None:
    with pytest.raises(click.ClickException, match=sentence):
        Wire(answer).client().get(Service, "ns", "x")


def test_a_list_that_is_none_is_one_sentence() -> None:
    with pytest.raises(click.ClickException, match="is no minirun platform"):
        Wire(b"<html>").client().list(Service, "ns")


def test_a_watch_gives_changes_and_no_bookmarks() -> None:
    events = [("ADDED", BODY), ("BOOKMARK", BODY), ("DELETED", BODY)]
    stream = b"".join(json.dumps({"type": t, "object": o}).encode() + b"\n" for t, o in events)
    wire = Wire(stream)
    changes = list(wire.client().watch(Service, "ns", name="hello", since="7"))
    assert [(c.type, c.object.metadata.name) for c in changes] == [("ADDED", "hello"), ("DELETED", "hello")]
    parameters = wire.requests[0].url.params
    assert (parameters["watch"], parameters["resourceVersion"]) == ("true", "7")
    assert parameters["fieldSelector"] == "metadata.name=hello"


def test_a_watch_that_starts_too_far_back_is_refused() -> None:
    gone = {"type": "ERROR", "object": {"message": "too old resource version: 1 (9)", "code": 410}}
    with pytest.raises(ApiError, match="too old") as caught:
        list(Wire(json.dumps(gone).encode()).client().watch(Service, "ns"))
    assert caught.value.code == 410


def test_a_watch_ends_when_nothing_comes_in_time() -> None:
    assert list(Wire(httpx.ReadTimeout("")).client().watch(Service, "ns", timeout_seconds=0.1)) == []


def test_only_known_kinds_have_a_type() -> None:
    assert kind_of("serving.knative.dev/v1", "Service") is Service
    assert kind_of("v1", "Service") is CoreService
    assert kind_of("v1", "ReplicationController") is None
