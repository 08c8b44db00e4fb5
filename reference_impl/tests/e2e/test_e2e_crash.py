"""SIGKILL at random moments under load: no acknowledged write is lost, and no process is left behind."""

import random
import signal
import threading
import time

import httpx
import psutil
import pytest
from liveplatform import SERVING, Platform, conditions, manifest


class Writer(threading.Thread):
    """Counts up an annotation of a Service, and makes Services, for as long as the platform answers."""

    def __init__(self, platform: Platform, number: int) -> None:
        super().__init__()
        self.platform = platform
        self.number = number
        self.counted = 0
        self.made: list[str] = []

    def run(self) -> None:
        while True:
            try:
                patch = {"metadata": {"annotations": {"example.com/count": str(self.counted + 1)}}}
                headers = {"content-type": "application/merge-patch+json"}
                patched = self.platform.api.patch(f"{SERVING}/services/kept", json=patch, headers=headers)
                assert patched.status_code == 200, patched.text
                self.counted += 1
                if self.counted % 5 == 0:
                    name = f"extra-{self.number}-{self.counted}"
                    body = manifest(name, **{"autoscaling.knative.dev/initial-scale": "1"})
                    made = self.platform.api.post(f"{SERVING}/services", json=body)
                    assert made.status_code == 201, made.text
                    self.made.append(name)
            except httpx.HTTPError:
                return


class Load(threading.Thread):
    """Requests, one after another, until told to stop."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self.platform = platform
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.platform.get("kept")
            except httpx.HTTPError:
                self.stop.wait(0.01)


def kill_and_restart(machine: Platform, times: int, seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    machine.start()
    machine.minirun("deploy", "kept", "--image", "hello")
    counted = 0
    for number in range(times):
        writer, load = Writer(machine, number), Load(machine)
        writer.counted = counted
        writer.start()
        load.start()
        time.sleep(rng.uniform(0.02, 0.8))  # the random moment
        machine.stop(signal.SIGKILL)
        writer.join()
        load.stop.set()
        load.join()
        before = machine.instance_processes()

        machine.start()
        kept = machine.api.get(f"{SERVING}/services/kept").json()
        counted = int(kept["metadata"]["annotations"].get("example.com/count", "0"))
        assert counted in (
            writer.counted,
            writer.counted + 1,
        )  # one may have been written and not acknowledged
        for name in writer.made:
            assert machine.api.get(f"{SERVING}/services/{name}").status_code == 200, name
        machine.wait_until(
            lambda b=before: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in b),
            what="the left-over instances to end",
        )
        assert machine.get("kept").status_code == 200
        for item in machine.api.get(f"{SERVING}/services").json()["items"]:
            if item["metadata"]["name"] != "kept":
                machine.api.delete(f"{SERVING}/services/{item['metadata']['name']}")
        machine.wait_until(
            lambda: conditions(machine.api.get(f"{SERVING}/services/kept").json())["Ready"] == "True"
        )


def test_twenty_kills_under_load_lose_nothing(machine: Platform) -> None:
    kill_and_restart(machine, 20, seed=random.randrange(1 << 32))


@pytest.mark.soak
def test_two_hundred_kills_under_load_lose_nothing(machine: Platform) -> None:
    kill_and_restart(machine, 200, seed=random.randrange(1 << 32))
