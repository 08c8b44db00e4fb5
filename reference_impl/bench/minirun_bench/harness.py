"""What the benchmarks share: a platform of their own, load, and how a result is told."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from minirun.cli.load import LoadResult, run_load

SERVICES = "/apis/serving.knative.dev/v1/namespaces/default/services"
AUTOSCALING = "autoscaling.knative.dev/"
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
    """How long a run takes: `quick` and `full` change seconds and counts, never what is measured."""

    name: str

    def pick(self, quick: float, default: float, full: float) -> float:
        return {"quick": quick, "default": default, "full": full}[self.name]


class Live:
    """A platform in a child process on free ports, with a data directory of its own.

    Args:
        warm: interpreters kept warm.
        settings: data of ConfigMap config-autoscaler.
    """

    def __init__(self, *, warm: int = 2, settings: Mapping[str, str] | None = None) -> None:
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
        command += ["--data-dir", str(self._folder / "data"), "--settings", str(file), "--warm", str(warm)]
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


def is_ready(service: Mapping[str, Any]) -> bool:
    conditions = service.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def host_of(name: str) -> str:
    return f"{name}.default.localhost"


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


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: one of the values."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def cores() -> str:
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.2f}"
