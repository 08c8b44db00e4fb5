"""Networks for instances, made before they are needed.

Most of the time that Docker takes to start a container goes into its network. So a *sandbox*, a container
that only waits (`pause.py`), is made in advance, and the containers of an instance join its network when
they start: they share localhost, and one that is restarted keeps its address. All sandboxes are on one
bridge, from which nothing is published, and on which instances can't reach each other. Counterpart: the Pod
sandbox of the Container Runtime Interface.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from minirun.runtime.docker.engine import LABEL, SHARED, Engine, EngineError
from minirun.runtime.docker.pause import IMAGE, file_system

NETWORK = "minirun"
CONFLICT = 409
REFILL_SECONDS = 1.0  # later than what has just been taken needs to boot: it is not to be slowed down


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A network namespace: the container that holds it, and its address, which only this machine reaches."""

    container: str
    address: str


class Sandboxes:
    """Those in use, by their instances' uids, and `spare` ones that are ready.

    Args:
        mark: the value of `LABEL`.
    """

    def __init__(self, engine: Engine, mark: str, spare: int) -> None:
        self._engine, self._mark, self._size = engine, mark, spare
        self._used: dict[str, asyncio.Task[Sandbox]] = {}
        self._spare: deque[asyncio.Task[Sandbox]] = deque()
        self._removing: set[asyncio.Task[None]] = set()
        self.gateway = ""

    async def open(self) -> None:
        """Makes what sandboxes are made of, where it is missing. Raises EngineError, ValueError."""
        engine, client = self._engine, self._engine.client
        labels = {LABEL: SHARED}
        options = {"com.docker.network.bridge.enable_icc": "false"}
        try:
            await engine.call(
                client.create_network, NETWORK, "bridge", options, check_duplicate=True, labels=labels
            )
        except EngineError as error:
            if error.status != CONFLICT:  # it is there
                raise
        network = await engine.call(client.inspect_network, NETWORK)
        self.gateway = network["IPAM"]["Config"][0]["Gateway"]
        if not await engine.call(client.images, IMAGE):
            layer = file_system((await engine.call(client.info))["Architecture"])
            changes = ['ENTRYPOINT ["/pause"]', f"LABEL {LABEL}={SHARED}"]
            await engine.call(
                client.import_image_from_data, layer, repository=IMAGE, tag="latest", changes=changes
            )
        self._fill()

    async def take(self, uid: str) -> Sandbox:
        """The sandbox of an instance: the one that it has, a spare one, or a new one. Raises EngineError."""
        if uid not in self._used:
            self._used[uid] = self._spare.popleft() if self._spare else self._begin()
            asyncio.get_running_loop().call_later(REFILL_SECONDS, self._fill)
        return await asyncio.shield(self._used[uid])

    def give_up(self, uid: str) -> None:
        """Removes an instance's sandbox, if it has one; the next `take` gives another."""
        if task := self._used.pop(uid, None):
            self._remove(task)

    async def close(self) -> None:
        """Removes all."""
        self._size = 0
        for task in (*self._used.values(), *self._spare):
            self._remove(task)
        if self._removing:
            await asyncio.wait(self._removing)

    def _fill(self) -> None:
        while len(self._spare) < self._size:
            self._spare.append(self._begin())

    def _begin(self) -> asyncio.Task[Sandbox]:
        return asyncio.create_task(self._make(), name="docker sandbox")

    async def _make(self) -> Sandbox:
        engine, client = self._engine, self._engine.client
        host = {"NetworkMode": NETWORK, "LogConfig": {"Type": "none"}, "Runtime": "runc"}
        config = {"Image": IMAGE, "Labels": {LABEL: self._mark}, "HostConfig": host}
        container = (await engine.call(client.create_container_from_config, config))["Id"]
        await engine.call(client.start, container)
        seen = await engine.call(client.inspect_container, container)
        return Sandbox(container, seen["NetworkSettings"]["Networks"][NETWORK]["IPAddress"])

    def _remove(self, task: asyncio.Task[Sandbox]) -> None:
        removing = asyncio.create_task(self._end(task))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)

    async def _end(self, task: asyncio.Task[Sandbox]) -> None:
        with suppress(EngineError):  # what is left then, `remove_leftovers` finds by its label
            sandbox = await task
            await self._engine.call(self._engine.client.remove_container, sandbox.container, force=True)
