"""Instance logs: what a line becomes, and what is kept of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.model.clock import SystemClock
from minirun.simulation.loop import VirtualLoop
from minirun.telemetry.logs import MEMORY_ENTRIES, LogEntry, LogStore, parse_line


def parse(line: bytes, stream: str = "stdout") -> LogEntry:
    return parse_line(stream, line, 5, namespace="default", service="hello", revision="hello-00001", pod="p")


def entry(text: str, at: int = 1, revision: str = "hello-00001", service: str = "hello") -> LogEntry:
    return LogEntry(
        timestamp_unix_ns=at, message=text, namespace="default", service=service, revision=revision, pod="p"
    )


def texts(store: LogStore, **selection: object) -> list[str]:
    return [e.text for e in store.read("default", **selection)]  # type: ignore[arg-type]


@pytest.fixture(params=["on disk", "in memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    return LogStore(tmp_path / "logs" if request.param == "on disk" else None, SystemClock())


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_plain_text_is_a_message_of_severity_default_on_both_streams(stream: str) -> None:
    got = parse(b"started \xff on 8080", stream)
    assert (got.message, got.severity, got.stream) == ("started � on 8080", "DEFAULT", stream)
    assert (got.namespace, got.service, got.revision, got.pod) == ("default", "hello", "hello-00001", "p")
    assert got.timestamp_unix_ns == 5


@pytest.mark.parametrize(
    ("given_severity", "severity"),
    [
        ("ERROR", "ERROR"),
        ("warning", "WARNING"),
        ("warn", "WARNING"),
        ("Notice", "NOTICE"),
        ("fatal", "CRITICAL"),
    ],
)
def test_the_severity_of_a_json_line_is_understood(given_severity: str, severity: str) -> None:
    got = parse(b'{"severity": "%s", "message": "no"}' % given_severity.encode())
    assert (got.severity, got.message, got.json_payload) == (severity, "no", None)


def test_special_fields_leave_the_payload_and_the_others_stay() -> None:
    got = parse(
        b'{"severity":"INFO","message":"hi","user":7,"logging.googleapis.com/trace":"projects/p/traces/t",'
        b'"logging.googleapis.com/spanId":"s","logging.googleapis.com/labels":{"a":"b"}}'
    )
    assert (got.trace, got.span_id, got.labels) == ("projects/p/traces/t", "s", {"a": "b"})
    assert got.json_payload == {"message": "hi", "user": 7}
    assert got.text == "hi"


@pytest.mark.parametrize(
    "time",
    [
        b'"time": "1970-01-01T00:00:01.5Z"',
        b'"timestamp": "1970-01-01T01:00:01.500+01:00"',
        b'"timestamp": {"seconds": 1, "nanos": 500000000}',
        b'"timestampSeconds": 1, "timestampNanos": 500000000',
    ],
)
def test_each_form_of_a_time_is_understood(time: bytes) -> None:
    assert parse(b'{"message": "x", ' + time + b"}").timestamp_unix_ns == 1_500_000_000


def test_a_special_field_that_is_malformed_stays_in_the_payload() -> None:
    got = parse(b'{"severity": "LOUD", "time": "noon", "message": "x"}')
    assert (got.severity, got.timestamp_unix_ns) == ("DEFAULT", 5)
    assert got.json_payload == {"severity": "LOUD", "time": "noon", "message": "x"}


@pytest.mark.parametrize(
    "time",
    [b'"timestampSeconds": 300000000000', b'"timestamp": {"seconds": -1}', b'"time": "0001-01-01T00:00Z"'],
)
def test_a_time_that_no_calendar_of_ours_can_show_is_none(time: bytes) -> None:
    got = parse(b'{"message": "x", ' + time + b"}")
    assert (got.timestamp_unix_ns, len(got.json_payload or {})) == (5, 2)


@pytest.mark.parametrize(
    "line", [b"[1, 2]", b'"text"', b'{"half": ', b"17", b"", b'{"a": NaN}', b'{"\xff": 1}']
)
def test_what_is_not_a_json_object_is_text(line: bytes) -> None:
    assert parse(line).message == line.decode("utf-8", "replace")


@given(st.binary(max_size=60) | st.just(b"{" * 100_000) | st.just(b'{"a":' * 100_000))
def test_no_line_is_refused(line: bytes) -> None:
    assert parse(line.replace(b"\n", b"")).namespace == "default"


async def test_what_was_appended_is_read_in_order_of_time(store: LogStore) -> None:
    for text, at, revision in (("a", 1, "r1"), ("c", 3, "r1"), ("b", 2, "r2")):
        store.append(entry(text, at, revision))
    assert texts(store) == ["a", "b", "c"]
    assert list(store.read("other")) == []
    assert [e.text for e in store.read(None)] == ["a", "b", "c"]


async def test_reading_selects(store: LogStore) -> None:
    for n in range(6):
        store.append(entry(f"{n}", n, f"r{n % 2}", "even" if n % 2 == 0 else "odd"))
    assert texts(store, service="odd") == ["1", "3", "5"]
    assert texts(store, revision="r0") == ["0", "2", "4"]
    assert texts(store, tail=2) == ["4", "5"]
    assert texts(store, tail=0) == []
    assert texts(store, since_unix_ns=4) == ["4", "5"]
    assert texts(store, pod="nobody") == []


async def test_the_tail_is_of_the_latest_times_whenever_they_came(store: LogStore) -> None:
    for text, unix_ns in (("third", 3), ("fourth", 4), ("fourth too", 4), ("first", 1), ("second", 2)):
        store.append(entry(text, unix_ns))
    assert texts(store) == ["first", "second", "third", "fourth", "fourth too"]
    assert texts(store, tail=2) == ["fourth", "fourth too"]


async def test_following_gives_the_past_and_then_what_comes(store: LogStore) -> None:
    store.append(entry("old", 1))
    store.append(entry("past", 2))
    stream: AsyncIterator[LogEntry] = store.follow("default", revision="hello-00001", tail=1)
    assert (await anext(stream)).text == "past"
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    store.append(entry("other", 3, "r2"))
    store.append(entry("new", 4))
    assert (await waiting).text == "new"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_revision_that_is_gone_takes_its_entries_along(store: LogStore) -> None:
    store.append(entry("mine"))
    store.append(entry("yours", revision="r2"))
    store.remove("default", revision="hello-00001")
    assert texts(store) == ["yours"]
    store.append(entry("late"))
    store.flush()
    store.remove("default", revision="hello-00001")
    assert texts(store) == ["yours"]


async def test_memory_holds_the_last_entries_only() -> None:
    store = LogStore(None, SystemClock())
    for n in range(MEMORY_ENTRIES + 3):
        store.append(entry(str(n), n))
    assert texts(store)[0] == "3"


def test_entries_are_on_disk_in_time_without_anybody_reading(tmp_path: Path) -> None:
    async def print_and_wait() -> None:
        LogStore(tmp_path, SystemClock()).append_line("stdout", b"hello", namespace="default", revision="r1")
        await asyncio.sleep(0.2)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(print_and_wait())
    assert [e.text for e in LogStore(tmp_path, SystemClock()).read("default")] == ["hello"]


async def test_a_revision_keeps_at_most_two_files(tmp_path: Path) -> None:
    store = LogStore(tmp_path, SystemClock(), rotate_bytes=2_000)
    for n in range(200):
        store.append(entry(f"{n}", n))
        store.flush()
    sizes = [path.stat().st_size for path in (tmp_path / "default").iterdir()]
    assert len(sizes) <= 2
    assert sum(sizes) <= 2 * 2_200
    kept = [int(text) for text in texts(store)]
    assert kept == list(range(kept[0], 200))
    assert texts(store, tail=3) == ["197", "198", "199"]


async def test_an_entry_cut_in_half_by_a_kill_costs_no_other(tmp_path: Path) -> None:
    store = LogStore(tmp_path, SystemClock())
    for text in ("whole", "cut"):
        store.append(entry(text))
        store.flush()
    path = tmp_path / "default" / "hello-00001.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    later = LogStore(tmp_path, SystemClock())
    assert texts(later) == ["whole"]
    later.append(entry("next", 2))
    assert texts(later) == ["whole", "next"]
