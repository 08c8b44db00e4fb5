"""What the benchmarks share: a platform of their own, load, and how a result is told."""

import asyncio
import contextlib
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from minirun.cli.client import Client
from minirun.cli.images import build_image
from minirun.cli.load import LoadResult, run_load
from minirun.model.conditions import is_true
from minirun.model.resources import Service

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
AUTOSCALING = "autoscaling.knative.dev/"
ADDED = b'"type":"ADDED"'
SHORT_WINDOWS = {"stable-window": "6s", "scale-to-zero-grace-period": "1s"}


@dataclass(frozen=True)
class Verdict:
    """An aim and what was measured against it."""

    aim: str
    measured: str
    met: bool


@dataclass
class Result:
    """What one benchmark found: rows of a table, notes, and verdicts."""

    name: str
    title: str
    rows: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def add(self, **row: object) -> None:
        self.rows.append({k: f"{v:,.2f}" if isinstance(v, float) else str(v) for k, v in row.items()})

    def judge(self, aim: str, measured: str, met: bool) -> None:
        self.verdicts.append(Verdict(aim, measured, met))


@dataclass(frozen=True)
class Scale:
    """How long a run takes: `quick` and `full` change seconds and counts, never what is measured.

    `runtime` is the one that is measured where there is more than one: "docker" beside "process".
    """

    name: str
    runtime: str = "process"

    def pick(self, quick: float, default: float, full: float) -> float:
        return {"quick": quick, "default": default, "full": full}[self.name]


class Live:
    """A platform in a child process on free ports, with a data directory of its own.

    Args:
        warm: interpreters kept warm.
        settings: data of ConfigMap config-autoscaler.
        more: further words for `minirun up`.
    """

    def __init__(
        self, *, warm: int = 2, settings: Mapping[str, str] | None = None, more: Sequence[str] = ()
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="minirun-bench-"))
        file = self._folder / "settings.yaml"
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "config-autoscaler"},
                    "data": dict(settings or {}),
                }
            )
        )
        command = [sys.executable, "-m", "minirun", "up", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
        command += [
            "--data-dir",
            str(self._folder / "data"),
            "--settings",
            str(file),
            "--warm",
            str(warm),
            *more,
        ]
        environment = {key: value for key, value in os.environ.items() if key != "MINIRUN_TOKEN"}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
            if not line:
                raise RuntimeError("the platform did not start; what it said is above")
        except BaseException:
            self._end()
            raise
        self.port, self.api_port = (int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", line))
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", trust_env=False, timeout=120)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.api.close()
        self._end()

    def _end(self) -> None:
        """Ends the platform, by force if it has to be, and takes away what it wrote."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()
            self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def rss_mib(self) -> float:
        """Resident memory of the platform's process."""
        return float(psutil.Process(self._process.pid).memory_info().rss) / (1 << 20)

    @property
    def peak_mib(self) -> float:
        """The most resident memory that it has had; what it has now where the system does not tell."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            return int(re.findall(r"VmHWM:\s*(\d+)", status)[0]) / 1024
        return self.rss_mib

    def create(
        self,
        name: str,
        image: str,
        concurrency: int = 0,
        env: Mapping[str, str] | None = None,
        **scale: object,
    ) -> None:
        """Creates a Service; `scale` are autoscaling annotations, as in `min_scale=5`."""
        annotations = {AUTOSCALING + key.replace("_", "-"): str(value) for key, value in scale.items()}
        container = {"image": image, "env": [{"name": k, "value": v} for k, v in (env or {}).items()]}
        spec = {"containers": [container], "containerConcurrency": concurrency}
        template = {"metadata": {"annotations": annotations}, "spec": spec}
        body = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"template": template},
        }
        self.api.post(SERVICES, json=body).raise_for_status()

    def service(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.get(f"{SERVICES}/{name}").json()
        return answer

    def build(self, folder: Path, reference: str) -> None:
        """Builds an image."""
        with Client(f"http://127.0.0.1:{self.api_port}") as client:
            build_image(client, str(folder), reference)

    def deploy(self, name: str, image: str, **more: Any) -> None:
        """Creates a Service and returns when it is Ready."""
        self.create(name, image, **more)
        self.wait(lambda: is_ready(self.service(name)), f"{name} to be ready")

    def pods(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.api.get("/api/v1/namespaces/default/pods").json()["items"]
        return items

    def app_port(self) -> int:
        """The port of one instance."""
        return int(self.pods()[0]["metadata"]["annotations"]["minirun.dev/port"])

    def wait(self, true: Callable[[], bool], what: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s for {what}")
            time.sleep(0.02)


class ReadyWatch:
    """Notes in `at` when each Service is first seen to be Ready (`time.perf_counter()`), by a watch."""

    def __init__(self, live: Live) -> None:
        self.at: dict[str, float] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._run, args=(live.api_port,), daemon=True).start()

    def _run(self, port: int) -> None:
        with Client(f"http://127.0.0.1:{port}") as client:
            for change in client.watch(Service, "default", timeout_seconds=3600):
                if is_true(change.object.status.conditions):
                    with self._changed:
                        self.at.setdefault(change.object.metadata.name, time.perf_counter())
                        self._changed.notify_all()

    def wait(self, names: Iterable[str], seconds: float) -> None:
        """Returns when each has been Ready; a TimeoutError if one is not after `seconds`."""
        wanted = set(names)
        with self._changed:
            if not self._changed.wait_for(lambda: wanted <= self.at.keys(), seconds):
                missing = wanted - self.at.keys()
                raise TimeoutError(f"{len(missing)} Services are not Ready after {seconds:g} s")


def is_ready(service: Mapping[str, Any]) -> bool:
    conditions = service.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def host_of(name: str) -> str:
    return f"{name}.default.localhost"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def wait_for_port(port: int) -> None:
    """Returns when something listens; a TimeoutError if nothing does within ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.002)
        else:
            writer.close()
            return
    raise TimeoutError(f"nothing listens on port {port}")


async def watch_over_http(live: Live, where: str, events: int, create: Callable[[], None]) -> float:
    """Events delivered a second while `create` makes objects, until each of 100 watchers has seen them all.

    Args:
        where: the collection's address; each watch starts at its present version.
        events: objects that `create` makes.
    """
    version = live.api.get(f"{where}?limit=1").json()["metadata"]["resourceVersion"]

    async def watch(ready: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", live.api_port)
        address = f"{where}?watch=true&resourceVersion={version}"
        writer.write(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert b" 200 " in await reader.readline()
        ready.release()
        left, tail = events, b""
        while left:
            data = tail + await reader.read(1 << 16)
            assert len(data) > len(tail), "the watch broke off"
            left -= data.count(ADDED)
            tail = data[-len(ADDED) + 1 :]
        writer.close()

    ready = asyncio.Semaphore(0)
    watchers = asyncio.gather(*(watch(ready) for _ in range(100)))
    for _ in range(100):
        await ready.acquire()
    began = time.perf_counter()
    await asyncio.to_thread(create)
    await watchers
    return events * 100 / (time.perf_counter() - began)


@contextlib.contextmanager
def helper(module: str, *arguments: str) -> Any:
    """A module of this package as a child process, for as long as the block lasts."""
    process = subprocess.Popen([sys.executable, "-m", f"minirun_bench.{module}", *arguments])
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@dataclass(frozen=True)
class Throughput:
    """What a closed loop brought; `failed` counts answers from 400 up and broken connections."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    generator: str


async def closed_loop(port: int, host: str, connections: int, seconds: float) -> Throughput:
    """Load from wrk where it is installed, else from our own generator."""
    if shutil.which("wrk"):
        return _wrk(port, host, connections, seconds)
    found = await run_load(
        "127.0.0.1", port, host_header=host, connections=connections, duration_seconds=seconds
    )
    p50, p99 = (found.latencies.percentile(p) for p in (50, 99))
    name = f"our generator, which used {found.cpu_share:.0%} of a core"
    failed = sum(n for status, n in found.statuses.items() if status >= 400) + sum(found.errors.values())
    return Throughput(found.requests_per_second, p50, p99, failed, name)


def _wrk(port: int, host: str, connections: int, seconds: float) -> Throughput:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    command += ["-H", f"Host: {host}", f"http://127.0.0.1:{port}/"]
    return parse_wrk(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def parse_wrk(text: str) -> Throughput:
    """What wrk printed; it has no line about errors when there were none."""

    def find(pattern: str) -> tuple[float, str]:
        match = re.search(pattern, text)
        assert match is not None, text
        return float(match[1]), match[2]

    units = {"us": 0.001, "ms": 1.0, "s": 1000.0, "": 1.0}
    (p50, unit50), (p99, unit99) = (find(rf"{p}%\s+([\d.]+)(us|ms|s)") for p in (50, 99))
    rate, _ = find(r"Requests/sec:\s+([\d.]+)()")
    lines = (
        re.search(pattern, text) for pattern in ("Non-2xx or 3xx responses: (.*)", "Socket errors: (.*)")
    )
    failed = sum(int(count) for line in lines if line for count in re.findall(r"\d+", line[1]))
    return Throughput(rate, p50 * units[unit50], p99 * units[unit99], failed, "wrk, one thread")


async def open_loop(port: int, host: str, rate: float, seconds: float, path: str = "/") -> LoadResult:
    """`rate` requests a second, whatever the answers do."""
    return await run_load(
        "127.0.0.1", port, host_header=host, path=path, rate=rate, duration_seconds=seconds, connections=1024
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: one of the values."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def cores() -> str:
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}"
