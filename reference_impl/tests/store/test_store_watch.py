"""A watch sees each write once, in order, from any version that is still kept."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta, with_meta
from minirun.model.resources import ConfigMap, Service
from minirun.store import store as store_module
from minirun.store.errors import ConflictError, GoneError
from minirun.store.store import Event, Store, Watch, edit


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


async def take(watch: Watch, count: int) -> list[Event]:
    return [await anext(watch) for _ in range(count)]


async def test_a_watch_sees_every_write_in_order() -> None:
    store = Store(SystemClock())
    watch = store.watch([ConfigMap])
    old = store.create(config_map("a", x="1"))
    new = edit(store, old, data={"x": "2"})
    store.delete(ConfigMap, "default", "a")
    events = await take(watch, 3)
    assert [(e.version, e.type, e.old) for e in events] == [
        (1, "ADDED", None),
        (2, "MODIFIED", old),
        (3, "DELETED", new),
    ]
    assert events[2].object == with_meta(new, resource_version="3"), "a deletion has a version of its own"


async def test_a_watch_from_the_past_joins_history_and_present_without_gap() -> None:
    store = Store(SystemClock())
    for name in "abc":
        store.create(config_map(name))
    watch = store.watch([ConfigMap], since=1)
    store.create(config_map("d"))
    assert [e.object.metadata.name for e in await take(watch, 3)] == ["b", "c", "d"]


async def test_a_watch_waits_for_its_kinds_only() -> None:
    store = Store(SystemClock())
    watch = store.watch([ConfigMap])
    waiting = asyncio.ensure_future(anext(watch))
    store.create(Service(metadata=ObjectMeta(name="s", namespace="default")))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.create(config_map("a"))
    assert (await waiting).object.kind == "ConfigMap"


async def test_a_watch_from_before_the_history_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY", 3)
    store = Store(SystemClock())
    store._history = type(store._history)(maxlen=3)
    for name in "abcde":
        store.create(config_map(name))
    with pytest.raises(GoneError, match=r"too old resource version: 1 \(2\)"):
        store.watch([ConfigMap], since=1)
    assert [e.version for e in await take(store.watch([ConfigMap], since=2), 3)] == [3, 4, 5]


async def test_a_closed_watch_gives_what_it_has_and_ends() -> None:
    store = Store(SystemClock())
    watch = store.watch([ConfigMap])
    store.create(config_map("a"))
    watch.close()
    store.create(config_map("b"))
    assert [event.object.metadata.name async for event in watch] == ["a"]


async def test_closing_wakes_a_waiting_reader() -> None:
    watch = Store(SystemClock()).watch([ConfigMap])
    waiting = asyncio.ensure_future(anext(watch, None))
    await asyncio.sleep(0)
    watch.close()
    assert await waiting is None


async def test_a_reader_that_falls_too_far_behind_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY", 3)
    store = Store(SystemClock())
    watch = store.watch([ConfigMap])
    for number in range(10):
        store.create(config_map(f"a{number}"))
    assert [event.version async for event in watch] == [1, 2, 3, 4]


def test_subscribers_are_called_inside_the_write() -> None:
    store = Store(SystemClock())
    seen: list[Event] = []
    store.subscribe(seen.append)
    stored = store.create(config_map("a"))
    assert [(e.type, e.object) for e in seen] == [("ADDED", stored)]


writes = st.lists(
    st.tuples(st.sampled_from(("create", "update", "delete")), st.sampled_from("abc"), st.integers(0, 3)),
    max_size=40,
)


@given(writes, st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_replaying_a_watch_from_any_version_gives_the_present_state(
    operations: list[tuple[str, str, int]], start: int
) -> None:
    async def scenario() -> None:
        store = Store(SystemClock())
        states: dict[int, dict[str, ConfigMap]] = {0: {}}
        for verb, name, value in operations:
            there = store.find(ConfigMap, "default", name)
            if verb == "create" and there is None:
                store.create(config_map(name, x=str(value)))
            elif verb == "update" and there is not None:
                edit(store, there, data={"x": str(value)})
            elif verb == "delete" and there is not None:
                store.delete(ConfigMap, "default", name)
            states[store.version] = {o.metadata.name: o for o in store.select(ConfigMap)}
        since = max(v for v in states if v <= start)
        replayed = dict(states[since])
        watch = store.watch([ConfigMap], since)
        watch.close()
        async for event in watch:
            if event.type == "DELETED":
                del replayed[event.object.metadata.name]
            else:
                assert isinstance(event.object, ConfigMap)
                replayed[event.object.metadata.name] = event.object
        assert replayed == {o.metadata.name: o for o in store.select(ConfigMap)}

    asyncio.run(scenario())


@given(st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=2, max_size=4))
@settings(max_examples=50, deadline=None)
def test_no_update_is_lost_among_writers_that_retry_on_conflict(pauses: list[list[int]]) -> None:
    async def scenario() -> None:
        store = Store(SystemClock())
        store.create(config_map("counter", value="0"))

        async def count(steps: list[int]) -> None:
            for pause in steps:
                while True:
                    old = store.get(ConfigMap, "default", "counter")
                    for _ in range(pause):
                        await asyncio.sleep(0)
                    try:
                        edit(store, old, data={"value": str(int(old.data["value"]) + 1)})
                        break
                    except ConflictError:
                        await asyncio.sleep(0)

        await asyncio.gather(*(count(steps) for steps in pauses))
        total = store.get(ConfigMap, "default", "counter").data["value"]
        assert int(total) == sum(len(steps) for steps in pauses)

    asyncio.run(scenario())
