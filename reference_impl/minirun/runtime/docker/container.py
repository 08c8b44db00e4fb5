"""One started container: its output followed, its signals, its end. Counterpart: containerd's shim."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from minirun.runtime.base import ExitStatus, Log, Probe, ProbeResult
from minirun.runtime.docker.engine import Engine, EngineError, Output
from minirun.runtime.lines import STREAMS, Lines
from minirun.runtime.probes import PASSED, probe_network

FLOOD_BYTES = 256 * 1024
FLOOD_PAUSE_SECONDS = 0.05
UNKNOWN_CODE = 255


class Container:
    """A `RunningProcess`; `gone` is done when nothing is left of it.

    Who floods its log is read slowly, and so slowed down by the engine, which keeps little for us.
    """

    def __init__(self, engine: Engine, identity: str, host: str, port: int) -> None:
        self.host, self.port, self.identity = host, port, identity
        self._engine = engine
        self._ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._signals: set[asyncio.Task[None]] = set()
        self.gone: asyncio.Task[None]

    @classmethod
    async def start(
        cls, engine: Engine, config: Mapping[str, object], host: str, port: int, log: Log
    ) -> "Container":
        """Creates and starts a container of the engine's API; `host` and `port` are where it listens.

        Raises:
            EngineError
        """
        client = engine.client
        identity = (await engine.call(client.create_container_from_config, dict(config)))["Id"]
        output = None
        try:
            output = await engine.attach(identity)
            await engine.call(client.start, identity)
        except BaseException:
            if output is not None:
                output.close()
            await asyncio.shield(engine.call(client.remove_container, identity, v=True, force=True))
            raise
        container = cls(engine, identity, host, port)
        container.gone = asyncio.create_task(
            container._follow(output, log), name=f"container {identity[:12]}"
        )
        return container

    async def _follow(self, output: Output, log: Log) -> None:
        """Logs its output to the end, finds out how it ended, and removes it."""
        lines, allowance = Lines(log), FLOOD_BYTES
        async for stream, data in output:
            lines.feed(stream, data)
            allowance -= len(data)
            if allowance < 0:
                await asyncio.sleep(FLOOD_PAUSE_SECONDS)
                allowance = FLOOD_BYTES
        output.close()
        for stream in STREAMS:
            lines.end(stream)
        client = self._engine.client
        try:
            await self._engine.call(client.wait, self.identity)
            state = (await self._engine.call(client.inspect_container, self.identity))["State"]
            self._ended.set_result(ExitStatus(state["ExitCode"], state["OOMKilled"]))
        except EngineError as error:
            log("stderr", f"minirun: the container is lost: {error}".encode())
            self._ended.set_result(ExitStatus(UNKNOWN_CODE))
        with suppress(EngineError):  # what is left then, `remove_leftovers` finds by its label
            await self._engine.call(client.remove_container, self.identity, v=True, force=True)

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._ended)

    async def probe(self, probe: Probe) -> ProbeResult:
        if probe.kind == "exec":
            return await self._execute(probe)
        return await probe_network(probe, self.host, self.port)

    async def _execute(self, probe: Probe) -> ProbeResult:
        engine, client = self._engine, self._engine.client
        try:
            run = (await engine.call(client.exec_create, self.identity, list(probe.command)))["Id"]
            await engine.call(client.exec_start, run)
            code = (await engine.call(client.exec_inspect, run))["ExitCode"]
        except EngineError as error:
            return ProbeResult(ok=False, detail=str(error))
        return PASSED if code == 0 else ProbeResult(ok=False, detail=f"exit code {code}")

    def terminate(self) -> None:
        self._send("SIGTERM")

    def kill(self) -> None:
        self._send("SIGKILL")

    def _send(self, signal: str) -> None:
        if not self._ended.done():
            sending = asyncio.create_task(self._signal(signal))
            self._signals.add(sending)
            sending.add_done_callback(self._signals.discard)

    async def _signal(self, signal: str) -> None:
        with suppress(EngineError):  # it has ended meanwhile
            await self._engine.call(self._engine.client.kill, self.identity, signal)
