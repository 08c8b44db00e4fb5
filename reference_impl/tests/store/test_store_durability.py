"""The store's file keeps every acknowledged write, has one owner, and is never harmed by being refused."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta, with_meta
from minirun.model.resources import ConfigMap, Service
from minirun.store.errors import GoneError, StoreUnusableError
from minirun.store.sqlite import SCHEMA_VERSION, SQLiteLog
from minirun.store.store import Store, edit

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
    with pytest.raises(GoneError):
        again.watch([ConfigMap], since=1)
    again.close()


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
