"""Whatever may be asked of the API's faces, thrown at a platform that runs.

schemathesis makes requests from OpenAPI documents (`fuzzdocuments.py`); one part of a good object is replaced
by what it made, so that objects are stored as well as refused. Answers are judged by the server's own
document, by google-cloud-run's messages, and by what every one of Google's errors looks like. Afterwards all
that is stored can be read, listed and deleted, and the platform stops.
"""

import contextlib
import copy
import json
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from fuzzdocuments import NAMES, Document, closed, cloud_run_v1, cloud_run_v2, narrowed
from google.protobuf import json_format
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from liveplatform import Platform

from minirun.api.deleting import ALWAYS_THERE
from minirun.api.google import CANONICAL
from minirun.model.resources import KINDS

with warnings.catch_warnings():  # of schemathesis' own imports
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.core.failures import Failure, FailureGroup

Judge = Callable[[requests.Response], object]

EXAMPLES = 6
CLOUD_RUN = ("apis/serving.knative.dev/v1", "apis/run.googleapis.com/v1")
DOCUMENTS = (
    *("api/v1", "apis/serving.knative.dev/v1beta1", "apis/minirun.dev/v1", "apis/authorization.k8s.io/v1"),
    *CLOUD_RUN,
)
REGIONAL = "us-central1-run.googleapis.com"
LOCATION = "cloud.googleapis.com/location"
ITEM = re.compile(r".*/\{\w+\}(:\w+|/log|/status)?")
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


class Fuzzer:
    """A platform, a client, and what was found."""

    def __init__(self, platform: Platform, rng: random.Random) -> None:
        self.rng = rng
        self.platform = platform
        self.url = str(platform.api.base_url).rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False
        self.found: dict[str, str] = {}

    def note(self, answer: requests.Response, what: str, detail: str = "") -> None:
        request = answer.request
        sent = f"{request.method} {request.url} {request.body!r}"
        self.found.setdefault(what, f"{detail}\n{sent[:3000]}\n{answer.status_code} {answer.text[:1500]}")

    def checked(self, answer: requests.Response, where: str) -> bool:
        """Whether it is a success, after a look at its status."""
        too_new = answer.status_code == 504 and "resourceVersion" in str(answer.request.url)
        if (answer.status_code >= 500 and not too_new) or answer.status_code == 405:
            self.note(answer, f"{where}: {answer.status_code}")
        if not answer.ok and where.partition(" ")[2].startswith((REGIONAL, "/v2/")):
            self.judge(answer, where, is_google_error)
        return answer.ok

    def send(self, case: Any, verb: Document, judge: Judge, host: str) -> None:
        """One request, and how what comes back is judged."""
        collection, name, rest = self.aimed(case, host)
        address = f"{collection}/{quote(name)}" if name else collection
        good, body, query = copy.deepcopy(verb.get("x-good", {})), case.body, dict(case.query or {})
        if "metadata" in good:
            good["metadata"]["name"] = name or self.rng.choice(NAMES["name"])
        if name and self.rng.random() < 0.8:
            self.make(collection, name, verb, host)
            stored = self.ask("GET", address, host=host)
            good = stored.json() if stored.ok and case.method in ("PUT", "PATCH") else good
        if isinstance(body, dict) and case.method != "DELETE":
            body = grafted(good, body, self.rng)
        if query.get("watch") == "true" and self.rng.random() < 0.8:  # each takes a second
            del query["watch"]
        answer = self.ask(case.method, address + rest, body, query, case.media_type, host)
        where = f"{case.method} {host}{case.operation.path}"
        if self.checked(answer, where):
            if str(answer.status_code) not in verb["responses"]:
                self.note(answer, f"{where}: {answer.status_code} is not in the document")
            self.judge(answer, where, watched if query.get("watch") == "true" else judge)

    def make(self, collection: str, name: str, verb: Document, host: str) -> None:
        """Sees to it that there is something to be read, changed and deleted."""
        made = copy.deepcopy(verb.get("x-made"))
        if made and "metadata" in made:
            made["metadata"]["name"] = name
        if made:
            self.ask("POST", collection, made, {verb.get("x-id", "name"): name}, host=host)

    def judge(self, answer: requests.Response, where: str, judge: Judge) -> None:
        try:
            judge(answer)
        except (Failure, FailureGroup, json_format.ParseError, AssertionError, KeyError) as failure:
            for each in getattr(failure, "exceptions", (failure,)):
                self.note(answer, f"{where}: {str(each).splitlines()[0][:150]}", str(each)[:600])

    def aimed(self, case: Any, host: str) -> tuple[str, str, str]:
        """The address: a collection, often the name of an object that is there, and what follows."""
        address = case.formatted_path
        if self.rng.random() < 0.7:
            address = address.replace("/locations/-/", "/locations/us-central1/")
        found = ITEM.fullmatch(case.operation.path)
        if found is None:
            return address, "", ""
        rest = found[1] or ""
        collection, _, name = address.removesuffix(rest).rpartition("/")
        if self.rng.random() < 0.5:
            listed = self.ask("GET", collection, host=host)
            document = listed.json() if listed.ok else {}
            there = document.get("items") or document.get(collection.rpartition("/")[2])
            chosen = self.rng.choice(there) if there else {"name": name}
            name = chosen.get("name", "").rpartition("/")[2] or chosen["metadata"]["name"]
        return collection, name, rest

    def ask(
        self, method: str, path: str, body: object = None, query: Any = None, typed: str = "", host: str = ""
    ) -> requests.Response:
        """Sends a request; of an answer without an end only the beginning is awaited."""
        data = json.dumps(body) if isinstance(body, dict | list) else None
        headers = {"content-type": typed or "application/json"} | ({"host": host} if host else {})
        query = query or {}
        if query.get("watch") == "true":
            query |= {"timeoutSeconds": "1"}
        answer = self.session.request(
            method, self.url + path, params=query, data=data, headers=headers, timeout=30, stream=True
        )
        if answer.ok and query.get("follow") == "true":
            answer.close()
        else:
            answer.content  # noqa: B018  # is read
        return answer

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


def surfaces(fuzzer: Fuzzer) -> Iterator[tuple[st.SearchStrategy[Any], Callable[[Any], None]]]:
    """What to send to each address of each face, and how to judge the answers."""
    for place in DOCUMENTS:
        document = fuzzer.session.get(f"{fuzzer.url}/openapi/v3/{place}").json()
        strict = schemathesis.openapi.from_dict(closed(document))
        narrow = narrowed(document)
        yield from strategies(fuzzer, narrow, partial(described, strict))
        if place in CLOUD_RUN:
            yield from strategies(fuzzer, cloud_run_v1(narrow), lambda _: is_v1, REGIONAL)
    v2 = cloud_run_v2()
    for _ in range(2):
        yield from strategies(fuzzer, v2, lambda o: partial(is_message, o.definition.raw["x-answer"]))


def strategies(
    fuzzer: Fuzzer, document: Document, judge_of: Callable[[Any], Judge], host: str = ""
) -> Iterator[tuple[st.SearchStrategy[Any], Callable[[Any], None]]]:
    """Those of one document."""
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        verb = document["paths"][operation.path][operation.method]
        send = partial(fuzzer.send, verb=verb, judge=judge_of(operation), host=host)
        yield operation.as_strategy(), send


def described(strict: Any, operation: Any) -> Judge:
    """By the server's own document. What is followed is left before it ends."""
    judge: Judge = strict[operation.path][operation.method.upper()].validate_response
    return (lambda _: None) if operation.path.endswith("/log") else judge


def is_message(name: str, answer: requests.Response) -> None:
    """Raises ParseError: the answer is not of the message that it should be."""
    message = GetMessageClass(Default().FindMessageTypeByName(name))
    json_format.ParseDict(answer.json(), message())


def is_google_error(answer: requests.Response) -> None:
    """Raises AssertionError: a refusal has not the form that all of Google's have."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code, error
    assert CANONICAL[error["status"]].http == answer.status_code, error
    assert error["message"], error


def is_v1(answer: requests.Response) -> None:
    """Raises AssertionError: the answer is no object of Cloud Run's v1, nor a list of such."""
    for each in answer.json().get("items", [answer.json()]):
        assert each["kind"] == "Status" or LOCATION in each["metadata"]["labels"], each


def watched(answer: requests.Response) -> None:
    """Raises AssertionError: what was watched are no events."""
    for line in answer.iter_lines():
        event = json.loads(line)
        assert event["type"] in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"), event
        assert event["object"]["kind"], event


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
    ("tries", "known"), [(15, 1), pytest.param(400, 2, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
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
            fuzzer.try_all(list(surfaces(fuzzer)), tries)
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
