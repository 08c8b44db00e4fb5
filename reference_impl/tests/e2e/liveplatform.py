"""A real platform for a test: `python -m minirun up` on free loopback ports with its own data directory."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

SERVING = "/apis/serving.knative.dev/v1/namespaces/default"
SHORT_WINDOWS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data:
  stable-window: 6s
  scale-to-zero-grace-period: 1s
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(data_dir: Path, *more: str) -> Iterator["Platform"]:
    """A platform on a new data directory, started with `more` and ended whatever happens."""
    data_dir.mkdir(parents=True)
    platform = Platform(data_dir)
    platform.start(*more)
    try:
        yield platform
    finally:
        platform.stop()
        platform.api.close()
        platform.web.close()


class Platform:
    """One data directory and the platform that runs on it now."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port, self.api_port = free_port(), free_port()
        self.process: subprocess.Popen[str] | None = None
        self.settings = data_dir.parent / "settings.yaml"
        self.settings.write_text(SHORT_WINDOWS)
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", trust_env=False, timeout=30)
        self.web = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=60)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "MINIRUN_API": f"http://127.0.0.1:{self.api_port}", "COLUMNS": "200"}

    def start(self, *more: str) -> None:
        """Starts it and returns when it has said that it is ready."""
        command = [sys.executable, "-m", "minirun", "up", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--api", f"127.0.0.1:{self.api_port}", "--data-dir", str(self.data_dir)]
        command += ["--settings", str(self.settings), *more]
        log = (self.data_dir.parent / "platform.stderr").open("a")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        log.close()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert str(self.port) in line, (line, (self.data_dir.parent / "platform.stderr").read_text()[-3000:])

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Ends it and returns its exit status."""
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(timeout=15)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return status

    def minirun(
        self, *arguments: str, check: bool = True, seconds: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command of minirun against it."""
        done = subprocess.run(
            [sys.executable, "-m", "minirun", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr + done.stdout
        return done

    def refused_up(self) -> str:
        """What `minirun up` on this data directory says when it ends with a failure."""
        anywhere = ("--listen", "127.0.0.1:0", "--api", "127.0.0.1:0")
        failed = self.minirun("up", *anywhere, "--data-dir", str(self.data_dir), check=False)
        assert failed.returncode != 0
        return failed.stderr

    def get(self, service: str, path: str = "/", **more: Any) -> httpx.Response:
        """One request to a Service through the gateway."""
        host = service if "." in service else f"{service}.default.localhost"
        return self.web.get(path, headers={"host": host, **more.pop("headers", {})}, **more)

    def pods(self, service: str | None = None) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.api.get("/api/v1/namespaces/default/pods").json()["items"]
        label = "serving.knative.dev/service"
        return [p for p in items if service is None or p["metadata"]["labels"].get(label) == service]

    def wait_until(self, true: Callable[[], bool], seconds: float = 30, what: str = "it") -> None:
        """Asks again and again, with a short pause, until it holds."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"waited {seconds} s for {what}"
            time.sleep(0.02)

    def instance_processes(self) -> list[psutil.Process]:
        """Every process on the machine that carries the mark of an instance of this data directory."""
        mine = []
        mark = hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:12] + "/"
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("MINIRUN_INSTANCE", "").startswith(mark):
                    mine.append(process)
        return mine


def manifest(name: str, image: str = "hello", **template_annotations: str) -> dict[str, Any]:
    """A Service as JSON."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "template": {
                "metadata": {"annotations": template_annotations},
                "spec": {"containers": [{"image": image}]},
            }
        },
    }


def conditions(resource: dict[str, Any]) -> dict[str, str]:
    """type → status of an object's conditions."""
    return {c["type"]: c["status"] for c in resource.get("status", {}).get("conditions", [])}
