"""An API with everything that it shows: an empty store, logs in memory, images in a folder."""

import random
import socket
from pathlib import Path

from minirun.api.app import API, Backend
from minirun.api.server import APIServer, serve
from minirun.images.builder import build
from minirun.images.bundle import BundleStore, Image
from minirun.model.clock import SystemClock
from minirun.store.store import Store
from minirun.telemetry.logs import LogStore


class Images(BundleStore):
    """The images of one test's folder."""

    async def build(self, folder: Path, reference: str) -> Image:
        return await build(self, folder, reference)


class Platform:
    """An API with an empty store, logs in memory and images in a folder."""

    def __init__(self, folder: Path) -> None:
        clock = SystemClock()
        self.store = Store(clock)
        self.logs = LogStore(None, clock)
        self.backend = Backend(
            self.store,
            self.logs,
            Images(folder),
            clock,
            random.Random(1),
            metrics=lambda: b"up 1\n",
            not_ready=str,
        )
        self.api = API(self.backend)
        self.address = ""
        self.server: APIServer | None = None

    async def listen(self) -> APIServer:
        listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.server = await serve(self.api.app, [listening], self.api.close)
        return self.server
