"""The commands against a whole platform: `python -m minirun up`, as a person starts it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MINIRUN = (sys.executable, "-m", "minirun")


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


class Platform:
    """A platform in a process of its own."""

    def __init__(self, data: Path, listen: int, api: int) -> None:
        self.api = f"http://127.0.0.1:{api}"
        self.addresses = ("--listen", f"127.0.0.1:{listen}", "--api", f"127.0.0.1:{api}")
        command = (*MINIRUN, "up", *self.addresses, "--data-dir", str(data))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            (*MINIRUN, *arguments),
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
            env={**os.environ, "MINIRUN_API": self.api},
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if status == 0 else done.stderr

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status, and what else was printed."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=10)
        return self.process.returncode, output


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = Platform(tmp_path_factory.mktemp("data"), *free_ports())
    yield running
    if running.process.poll() is None:
        running.end()


def test_one_line_says_that_it_is_ready_and_where(platform: Platform) -> None:
    assert platform.addresses[1] in platform.ready_line
    assert platform.addresses[3] in platform.ready_line


def test_a_deployed_service_answers_logs_and_goes(platform: Platform) -> None:
    assert "is ready at http://hello.default.localhost" in platform.run(
        "deploy", "hello", "--image", "hello", "--env", "TARGET=tests"
    )
    assert "Hello tests!" in platform.run("invoke", "hello")
    assert "hello-00001" in platform.run("revisions", "list")
    platform.run("logs", "hello")
    assert "hello-00001" in platform.run("top", "--once", "--interval", "0.1")
    platform.run("services", "delete", "hello")
    assert "not found" in platform.run("invoke", "hello", status=1)


def test_a_tagged_revision_is_asked_by_its_tag_and_rolled_out(platform: Platform) -> None:
    platform.run("deploy", "split", "--image", "hello", "--env", "TARGET=old")
    platform.run("deploy", "split", "--env", "TARGET=new", "--no-traffic", "--tag", "next")
    assert "Hello old!" in platform.run("invoke", "split")
    assert "Hello new!" in platform.run("invoke", "split", "--tag", "next")
    platform.run("traffic", "split", "--latest")
    assert "Hello new!" in platform.run("invoke", "split")


def test_a_service_whose_image_is_not_there_fails_with_its_sentence(platform: Platform) -> None:
    assert "service broken failed: " in platform.run("deploy", "broken", "--image", "no-such-image", status=1)


def test_a_taken_port_names_its_holder_and_the_flag(platform: Platform, tmp_path: Path) -> None:
    _, port = free_ports()
    listen = platform.addresses[1]
    output = platform.run(
        "up", "--listen", listen, "--api", f"127.0.0.1:{port}", "--data-dir", str(tmp_path), status=1
    )
    assert f"port {listen.rpartition(':')[2]} is taken by" in output
    assert f"process {platform.process.pid}" in output
    assert "--listen" in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    running = Platform(tmp_path, *free_ports())
    assert running.ready_line
    assert running.end(number) == (0, "")


@pytest.mark.soak
def test_the_demo_tells_its_story_in_a_minute() -> None:
    done = subprocess.run((*MINIRUN, "demo"), check=False, capture_output=True, text=True, timeout=75)
    assert done.returncode == 0, done.stderr
    for chapter in ("1. Deploy", "2. Load", "3. Split", "4. Roll back", "5. Sleep", "6. Wake", "What to try"):
        assert chapter in done.stdout
    assert "Hello green!" in done.stdout
    assert "\x1b" not in done.stdout
