"""Watches over real sockets: initial events, history, transitions, ends; and the server's own end."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from apiworld import Platform

from minirun.api import watching as watching_module
from minirun.model.meta import ObjectMeta, with_meta
from minirun.model.resources import ConfigMap, Pod
from minirun.store import store as store_module
from minirun.store.store import edit
from minirun.telemetry.logs import LogEntry

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class Lines:
    """The JSON lines of one streaming response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(await asyncio.wait_for(anext(self._lines), 5))
        return event

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(e["type"], e["object"]["metadata"].get("name", "")) for e in events]

    async def rest(self) -> list[dict[str, Any]]:
        return [json.loads(line) async for line in self._lines]


@contextlib.asynccontextmanager
async def watching(platform: Platform, path: str = CONFIG_MAPS, **query: str) -> AsyncIterator[Lines]:
    async with (
        httpx.AsyncClient(base_url=platform.address, timeout=5) as http,
        http.stream("GET", path, params={"watch": "true"} | query) as response,
    ):
        assert response.status_code == 200
        yield Lines(response)


def config_map(name: str, namespace: str = "default", **labels: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels))


@pytest.mark.parametrize("version", [{}, {"resourceVersion": "0"}, {"resourceVersion": ""}])
async def test_without_a_version_it_starts_with_all_that_is_there(
    platform: Platform, version: dict[str, str]
) -> None:
    platform.store.create(config_map("a"))
    platform.store.create(config_map("elsewhere", namespace="knative-serving"))
    async with watching(platform, **version) as lines:
        assert lines.response.headers["content-type"] == "application/json"
        assert await lines.names(1) == [("ADDED", "a")]
        platform.store.create(config_map("elsewhere-too", namespace="knative-serving"))
        platform.store.create(config_map("b"))
        assert await lines.names(1) == [("ADDED", "b")]


async def test_from_a_version_it_replays_what_came_after(platform: Platform) -> None:
    first = platform.store.create(config_map("a"))
    edit(platform.store, first, data={"x": "y"})
    platform.store.delete(ConfigMap, "default", "a")
    async with watching(platform, resourceVersion=first.metadata.resource_version) as lines:
        modified, deleted = await lines.next(), await lines.next()
    assert (modified["type"], modified["object"]["data"]) == ("MODIFIED", {"x": "y"})
    assert deleted["type"] == "DELETED"
    assert int(deleted["object"]["metadata"]["resourceVersion"]) == platform.store.version
    assert deleted["object"]["data"] == {"x": "y"}


async def test_from_a_version_that_is_gone_it_says_410_in_the_stream(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "HISTORY", 2)
    platform.store._history = type(platform.store._history)(maxlen=2)
    for name in "abcdef":
        platform.store.create(config_map(name))
    async with watching(platform, resourceVersion="1") as lines:
        (event,) = await lines.rest()
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


async def test_objects_enter_and_leave_a_selection(platform: Platform) -> None:
    store = platform.store
    async with watching(platform, labelSelector="app=x") as lines:
        outside = store.create(config_map("a"))
        inside = store.update(with_meta(outside, labels={"app": "x"}))
        changed = store.update(with_meta(inside, annotations={"n": "1"}))
        left = store.update(with_meta(changed, labels={}))
        store.create(config_map("end", app="x"))
        events = [await lines.next() for _ in range(4)]
    assert [e["type"] for e in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    last = events[2]["object"]["metadata"]
    assert last["labels"] == {"app": "x"}, "shown as it was last selected"
    assert last["resourceVersion"] == left.metadata.resource_version
    assert store.get(ConfigMap, "default", "a").metadata.labels == {}


async def test_a_plain_reader_sees_the_new_state_of_what_left_anothers_selection(platform: Platform) -> None:
    old = platform.store.create(config_map("a", app="x"))
    async with watching(platform, labelSelector="app=x") as lines:
        await lines.next()
        platform.store.update(with_meta(old, labels={"app": "y"}))
        assert (await lines.next())["type"] == "DELETED"
    async with httpx.AsyncClient(base_url=platform.address) as http:
        body = (await http.get(f"{CONFIG_MAPS}/a")).json()
    assert body["metadata"]["labels"] == {"app": "y"}


async def test_initial_events_end_with_a_bookmark_for_who_asks(platform: Platform) -> None:
    platform.store.create(config_map("a"))
    query = {
        "sendInitialEvents": "true",
        "allowWatchBookmarks": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    async with watching(platform, **query) as lines:
        assert await lines.names(1) == [("ADDED", "a")]
        assert await lines.next() == {
            "type": "BOOKMARK",
            "object": {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {
                    "resourceVersion": str(platform.store.version),
                    "annotations": {"k8s.io/initial-events-end": "true"},
                },
            },
        }
        platform.store.create(config_map("b"))
        assert await lines.names(1) == [("ADDED", "b")]


async def test_initial_events_can_be_left_out(platform: Platform) -> None:
    platform.store.create(config_map("a"))
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    async with watching(platform, **query) as lines:
        platform.store.create(config_map("b"))
        assert await lines.names(1) == [("ADDED", "b")]


async def test_it_ends_cleanly_after_its_timeout(platform: Platform) -> None:
    platform.store.create(config_map("a"))
    async with watching(platform, timeoutSeconds="0.05") as lines:
        assert [e["type"] for e in await lines.rest()] == ["ADDED"]
    assert platform.store._watches == set()


async def test_a_client_that_goes_away_is_noticed_without_an_event(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.store.create(config_map("a"))
    forget, gone = platform.store.forget, asyncio.Event()
    monkeypatch.setattr(platform.store, "forget", lambda watch: (forget(watch), gone.set()))
    async with watching(platform) as lines:
        await lines.next()
        assert not gone.is_set()
    await asyncio.wait_for(gone.wait(), 5)
    assert platform.store._watches == set()


async def test_bookmarks_come_to_whoever_asks_for_them(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching_module, "BOOKMARK_SECONDS", 0.02)
    async with watching(platform, allowWatchBookmarks="true") as lines:
        platform.store.create(config_map("elsewhere", namespace="knative-serving"))
        version = str(platform.store.version)
        seen = ""
        while seen != version:
            event = await lines.next()
            assert event["type"] == "BOOKMARK"
            assert event["object"] == {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": event["object"]["metadata"],
            }
            seen = event["object"]["metadata"]["resourceVersion"]
        platform.store.create(config_map("a"))
        while (event := await lines.next())["type"] == "BOOKMARK":
            pass
        assert event["object"]["metadata"]["name"] == "a"


async def test_a_hundred_watchers_see_the_same_bytes(platform: Platform) -> None:
    async with contextlib.AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(platform)) for _ in range(100)]
        platform.store.create(config_map("a"))
        seen = await asyncio.gather(*(lines.next() for lines in watchers))
    assert all(event == seen[0] for event in seen)


# --- the server ----------------------------------------------------------------------------------------


async def test_the_server_stops_within_a_second_with_open_watches_and_logs(platform: Platform) -> None:
    platform.store.create(Pod(metadata=ObjectMeta(name="p", namespace="default")))
    assert platform.server is not None
    platform.logs.append(LogEntry(timestamp_unix_ns=1, message="m", namespace="default", pod="p"))
    pods = "/api/v1/namespaces/default/pods"
    async with watching(platform) as watch, watching(platform, f"{pods}/p/log", follow="true") as log:
        text = log.response.aiter_raw()
        assert await anext(text) == b"m\n"
        started = time.monotonic()
        await platform.server.stop()
        assert time.monotonic() - started < 1
        assert await watch.rest() == [], "a watch is ended, not cut"
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(base_url=platform.address) as http:
            await http.get("/version")


async def test_the_server_leaves_signals_alone(platform: Platform) -> None:
    import signal

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# --- logs ----------------------------------------------------------------------------------------------


@pytest.fixture
async def logged(platform: Platform) -> Platform:
    platform.store.create(Pod(metadata=ObjectMeta(name="p", namespace="default")))
    for number in range(1, 4):
        entry = LogEntry(
            timestamp_unix_ns=number * 10**9 + 5,
            message=f"line {number}",
            namespace="default",
            service="s",
            revision="s-00001",
            pod="p",
            severity="INFO",
        )
        platform.logs.append(entry)
    platform.logs.append(
        LogEntry(
            timestamp_unix_ns=9 * 10**9,
            json_payload={"a": 1},
            namespace="default",
            service="other",
            trace="t",
        )
    )
    return platform


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "line 1\nline 2\nline 3\n"),
        ({"tailLines": "1"}, "line 3\n"),
        ({"tailLines": "1", "timestamps": "true"}, "1970-01-01T00:00:03.000000005Z line 3\n"),
        ({"sinceSeconds": "60"}, ""),
    ],
)
async def test_a_pods_log_is_text(logged: Platform, query: dict[str, str], text: str) -> None:
    async with httpx.AsyncClient(base_url=logged.address) as http:
        answer = await http.get("/api/v1/namespaces/default/pods/p/log", params=query)
        assert (answer.text, answer.headers["content-type"]) == (text, "text/plain; charset=utf-8")
        missing = await http.get("/api/v1/namespaces/default/pods/nope/log")
    assert missing.json()["message"] == 'pods "nope" not found'


async def test_a_followed_log_goes_on(logged: Platform) -> None:
    async with (
        httpx.AsyncClient(base_url=logged.address) as http,
        http.stream(
            "GET", "/api/v1/namespaces/default/pods/p/log", params={"follow": "true", "tailLines": "1"}
        ) as answer,
    ):
        lines = answer.aiter_lines()
        assert await asyncio.wait_for(anext(lines), 5) == "line 3"
        logged.logs.append(LogEntry(timestamp_unix_ns=1, message="new", namespace="default", pod="p"))
        assert await asyncio.wait_for(anext(lines), 5) == "new"


async def test_log_entries_are_listed_with_their_structure(logged: Platform) -> None:
    address = "/apis/minirun.dev/v1/namespaces/default/logentries"
    async with httpx.AsyncClient(base_url=logged.address) as http:
        entries = (await http.get(address)).json()["items"]
        of_service = await http.get(
            address, params={"labelSelector": "serving.knative.dev/service=s,pod=p", "tailLines": "2"}
        )
        unknown = await http.get(address, params={"labelSelector": "app=x"})
    assert entries[0] == {
        "kind": "LogEntry",
        "apiVersion": "minirun.dev/v1",
        "metadata": {
            "name": "",
            "namespace": "default",
            "labels": {
                "serving.knative.dev/service": "s",
                "serving.knative.dev/revision": "s-00001",
                "pod": "p",
            },
        },
        "timestamp": "1970-01-01T00:00:01.000000005Z",
        "severity": "INFO",
        "stream": "",
        "message": "line 1",
    }
    assert (entries[-1]["jsonPayload"], entries[-1]["trace"]) == ({"a": 1}, "t")
    assert [e["message"] for e in of_service.json()["items"]] == ["line 2", "line 3"]
    assert unknown.status_code == 400


async def test_a_watch_of_log_entries_ends_after_its_timeout(logged: Platform) -> None:
    async with watching(logged, "/apis/minirun.dev/v1/logentries", timeoutSeconds="0.05") as lines:
        assert len(await lines.rest()) == 4


async def test_log_entries_are_watched(logged: Platform) -> None:
    address = "/apis/minirun.dev/v1/logentries"
    async with watching(logged, address, labelSelector="serving.knative.dev/service=other") as lines:
        assert (await lines.next())["object"]["jsonPayload"] == {"a": 1}
        logged.logs.append(LogEntry(timestamp_unix_ns=1, message="no", namespace="default", service="s"))
        logged.logs.append(LogEntry(timestamp_unix_ns=1, message="yes", namespace="default", service="other"))
        event = await lines.next()
    assert (event["type"], event["object"]["message"]) == ("ADDED", "yes")
