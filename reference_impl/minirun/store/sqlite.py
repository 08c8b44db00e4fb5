"""The store's file: one SQLite database in WAL mode, one row an object.

A write is one transaction and is in the operating system's hands when it returns, so a SIGKILL of the
platform loses nothing (`synchronous=NORMAL`); with `full` it is on the disk and a power loss loses nothing
either. One platform has the file for itself (SQLite's exclusive lock). A file that is damaged or was
written by a newer minirun is refused and left as it is.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from minirun.store.errors import StoreUnusableError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x6D72756E  # "mrun": tells our files from other SQLite databases
CHECKPOINT_PAGES = 4_000

_SCHEMA = """
CREATE TABLE objects (kind TEXT, namespace TEXT, name TEXT, body BLOB NOT NULL,
                      PRIMARY KEY (kind, namespace, name)) WITHOUT ROWID;
CREATE TABLE counter (only INTEGER PRIMARY KEY CHECK (only = 1), resource_version INTEGER NOT NULL);
INSERT INTO counter VALUES (1, 0);
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
            application, version = (self._pragma(name) for name in ("application_id", "user_version"))
            tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
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
            if not tables:
                self._db.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA application_id={APPLICATION_ID}; "
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

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def load(self) -> Iterator[tuple[str, bytes]]:
        """(kind, JSON) of every object."""
        yield from self._db.execute("SELECT kind, body FROM objects")

    @property
    def resource_version(self) -> int:
        """The counter after the last write."""
        return int(self._db.execute("SELECT resource_version FROM counter").fetchone()[0])

    def put(self, kind: str, namespace: str, name: str, resource_version: int, body: bytes) -> None:
        """Writes an object and the counter, in one transaction."""
        insert = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)"
        self._write(resource_version, insert, kind, namespace, name, body)

    def remove(self, kind: str, namespace: str, name: str, resource_version: int) -> None:
        """Removes an object and writes the counter, in one transaction."""
        delete = "DELETE FROM objects WHERE kind=? AND namespace=? AND name=?"
        self._write(resource_version, delete, kind, namespace, name)

    def _write(self, resource_version: int, statement: str, *values: str | bytes) -> None:
        with self._db:
            self._db.execute(statement, values)
            self._db.execute("UPDATE counter SET resource_version=?", (resource_version,))

    def close(self) -> None:
        """Folds the journal into the file and lets go of it."""
        self._db.close()


def _damaged(path: Path, detail: str) -> str:
    return (
        f"{path} is damaged ({detail}) and was left as it is; restore a copy, or name another --data-dir "
        "to start afresh"
    )
