"""A real API over a real socket, with nothing behind it: the test itself says what the platform would do."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from minirun.api.app import API, Backend
from minirun.api.server import serve
from minirun.gateway.server import bind
from minirun.images.builder import build
from minirun.images.bundle import BundleStore, Image
from minirun.model.clock import SystemClock
from minirun.model.meta import Condition, replace
from minirun.model.resources import Service, ServiceStatus
from minirun.store.store import Store
from minirun.telemetry.logs import LogStore
from minirun.telemetry.metrics import Metrics, RevisionLabels

T = TypeVar("T")


class Images:
    """The images room, as the API asks for it."""

    def __init__(self, bundles: BundleStore) -> None:
        self._bundles = bundles

    def list(self) -> Iterable[Image]:
        return self._bundles.list()

    def remove(self, reference: str) -> None:
        self._bundles.remove(reference, ())

    async def build(self, folder: Path, reference: str) -> Image:
        return await build(self._bundles, folder, reference)


class World:
    """The API's address, and what is behind it; `call` runs something on the API's own thread."""

    def __init__(self, folder: Path) -> None:
        clock = SystemClock()
        self.store = Store(clock)
        self.logs = LogStore(None, clock)
        self.metrics = Metrics(
            lambda: [(RevisionLabels("default", "hello", "hello", "hello-00001"), self.gauges)]
        )
        self.gauges = {"autoscaler_desired_pods": 2.0}
        self.address = ""
        self._backend = Backend(
            store=self.store,
            logs=self.logs,
            images=Images(BundleStore(folder)),
            clock=clock,
            rng=random.Random(1),
            metrics=self.metrics.exposition,
            not_ready=str,
        )
        self._up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        api = API(self._backend)
        sockets = bind("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        server = await serve(api.app, sockets, api.close)
        self._up.set()
        await self._over.wait()
        await server.stop()

    def call(self, act: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(10)

    def report(self, name: str, *conditions: Condition, revision: str = "hello-00001") -> None:
        """Writes the status of a Service as a reconciler would."""

        def write() -> None:
            service = self.store.get(Service, "default", name)
            status = ServiceStatus(
                observed_generation=service.metadata.generation,
                conditions=list(conditions),
                url=f"http://{name}.default.localhost:8080",
                latest_created_revision_name=revision,
                latest_ready_revision_name=revision,
                traffic=service.spec.traffic,
            )
            self.store.update(replace(service, status=status))

        self.call(write)

    def __enter__(self) -> "World":
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(10)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with World(tmp_path / "data") as world:
        monkeypatch.setenv("MINIRUN_API", world.address)
        monkeypatch.delenv("MINIRUN_TOKEN", raising=False)
        yield world
