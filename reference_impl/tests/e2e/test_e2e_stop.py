"""SIGTERM at any moment: the platform ends within ten seconds, and no process is left behind."""

import random
import signal
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest
from liveplatform import SERVING, Platform, manifest

STOP_SECONDS = 10.0
STUBBORN = "trap '' TERM; while :; do sleep 1; done"


def wait_for_end(machine: Platform) -> int:
    """The exit status; nothing of the platform may be left then."""
    assert machine.process is not None
    began = time.monotonic()
    status = machine.stop(signal.SIGTERM)
    assert time.monotonic() - began < STOP_SECONDS
    left = [(each.pid, each.cmdline()) for each in machine.instance_processes()]
    assert not left
    return status


def stubborn_service(name: str) -> dict[str, object]:
    """A Service whose instance does not listen and takes no notice of SIGTERM."""
    body = manifest(name)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["sh", "-c", STUBBORN]
    return body


def deploy_stubborn(platform: Platform) -> None:
    platform.api.post(f"{SERVING}/services", json=stubborn_service("stubborn")).raise_for_status()
    platform.wait_until(
        lambda: any("trap" in str(p.cmdline()) for p in platform.instance_processes()), what="its process"
    )


def test_signals_after_the_first_change_nothing(platform: Platform) -> None:
    deploy_stubborn(platform)
    process = platform.process
    assert process is not None
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # signals that come together are one
        assert process.poll() is None, "its stubborn instance has five seconds"
    assert wait_for_end(platform) == 0


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="limits of a running process are Linux's")
def test_a_disk_that_is_full_keeps_no_instance_alive(platform: Platform) -> None:
    platform.minirun(
        "deploy", "hello", "--image", "hello", "--annotation", "autoscaling.knative.dev/min-scale=3"
    )
    deploy_stubborn(platform)
    assert platform.process is not None
    psutil.Process(platform.process.pid).rlimit(psutil.RLIMIT_FSIZE, (0, 0))
    wait_for_end(platform)


BACKEND = """
import pathlib, time
def get_requires_for_build_wheel(config_settings=None):
    pathlib.Path({started!r}).touch()
    time.sleep(600)
"""


def test_a_build_ends_with_the_platform(platform: Platform, tmp_path: Path) -> None:
    source, started = tmp_path / "source", tmp_path / "started"
    package = source / "slow-package"
    package.mkdir(parents=True)
    (source / "main.py").touch()
    (source / "requirements.txt").write_text("./slow-package\n")
    (package / "backend.py").write_text(BACKEND.format(started=str(started)))
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    building = threading.Thread(
        target=platform.minirun, args=("build", str(source), "-t", "slow"), kwargs={"check": False}
    )
    building.start()
    platform.wait_until(started.exists, what="pip to build")
    assert platform.process is not None
    family = psutil.Process(platform.process.pid).children(recursive=True)
    assert wait_for_end(platform) == 0
    building.join()
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


class Burst(threading.Thread):
    """Makes Services of several ways to start, and wakes them, until the platform answers no more."""

    def __init__(self, platform: Platform, seed: int, stubborn: float) -> None:
        super().__init__()
        self.platform = platform
        self.rng = random.Random(seed)
        self.stubborn = stubborn

    def run(self) -> None:
        number = 0
        while True:
            body = manifest(f"s{number}", self.rng.choice(("hello", "hello", "slow-start", "sleep")))
            container = body["spec"]["template"]["spec"]["containers"][0]
            if self.rng.random() < 0.3:
                container["env"] = [{"name": "PYTHONHASHSEED", "value": "1"}]  # no warm interpreter will do
            if self.rng.random() < self.stubborn:
                body = stubborn_service(f"s{number}")
            try:
                self.platform.api.post(f"{SERVING}/services", json=body).raise_for_status()
            except httpx.HTTPError:
                return
            number += 1


def stop_in_a_burst(machine: Platform, times: int, stubborn: float) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(times):
        machine.start()
        for item in machine.api.get(f"{SERVING}/services").json()["items"]:
            machine.api.delete(f"{SERVING}/services/{item['metadata']['name']}")
        burst = Burst(machine, rng.randrange(1 << 32), stubborn)
        burst.start()
        time.sleep(rng.uniform(0, 1))  # the random moment
        assert wait_for_end(machine) == 0
        burst.join()


def test_a_burst_of_new_instances_ends_with_the_platform(machine: Platform) -> None:
    stop_in_a_burst(machine, 3, stubborn=0)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_dozen_bursts_end_with_the_platform(machine: Platform) -> None:
    stop_in_a_burst(machine, 12, stubborn=0.1)
