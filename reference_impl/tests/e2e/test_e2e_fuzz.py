"""What the API's own description allows, and Cloud Run's messages, thrown at a platform that runs.

schemathesis makes requests from the OpenAPI documents; one part of a good object is replaced by what it
made, so that objects are stored as well as refused. Cloud Run's v2 bodies are made from google-cloud-run's
message types. Afterwards all that is stored can be read, listed and deleted, and the platform stops.
"""

import contextlib
import copy
import json
import os
import random
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from liveplatform import Platform

from minirun.api.deleting import ALWAYS_THERE
from minirun.model.resources import KINDS

with warnings.catch_warnings():  # of generated code, and of schemathesis' own imports
    warnings.simplefilter("ignore")
    import schemathesis
    from google.cloud import run_v2
    from google.longrunning.operations_pb2 import Operation
    from schemathesis.core.failures import Failure, FailureGroup

EXAMPLES = 6
NAMES = {"namespace": ["fuzz", "knative-serving"], "name": ["a", "b.example.com", "config-autoscaler"]}
OPEN_ENDED = ("watch", "sendInitialEvents", "follow")
DOCUMENTS = (
    *("api/v1", "apis/serving.knative.dev/v1", "apis/serving.knative.dev/v1beta1"),
    *("apis/run.googleapis.com/v1", "apis/minirun.dev/v1", "apis/authorization.k8s.io/v1"),
)
POINTER = {"enum": ["", "/spec", "/metadata/labels/a", "/metadata/annotations", "/spec/template", "/data/a"]}
PATCH = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
            "path": POINTER,
            "from": POINTER,
            "value": {},
        },
        "required": ["op", "path"],
        "additionalProperties": False,
    },
}
CONTAINERS = {"containers": [{"image": "hello"}]}
SPECS: dict[str, Any] = {
    "Service": {"template": {"spec": CONTAINERS}},
    "Configuration": {"template": {"spec": CONTAINERS}},
    "Revision": CONTAINERS,
    "Route": {"traffic": [{"configurationName": "a", "percent": 100}]},
    "DomainMapping": {"ref": {"name": "a", "kind": "Service"}},
    "Job": {"template": {"spec": {"template": {"spec": CONTAINERS}}}},
}
V2 = "/v2/projects/fuzz/locations/us-central1"
V2_COLLECTIONS = (("services", "serviceId", "revisions"), ("jobs", "jobId", "executions"))
MASKS = ("", "template", "template.containers", "labels", "*", "annotations.a", ".", "a.b")
V2_BODIES = {"services": {"template": CONTAINERS}, "jobs": {"template": {"template": CONTAINERS}}}
MESSAGES: dict[str, Any] = {
    "services": run_v2.Service,
    "revisions": run_v2.Revision,
    "jobs": run_v2.Job,
    "executions": run_v2.Execution,
}
TEXT = st.sampled_from(["", "a", "hello", "1", "latest", "/x"]) | st.text(max_size=4)
NUMBER = st.integers(-2, 5) | st.sampled_from([1.5, 80, 1000, 2**31 - 1, -(2**31)])
SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: TEXT,
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_INT64: NUMBER | NUMBER.map(str),
}
WELL_KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "google.protobuf.Duration": st.sampled_from(["3s", "1.5s", "-1s", "x", "999999s"]) | TEXT,
    "google.protobuf.Timestamp": st.sampled_from(["2026-11-24T10:00:00Z", "x", ""]),
}
MERGE = {"content-type": "application/merge-patch+json"}
SERVING = "/apis/serving.knative.dev/v1"
LEFT = (
    *((SERVING, plural) for plural in ("services", "configurations", "routes", "revisions")),
    *(("/apis/run.googleapis.com/v1", plural) for plural in ("jobs", "executions", "tasks")),
    *(("/apis/apps/v1", "deployments"), ("/api/v1", "pods")),
)
SETTINGS = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data: {allow-zero-initial-scale: "true", initial-scale: "0"}
"""


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """A document in which an object has only the fields that it names."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return document


def narrowed(document: dict[str, Any]) -> dict[str, Any]:
    """A document whose names collide, and without answers that go on for ever."""
    document = closed(document)
    for name, schema in document["components"]["schemas"].items():
        if "x-kubernetes-group-version-kind" in schema:
            del schema["properties"]["apiVersion"], schema["properties"]["kind"]
        if name.endswith("ObjectMeta"):
            schema["properties"] |= {place: {"enum": names} for place, names in NAMES.items()}
    for path in document["paths"].values():
        for parameter in path.get("parameters", ()):
            parameter["schema"] = {"enum": NAMES[parameter["name"]]}
        for verb in path.values():
            if isinstance(verb, dict):
                verb["parameters"] = [p for p in verb["parameters"] if p["name"] not in OPEN_ENDED]
                for parameter in verb["parameters"]:
                    if parameter["name"] == "fieldManager":
                        parameter["schema"] = {"enum": ["one", "another"]}
        for media_type, content in path.get("patch", {}).get("requestBody", {}).get("content", {}).items():
            whole = path["put"]["requestBody"]["content"]["application/json"]["schema"]
            content["schema"] = PATCH if "json-patch" in media_type else whole
    return document


def grafted(good: Any, made: Any, rng: random.Random) -> Any:
    """A good document with one part of another one in it."""
    if not isinstance(made, dict) or not made or rng.random() < 0.1:
        return made
    name = rng.choice(sorted(made))
    good = dict(good) if isinstance(good, dict) else {}
    here, there = made[name], good.get(name)
    if isinstance(here, list) and isinstance(there, list) and here and there:
        return good | {name: [grafted(there[0], here[0], rng), *here[1:]]}
    return good | {name: grafted(good.get(name, {}), made[name], rng)}


def good_object(verb: dict[str, Any], name: str) -> dict[str, Any]:
    """An object of a kind that its validation takes."""
    kind = verb["x-kubernetes-group-version-kind"]
    version = "/".join(filter(None, (kind["group"], kind["version"])))
    body = {"apiVersion": version, "kind": kind["kind"], "metadata": {"name": name}}
    return body | ({"spec": SPECS[kind["kind"]]} if kind["kind"] in SPECS and kind["group"] else {})


class Fuzzer:
    """A platform, a client, and what was found."""

    def __init__(self, platform: Platform, rng: random.Random) -> None:
        self.rng = rng
        self.platform = platform
        self.url = str(platform.api.base_url).rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False
        self.found: dict[str, str] = {}
        self.answers: dict[int, int] = {}

    def note(self, answer: requests.Response, what: str, detail: str = "") -> None:
        request = answer.request
        sent = f"{request.method} {request.url} {request.body!r}"
        self.found.setdefault(what, f"{detail}\n{sent[:3000]}\n{answer.status_code} {answer.text[:1500]}")

    def checked(self, answer: requests.Response, where: str) -> bool:
        """Whether it is a success, after a look at its status."""
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        too_new = answer.status_code == 504 and "resourceVersion" in str(answer.request.url)
        if (answer.status_code >= 500 and not too_new) or answer.status_code == 405:
            self.note(answer, f"{where}: {answer.status_code}")
        return answer.ok

    def send(self, case: Any, verb: dict[str, Any], judge: Any) -> None:
        """One request, and how what comes back is judged."""
        body, names = case.body, case.path_parameters
        good = good_object(verb, names.get("name") or self.rng.choice(NAMES["name"]))
        if "name" in names and self.rng.random() < 0.8:
            address = case.formatted_path.removesuffix("/status").removesuffix("/log")
            self.ask("POST", address.removesuffix(f"/{names['name']}"), good)
            stored = self.ask("GET", address)
            good = stored.json() if stored.ok else good
        if isinstance(body, dict) and case.method != "DELETE":
            body = grafted(good, body, self.rng)
        answer = self.ask(case.method, case.formatted_path, body, case.query, case.media_type)
        where = f"{case.method} {judge.path}"
        if self.checked(answer, where):
            if str(answer.status_code) not in verb["responses"]:
                self.note(answer, f"{where}: {answer.status_code} is not in the document")
            try:
                judge.validate_response(answer)
            except (Failure, FailureGroup) as failure:
                for each in getattr(failure, "exceptions", (failure,)):
                    self.note(answer, f"{where}: {each.message.splitlines()[0]}", each.message[:600])

    def ask(
        self, method: str, path: str, body: object = None, query: Any = None, media_type: str = ""
    ) -> requests.Response:
        data = json.dumps(body) if isinstance(body, dict | list) else None
        headers = {"content-type": media_type or "application/json"}
        return self.session.request(
            method, self.url + path, params=query, data=data, headers=headers, timeout=30
        )

    def try_all(
        self, strategies: list[tuple[st.SearchStrategy[Any], Callable[[Any], None]]], tries: int
    ) -> None:
        """A few examples of each, again and again: as many as asked for, so that a seed is the whole run."""
        self.rng.shuffle(strategies)
        for strategy, send in islice(cycle(strategies), tries):
            self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "fuzz"}})
            tried(strategy, send, self.rng.getrandbits(64))


def tried(strategy: st.SearchStrategy[Any], send: Callable[[Any], None], number: int) -> None:
    """Sends a few examples of a strategy; hypothesis makes the same ones of the same number."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(case: Any) -> None:
        send(case)

    one()


def openapi_strategies(fuzzer: Fuzzer, place: str) -> Iterator[tuple[st.SearchStrategy[Any], Any]]:
    """What to send to each address of a document, and how to judge the answers."""
    document = fuzzer.session.get(f"{fuzzer.url}/openapi/v3/{place}").json()
    strict = schemathesis.openapi.from_dict(closed(document))
    for result in schemathesis.openapi.from_dict(narrowed(document)).get_all_operations():
        operation = result.ok()
        verb = document["paths"][operation.path][operation.method]
        judge = strict[operation.path][operation.method.upper()]

        yield operation.as_strategy(), partial(fuzzer.send, verb=verb, judge=judge)


def one_field(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """A message with one field, whose message has one field, and so on; in the JSON form of protobuf."""
    if not descriptor.fields:
        return st.just({})
    return st.sampled_from(list(descriptor.fields)).flatmap(
        lambda field: field_value(field).map(lambda value: {field.json_name: value})
    )


def field_value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """What a field may hold, and now and then what it may not."""
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        value = st.dictionaries(TEXT, field_value(message.fields_by_name["value"]), max_size=2)
    elif message is not None:
        value = WELL_KNOWN[message.full_name] if message.full_name in WELL_KNOWN else one_field(message)
        value = st.lists(value, max_size=2) if field.is_repeated else value
    else:
        value = SCALARS.get(field.cpp_type, NUMBER)
        if field.enum_type is not None:
            value |= st.sampled_from([each.name for each in field.enum_type.values])
        value = st.lists(value, max_size=2) if field.is_repeated else value
    return value if message is not None else value | st.none()


def v2_requests(collection: str, id_parameter: str, below: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """Method, path, query, body and kind of answer: a collection of the v2 API and what is below it."""
    all_of_it = f"{V2}/{collection}"
    item = f"{all_of_it}/a"
    requests = [
        ("POST", all_of_it, {id_parameter: "a"}, "operation"),
        *(("PATCH", item, {"updateMask": mask, "allowMissing": "true"}, "operation") for mask in MASKS),
        ("PATCH", item, {"validateOnly": "true"}, "operation"),
        ("DELETE", item, {}, "operation"),
        ("POST", f"{item}:run", {}, "operation"),
        ("GET", item, {}, collection),
        ("GET", all_of_it, {"pageSize": "1"}, f"list {collection}"),
        ("GET", f"{item}/{below}", {}, f"list {below}"),
        ("GET", f"{V2}/operations", {}, "operations"),
    ]
    body = one_field(MESSAGES[collection].pb().DESCRIPTOR)
    return st.tuples(st.sampled_from(requests), body)


def is_in(answer: Any, what: str) -> None:
    """Raises json_format.ParseError: the answer is not of the message that it should be."""
    if what.startswith("list "):
        for each in answer.get(what.removeprefix("list "), ()):
            is_in(each, what.removeprefix("list "))
    elif what == "operations":
        for each in answer.get("operations", ()):
            is_in(each, "operation")
    else:
        message = Operation if what == "operation" else MESSAGES[what].pb()
        json_format.ParseDict(answer, message())


def send_v2(fuzzer: Fuzzer, case: tuple[Any, ...]) -> None:
    """One request to the v2 API, and how what comes back is judged."""
    (method, path, query, wanted), body = case
    good = V2_BODIES["jobs" if "/jobs" in path else "services"]
    sent = None if method in ("GET", "DELETE") else grafted({} if ":" in path else good, body, fuzzer.rng)
    answer = fuzzer.ask(method, path, sent, query)
    if fuzzer.checked(answer, f"{method} {path}"):
        try:
            is_in(answer.json(), wanted)
        except json_format.ParseError as error:
            fuzzer.note(answer, f"{method} {path}: {str(error)[:150]}")


def check_what_is_stored(platform: Platform) -> None:
    """Whatever is stored is read and deleted, and then nothing of it is left."""
    for kind in KINDS:
        place = f"/{'apis' if kind.group else 'api'}/{kind.api_version}"
        for each in platform.api.get(f"{place}/{kind.plural}").raise_for_status().json()["items"]:
            meta = each["metadata"]
            space = f"/namespaces/{meta['namespace']}" if kind.namespaced else ""
            address = f"{place}{space}/{kind.plural}/{quote(meta['name'])}"
            answer = platform.api.get(address)
            assert answer.status_code in (200, 404), answer.text  # what it was deleted with has gone, too
            if kind.read_only or answer.status_code == 404 or meta["name"] in ALWAYS_THERE:
                continue
            if meta.get("finalizers"):  # without labels: one may name an owner that has gone
                free = {"metadata": {"finalizers": None, "labels": None}}
                patched = platform.api.patch(address, content=json.dumps(free), headers=MERGE)
                assert patched.status_code in (200, 404), (each, patched.text)
            assert platform.api.delete(address).status_code in (200, 404)

    for each in platform.api.get("/apis/apps/v1/deployments").json()["items"]:  # orphans are nobody's to take
        meta = each["metadata"]
        if not meta.get("ownerReferences"):
            address = f"/apis/apps/v1/namespaces/{meta['namespace']}/deployments/{meta['name']}"
            assert platform.api.delete(address).status_code in (200, 404)

    def is_empty() -> bool:
        lists = [platform.api.get(f"{place}/{plural}").json()["items"] for place, plural in LEFT]
        return not any(lists)

    platform.wait_until(is_empty, what="the end of all that was deployed")


@pytest.mark.parametrize(
    ("tries", "known"), [(15, 1), pytest.param(600, 2, marks=[pytest.mark.soak, pytest.mark.timeout(300)])]
)
def test_what_is_described_is_answered_as_described(tmp_path: Path, tries: int, known: int) -> None:
    number = int(os.environ.get("FUZZ_SEED") or known)
    print(f"FUZZ_SEED={number}")
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    platform = Platform(data_dir)
    platform.settings.write_text(platform.settings.read_text() + SETTINGS)
    platform.start()
    try:
        fuzzer = Fuzzer(platform, random.Random(number))
        with contextlib.closing(fuzzer.session):
            fuzzer.try_all(
                [
                    *(one for place in DOCUMENTS for one in openapi_strategies(fuzzer, place)),
                    *((v2_requests(*row), partial(send_v2, fuzzer)) for row in V2_COLLECTIONS * 5),
                ],
                tries,
            )
        log = (tmp_path / "platform.stderr").read_text()
        assert "Traceback" not in log, log[log.index("Traceback") :][:5000]
        assert not fuzzer.found, "\n\n".join(f"{what}\n{how}" for what, how in fuzzer.found.items())
        assert platform.stop() == 0
        platform.start()  # all that was stored can be read
        check_what_is_stored(platform)
    finally:
        status = platform.stop()
        platform.api.close()
        platform.web.close()
    assert status == 0
    assert "Traceback" not in (tmp_path / "platform.stderr").read_text()
    assert not platform.instance_processes()
