"""Instance logs: each line that a container prints becomes a `LogEntry`, kept on disk.

Lines that are JSON objects are structured entries, with the special fields that Cloud Logging knows; any
other line is text of severity DEFAULT, on stderr too, as Cloud Run has it. A revision, and an execution of a
job, keep at most two files of `ROTATE_BYTES`. Entries are written at most `FLUSH_SECONDS` after they came, in
one write a file; reading writes first, so a reader sees everything. Counterpart: Cloud Logging behind Cloud
Run (cloud.google.com/logging/docs/structured-logging, "Special fields in structured payloads").
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import TypedDict, Unpack

import msgspec

from minirun.model.clock import SECOND_NS, Clock

ROTATE_BYTES = 10_000_000
FLUSH_SECONDS = 0.1
FLUSH_BYTES = 1_000_000  # a flood is written at once: memory stays flat
LATE_ENTRIES = 1_000  # an entry may come so many entries later than its time says and be in the tail
MEMORY_ENTRIES = 10_000  # kept by a store without a directory, and for a follower that does not keep up

MAX_UNIX_NS = 1 << 63  # year 2262; what an app says of times beyond is no time

SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_ALIASES = {"TRACE": "DEBUG", "WARN": "WARNING", "ERR": "ERROR", "FATAL": "CRITICAL", "PANIC": "EMERGENCY"}
NO_LABELS: Mapping[str, str] = {}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One entry: `message` of a text line, or the `json_payload` that is left of a structured one.

    `severity` is one of `SEVERITIES`; `pod` is the instance, `container`
    the one of its containers if it has several; `stream` is stdout or stderr.
    """

    timestamp_unix_ns: int
    severity: str = "DEFAULT"
    message: str = ""
    json_payload: dict[str, object] | None = None
    namespace: str = ""
    service: str = ""
    configuration: str = ""
    revision: str = ""
    job: str = ""
    execution: str = ""
    pod: str = ""
    container: str = ""
    stream: str = ""
    trace: str = ""
    span_id: str = ""
    labels: dict[str, str] = {}

    @property
    def file(self) -> str:
        """The name of the file that it goes to."""
        return file_of(self.revision, self.execution)

    @property
    def text(self) -> str:
        """What a person reads: the message, or the payload as JSON if it has none."""
        if self.json_payload is None or self.message:
            return self.message
        message = self.json_payload.get("message")
        return message if isinstance(message, str) else msgspec.json.encode(self.json_payload).decode()


def file_of(revision: str, execution: str) -> str:
    """Where entries are kept; no revision has a dot in its name."""
    return revision or f"{execution}.job"


class Selection(TypedDict, total=False):
    """Which entries to read: those of a service, a job, an instance and so on; None or absent is any.

    `tail`: only the last so many of those that match; `since_unix_ns`: only entries of that time or later.
    """

    service: str | None
    revision: str | None
    job: str | None
    execution: str | None
    pod: str | None
    container: str | None
    tail: int | None
    since_unix_ns: int | None


def parse_line(
    stream: str, line: bytes, unix_ns: int, labels: Mapping[str, str] = NO_LABELS, **origin: str
) -> LogEntry:
    """The entry that one line of output makes.

    Args:
        stream: "stdout" or "stderr".
        line: the line without its end.
        unix_ns: when it came; the time of entries that do not carry a valid one.
        labels: go on the entry, beside those of a structured one.
        origin: who printed it: namespace, service, configuration and revision, or job and execution; pod.
    """
    fields: dict[str, object] = {"timestamp_unix_ns": unix_ns, "stream": stream, **origin}
    payload = _json_object(line)
    if payload is None:
        fields["message"] = line.decode("utf-8", "replace")
    else:
        fields.update(_take_special(payload))
        labels = {**labels, **fields.pop("labels", {})}  # type: ignore[dict-item]
        only_message = payload.keys() == {"message"} and isinstance(payload["message"], str)
        fields.update(payload if only_message else {"json_payload": payload})
    return LogEntry(labels=dict(labels), **fields)  # type: ignore[arg-type]


def _json_object(line: bytes) -> dict[str, object] | None:
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        return msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _take_special(payload: dict[str, object]) -> dict[str, object]:
    """Takes the special fields that are well-formed out of `payload`; the others stay where they are."""
    taken: dict[str, object] = {}
    for key, field, parse in _FIELDS:
        value = parse(payload[key]) if key in payload else None
        if value is not None:
            taken[field] = value
            del payload[key]
    unix_ns = _unix_ns(payload.get("timestampSeconds"), payload.get("timestampNanos", 0))
    if unix_ns is not None:
        taken["timestamp_unix_ns"] = unix_ns
        del payload["timestampSeconds"]
        payload.pop("timestampNanos", None)
    return taken


def _unix_ns(seconds: object, nanos: object) -> int | None:
    if not (isinstance(seconds, int) and isinstance(nanos, int)):
        return None
    unix_ns = seconds * SECOND_NS + nanos
    return unix_ns if 0 <= unix_ns < MAX_UNIX_NS else None


def _severity(value: object) -> str | None:
    name = str(value).upper()
    name = _ALIASES.get(name, name)
    return name if name in SEVERITIES else None


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _labels(value: object) -> dict[str, str] | None:
    return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else None


def _timestamp(value: object) -> int | None:
    if isinstance(value, dict):
        return _unix_ns(value.get("seconds"), value.get("nanos", 0))
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return _unix_ns(0, (when - _EPOCH) // timedelta(microseconds=1) * 1000) if when.tzinfo else None


_FIELDS: tuple[tuple[str, str, Callable[[object], object]], ...] = (
    ("severity", "severity", _severity),
    ("time", "timestamp_unix_ns", _timestamp),
    ("timestamp", "timestamp_unix_ns", _timestamp),
    ("logging.googleapis.com/trace", "trace", _string),
    ("logging.googleapis.com/spanId", "span_id", _string),
    ("logging.googleapis.com/labels", "labels", _labels),
)


class LogStore:
    """The entries of all instances.

    Args:
        directory: where the files go, `NAMESPACE/FILE.jsonl`; None keeps the last entries in memory only.
        clock: stamps the lines.
        rotate_bytes: size at which a file becomes the older one of the two that are kept.
    """

    def __init__(self, directory: Path | None, clock: Clock, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._clock = clock
        self._directory = directory
        self._rotate_bytes = rotate_bytes
        self._memory: deque[LogEntry] = deque(maxlen=MEMORY_ENTRIES)
        self._unwritten: dict[tuple[str, str], list[bytes]] = {}
        self._unwritten_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._followers: dict[asyncio.Queue[LogEntry], Callable[[LogEntry], bool]] = {}

    def append(self, entry: LogEntry) -> None:
        """Adds an entry; it is on disk within `FLUSH_SECONDS`. Called on the loop's thread."""
        for queue, wanted in self._followers.items():
            if wanted(entry):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(entry)
        if self._directory is None:
            self._memory.append(entry)
            return
        line = b"\n" + msgspec.json.encode(entry)  # the new line first: it ends one that a kill cut in half
        self._unwritten.setdefault((entry.namespace, entry.file), []).append(line)
        self._unwritten_bytes += len(line)
        if self._unwritten_bytes >= FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def append_line(
        self, stream: str, line: bytes, labels: Mapping[str, str] = NO_LABELS, **origin: str
    ) -> None:
        """Adds one line that an instance printed just now; see `parse_line`."""
        self.append(parse_line(stream, line, self._clock.unix_ns(), labels, **origin))

    def flush(self) -> None:
        """Writes what is not written yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        unwritten, self._unwritten, self._unwritten_bytes = self._unwritten, {}, 0
        for (namespace, name), lines in unwritten.items():
            path = self._path(namespace, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(b"".join(lines))
                size = file.tell()
            if size >= self._rotate_bytes:
                path.replace(path.with_suffix(".old"))

    def _path(self, namespace: str, name: str) -> Path:
        assert self._directory is not None
        return self._directory / namespace / f"{name}.jsonl"

    def read(self, namespace: str | None, **selection: Unpack[Selection]) -> Iterator[LogEntry]:
        """The stored entries of a namespace (None: of all) that are selected, oldest first.

        Apps set times too: the tail is of the latest times, among those that came last (`LATE_ENTRIES`).
        """
        tail = selection.get("tail")
        if self._directory is None:
            logs: list[Iterator[LogEntry]] = [reversed(self._memory)]
        else:
            self.flush()
            files = self._directory.glob(f"{namespace or '*'}/{selection.get('revision') or '*'}.*")
            logs = [_newest_first(path) for path in sorted({file.with_suffix(".jsonl") for file in files})]
        # Each log is read from its end, so that the tail of a long one is cheap.
        wanted = partial(_matches, namespace, selection)
        ends = (list(islice(filter(wanted, log), tail and tail + LATE_ENTRIES)) for log in logs)
        found = sorted(chain.from_iterable(map(reversed, ends)), key=attrgetter("timestamp_unix_ns"))
        return iter(found if tail is None else found[max(0, len(found) - tail) :])

    async def follow(
        self, namespace: str | None, **selection: Unpack[Selection]
    ) -> AsyncGenerator[LogEntry, None]:
        """What `read` gives, then each new entry as it comes, until the caller closes it.

        A follower that is `MEMORY_ENTRIES` behind loses the oldest.
        """
        queue: asyncio.Queue[LogEntry] = asyncio.Queue(MEMORY_ENTRIES)
        self._followers[queue] = partial(_matches, namespace, selection)
        try:
            for entry in self.read(namespace, **selection):
                yield entry
            while True:
                yield await queue.get()
        finally:
            del self._followers[queue]

    def remove(self, namespace: str, *, revision: str = "", execution: str = "") -> None:
        """Forgets the entries of a revision or an execution."""
        name = file_of(revision, execution)
        self._unwritten.pop((namespace, name), None)
        kept = [e for e in self._memory if (e.namespace, e.file) != (namespace, name)]
        self._memory = deque(kept, maxlen=MEMORY_ENTRIES)
        if self._directory is not None:
            for suffix in (".jsonl", ".old"):
                self._path(namespace, name).with_suffix(suffix).unlink(missing_ok=True)


def _matches(namespace: str | None, selection: Selection, entry: LogEntry) -> bool:
    return (
        namespace in (None, entry.namespace)
        and selection.get("service") in (None, entry.service)
        and selection.get("revision") in (None, entry.revision)
        and selection.get("job") in (None, entry.job)
        and selection.get("execution") in (None, entry.execution)
        and selection.get("pod") in (None, entry.pod)
        and selection.get("container") in (None, entry.container)
        and entry.timestamp_unix_ns >= (selection.get("since_unix_ns") or 0)
    )


def _newest_first(path: Path) -> Iterator[LogEntry]:
    for file in (path, path.with_suffix(".old")):
        for line in reversed(file.read_bytes().splitlines()) if file.exists() else ():
            try:
                yield msgspec.json.decode(line, type=LogEntry)
            except msgspec.DecodeError:
                continue  # cut in half by a kill
