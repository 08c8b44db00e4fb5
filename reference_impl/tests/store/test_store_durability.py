"""The store's file keeps every acknowledged write, has one owner, and is never harmed by being refused."""

import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.json import encode

from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta, with_meta
from minirun.model.resources import ConfigMap, Service
from minirun.store import sqlite
from minirun.store.errors import GoneError, StoreUnusableError
from minirun.store.sqlite import SCHEMA_VERSION, SQLiteLog
from minirun.store.store import Event, Store, edit

WRITER = """
import sys
from pathlib import Path
from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta
from minirun.model.resources import ConfigMap
from minirun.store.sqlite import SQLiteLog
from minirun.store.store import Store, edit

store = Store(SystemClock(), SQLiteLog(Path(sys.argv[1])))
old = store.create(ConfigMap(metadata=ObjectMeta(name="n", namespace="default"), data={"n": "0"}))
for number in range(1, 1_000_000):
    old = edit(store, old, data={"n": str(number)})
    print(number, flush=True)
"""

SCHEMA_1 = f"""
CREATE TABLE objects (kind TEXT, namespace TEXT, name TEXT, body BLOB NOT NULL,
                      PRIMARY KEY (kind, namespace, name)) WITHOUT ROWID;
CREATE TABLE counter (only INTEGER PRIMARY KEY CHECK (only = 1), resource_version INTEGER NOT NULL);
INSERT INTO counter VALUES (1, 9);
PRAGMA application_id={sqlite.APPLICATION_ID};
PRAGMA user_version=1;
"""


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


def reopen(path: Path) -> Store:
    return Store(SystemClock(), SQLiteLog(path))


@pytest.mark.parametrize("full_sync", [False, True])
def test_a_reopened_store_has_every_object_and_goes_on_counting(tmp_path: Path, full_sync: bool) -> None:
    path = tmp_path / "store.db"
    store = Store(SystemClock(), SQLiteLog(path, full_sync=full_sync))
    kept = store.create(config_map("kept", x="1"))
    kept = edit(store, kept, data={"x": "2"})
    owner = store.create(Service(metadata=ObjectMeta(name="s", namespace="default")))
    child = store.create(with_meta(config_map("child"), owner_references=[owner.owner_reference()]))
    store.create(config_map("gone"))
    store.delete(ConfigMap, "default", "gone")
    store.close()

    again = reopen(path)
    assert again.select(ConfigMap) == [child, kept]
    assert list(again.dependents(owner.metadata.uid, ConfigMap)) == [child]
    assert again.version == 6, "the deletion took a version of its own"
    assert again.create(config_map("new")).metadata.resource_version == "7"
    again.close()


def history(store: Store, since: int) -> list[Event]:
    """Every event after a version."""
    return list(store.watch([ConfigMap], since)._events)


def write(store: Store, name: str, value: int) -> None:
    """Creates, changes or (value 0) deletes a ConfigMap."""
    there = store.find(ConfigMap, "default", name)
    if there is None:
        store.create(config_map(name, x=str(value)))
    elif value:
        edit(store, there, data={"x": f"{value} {there.metadata.resource_version}"})
    else:
        store.delete(ConfigMap, "default", name)


def test_a_watch_goes_on_where_it_was_before_the_store_was_opened_anew(tmp_path: Path) -> None:
    store = reopen(tmp_path / "store.db")
    for name, value in (("a", 1), ("b", 1), ("a", 2), ("b", 0), ("b", 3)):
        write(store, name, value)
    before = history(store, 2)
    store.close()
    again = reopen(tmp_path / "store.db")
    assert history(again, 2) == before
    assert [(e.version, e.type) for e in before] == [(3, "MODIFIED"), (4, "DELETED"), (5, "ADDED")]
    assert [each.data for each in again.select(ConfigMap, at=2)] == [{"x": "1"}, {"x": "1"}]
    again.close()


writes = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=40)


@given(writes, st.sets(st.integers(0, 40), max_size=3))
@settings(max_examples=40, deadline=None)
def test_the_file_keeps_exactly_the_last_writes_and_what_is_there(
    operations: list[tuple[str, int]], reopened_at: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "KEPT", 8)
        patch.setattr(sqlite, "COMPACT_EVERY", 3)
        path, in_memory = Path(folder) / "store.db", Store(SystemClock())
        store = reopen(path)
        for number, (name, value) in enumerate(operations):
            if number in reopened_at:
                store.close()
                store = reopen(path)
            write(in_memory, name, value)
            write(store, name, value)
        store.close()
        store = reopen(path)
        oldest = max(0, store.version - 8)
        assert [e.version for e in history(store, oldest)] == list(range(oldest + 1, store.version + 1))
        there, wanted = (
            [(e.key, e.data) for e in s.select(ConfigMap, at=oldest)] for s in (store, in_memory)
        )
        assert there == wanted
        if store.version > 8 + 3:
            with pytest.raises(GoneError):
                history(store, store.version - 8 - 3)
        store.close()
        with contextlib.closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT count(*) FROM writes").fetchone()[0]
        assert rows <= 8 + 3 + 3, "what nobody can ask for any more is dropped"


def test_a_file_of_schema_1_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    kept = with_meta(config_map("kept", x="1"), uid="u", resource_version="7")
    with contextlib.closing(sqlite3.connect(path)) as former, former:
        former.executescript(SCHEMA_1)
        former.execute("INSERT INTO objects VALUES ('ConfigMap', 'default', 'kept', ?)", (encode(kept),))
    for _ in range(2):
        store = reopen(path)
        assert (store.version, store.select(ConfigMap)) == (9, [kept])
        with pytest.raises(GoneError):
            store.watch([ConfigMap], since=8)
        store.close()


def test_killing_the_writer_loses_no_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        acknowledged = 0
        while acknowledged < 200:
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        for line in writer.stdout:
            if line.endswith("\n"):
                acknowledged = int(line)
    store = reopen(path)
    found = store.get(ConfigMap, "default", "n")
    assert int(found.data["n"]) >= acknowledged
    assert int(found.metadata.resource_version) == store.version
    store.close()


def test_a_second_platform_is_told_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    first = reopen(path)
    with pytest.raises(StoreUnusableError, match="in use by another minirun"):
        SQLiteLog(path)
    first.create(config_map("still-works"))
    first.close()
    reopen(path).close()


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = reopen(path)
    for number in range(200):
        store.create(config_map(f"a{number}", x="y" * 200))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 3] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(StoreUnusableError, match="is damaged"):
        SQLiteLog(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"not a database at all, but some text" * 200, b"SQLite format 3\x00" + b"\x00" * 9]
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreUnusableError):
        SQLiteLog(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(StoreUnusableError, match="is not a minirun store"):
        SQLiteLog(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    reopen(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    database.commit()
    database.close()
    with pytest.raises(StoreUnusableError, match="written by a newer minirun"):
        SQLiteLog(path)
