"""The store's file: one SQLite database in WAL mode, one row a write, in the order of their versions.

The file is the history: replayed from its first row it gives the objects as they are, and the last writes
one by one, for watches that go on after a restart. Up to the horizon, some thousands of writes ago, only
what is still there is kept. Counterpart: etcd's revisions and its compaction.

A write is one transaction and is in the operating system's hands when it returns, so a SIGKILL of the
platform loses nothing (`synchronous=NORMAL`); with `full` it is on the disk and a power loss loses nothing
either. One platform has the file for itself (SQLite's exclusive lock). A file that is damaged or was
written by a newer minirun is refused and left as it is.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from minirun.store.errors import StoreUnusableError

SCHEMA_VERSION = 2
APPLICATION_ID = 0x6D72756E  # "mrun": tells our files from other SQLite databases
CHECKPOINT_PAGES = 4_000
KEPT = 5_000  # writes of which the file has every one: what a watch can go on from after a restart
COMPACT_EVERY = 100  # writes

_SCHEMA = """
CREATE TABLE writes (version INTEGER PRIMARY KEY, replaces INTEGER, gone INTEGER NOT NULL,
                     kind TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE horizon (only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL);
INSERT INTO horizon VALUES (1, 0);
"""
_FROM_1 = """
INSERT INTO writes SELECT json_extract(CAST(body AS TEXT), '$.metadata.resourceVersion'), NULL, 0, kind, body
                   FROM objects;
UPDATE horizon SET version = (SELECT resource_version FROM counter);
DROP TABLE objects;
DROP TABLE counter;
"""
"""From schema 1, which had the objects as they are and the counter."""
_COMPACT = """
DELETE FROM writes WHERE version IN (
    SELECT replaces FROM writes, horizon WHERE writes.version > horizon.version AND writes.version <= :end
    UNION
    SELECT writes.version FROM writes, horizon
    WHERE writes.version > horizon.version AND writes.version <= :end AND gone)
"""


class SQLiteLog:
    """Durable rows for a `Store`.

    Args:
        path: the database file; made when it is not there, for this user alone.
        full_sync: wait for the disk at every write.

    Raises:
        StoreUnusableError: another platform has the file, or it is not ours, newer, or damaged.
    """

    def __init__(self, path: Path, *, full_sync: bool = False) -> None:
        path.touch(mode=0o600)  # it has private keys; what SQLite adds beside it has the same mode
        self._db = sqlite3.connect(path, timeout=0.2)
        try:
            self._open(path, full_sync)
        except BaseException:
            self._db.close()
            raise

    def _open(self, path: Path, full_sync: bool) -> None:
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("COMMIT")
            application, version = self._number("PRAGMA application_id"), self._number("PRAGMA user_version")
            tables = self._number("SELECT count(*) FROM sqlite_master")
            if tables and application != APPLICATION_ID:
                raise StoreUnusableError(f"{path} is not a minirun store; name another --data-dir")
            if version > SCHEMA_VERSION:
                raise StoreUnusableError(
                    f"{path} has schema {version} and this minirun knows {SCHEMA_VERSION}: "
                    "it was written by a newer minirun; upgrade, or name another --data-dir"
                )
            if (verdict := self._db.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                raise StoreUnusableError(_damaged(path, verdict))
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={'FULL' if full_sync else 'NORMAL'}")
            self._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
            if version < SCHEMA_VERSION:
                self._db.executescript(
                    f"BEGIN; {_SCHEMA} {_FROM_1 if tables else ''} PRAGMA application_id={APPLICATION_ID}; "
                    f"PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
                )
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise StoreUnusableError(f"{path} can't be opened: {error}") from error
            raise StoreUnusableError(
                f"{path.parent} is in use by another minirun; stop that one, or name another --data-dir"
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreUnusableError(_damaged(path, str(error))) from error

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    @property
    def horizon(self) -> int:
        """The version after which every write is kept."""
        return self._number("SELECT version FROM horizon")

    def load(self) -> Iterator[tuple[int, bool, str, bytes]]:
        """(version, whether it is a deletion, kind, JSON) of every write that is kept, in their order."""
        rows = self._db.execute("SELECT version, gone, kind, body FROM writes ORDER BY version")
        return ((version, bool(gone), kind, body) for version, gone, kind, body in rows)

    def put(self, version: int, kind: str, body: bytes, *, replaces: int | None, gone: bool) -> None:
        """Adds a write; one transaction.

        Args:
            body: the object as JSON; one that is deleted as it was at last.
            replaces: the version that the object had before; None for a new one.
            gone: whether the write is a deletion.
        """
        with self._db:
            insert = "INSERT INTO writes VALUES (?, ?, ?, ?, ?)"
            self._db.execute(insert, (version, replaces, gone, kind, body))
            if version % COMPACT_EVERY == 0 and version > KEPT:
                self._db.execute(_COMPACT, {"end": version - KEPT})
                self._db.execute("UPDATE horizon SET version = max(version, ?)", (version - KEPT,))

    def close(self) -> None:
        """Folds the journal into the file and lets go of it."""
        self._db.close()


def _damaged(path: Path, detail: str) -> str:
    return (
        f"{path} is damaged ({detail}) and was left as it is; restore a copy, or name another --data-dir "
        "to start afresh"
    )
