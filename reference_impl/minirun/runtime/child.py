"""A child process and its process group: started, listened to, signalled, seen to its end.

SIGTERM goes to the process alone, as a container's goes to PID 1; SIGKILL goes to all that it has begun. What
it writes is cut into lines without storing more than one; who floods is slowed down by its own full pipe, as
under Docker's blocking log driver. Counterpart: containerd's shim.
"""

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import psutil

from minirun.runtime.base import ExitStatus, Log, Probe, ProbeResult
from minirun.runtime.lines import Lines
from minirun.runtime.probes import PASSED, probe_network

FLOOD_BYTES = 256 * 1024
FLOOD_PAUSE_SECONDS = 0.05
LAST_OUTPUT_SECONDS = 0.5


class Child(asyncio.SubprocessProtocol):
    """One started process; a `RunningProcess` for the life cycle once `port`, `env` and `cwd` are its own.

    `settled` is done when it is first found healthy, or has ended, or somebody says so.
    """

    host = "127.0.0.1"

    def __init__(self, log: Log, env: Mapping[str, str], cwd: Path) -> None:
        self.log = log
        self.env = env
        self.cwd = cwd
        self.port = 0
        self.memory_limit_bytes: int | None = None
        self.oom = False
        self._loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[ExitStatus] = self._loop.create_future()
        self._lines = Lines(self._log_line)
        self._allowance = FLOOD_BYTES

    @classmethod
    async def spawn(
        cls, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Log, stdin: int = DEVNULL
    ) -> "Child":
        """Starts `argv` in a session of its own, with no input or a pipe (`stdin=PIPE`). Raises OSError."""
        loop = asyncio.get_running_loop()
        _, child = await loop.subprocess_exec(
            lambda: cls(log, env, cwd), *argv, env=env, cwd=str(cwd), stdin=stdin, start_new_session=True
        )
        return child

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    @property
    def identity(self) -> str:
        """Process id and start time, which no other process of this machine ever shares."""
        return f"{self.pid}:{self._created:.2f}"

    def _log_line(self, stream: str, line: bytes) -> None:
        self.log(stream, line)  # which is another one, when a warm interpreter becomes an instance

    def write_and_close(self, data: bytes) -> None:
        """Gives it `data` on standard input, and then the end of input."""
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.write(data)
        stdin.close()

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._ended)

    async def probe(self, probe: Probe) -> ProbeResult:
        trying = self._execute(probe) if probe.kind == "exec" else probe_network(probe, self.host, self.port)
        seen = await trying
        if seen.ok:
            self.settle()
        return seen

    async def _execute(self, probe: Probe) -> ProbeResult:
        try:
            helper = await Child.spawn(probe.command, self.env, self.cwd, lambda *_: None)
        except (OSError, ValueError) as error:
            return ProbeResult(ok=False, detail=str(error))
        try:
            code = (await helper.wait()).code
        finally:
            helper.kill()
        return PASSED if code == 0 else ProbeResult(ok=False, detail=f"exit code {code}")

    def terminate(self) -> None:
        with suppress(ProcessLookupError):  # it has ended, and its last output is still awaited
            if self.alive:
                self._transport.terminate()

    def kill(self) -> None:
        if not self.alive:
            return
        outside = []
        with suppress(psutil.Error):
            outside = psutil.Process(self.pid).children(recursive=True)
        self._kill_group()
        for one in outside:
            with suppress(psutil.Error):
                one.kill()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def settle(self) -> None:
        """Says that it is past its start."""
        if not self.settled.done():
            self.settled.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)
        try:
            self._created = psutil.Process(self.pid).create_time()
        except psutil.Error:
            self._created = time.time()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._lines.feed(fd, data)
        self._allowance -= len(data)
        if self._allowance < 0 and self.alive:
            self._pause(fd)

    def _pause(self, fd: int) -> None:
        pipe = cast(asyncio.ReadTransport, self._transport.get_pipe_transport(fd))
        pipe.pause_reading()
        self._loop.call_later(FLOOD_PAUSE_SECONDS, self._resume, pipe)

    def _resume(self, pipe: asyncio.ReadTransport) -> None:
        self._allowance = FLOOD_BYTES
        if not pipe.is_closing():
            pipe.resume_reading()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._lines.end(fd)

    def process_exited(self) -> None:
        """The process is gone and the rest of its group follows: its pipes end, if nobody fled with them."""
        self._kill_group()
        self._closing = self._loop.call_later(LAST_OUTPUT_SECONDS, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing.cancel()
        self._transport.close()
        code = self._transport.get_returncode() or 0
        self._ended.set_result(ExitStatus(128 - code if code < 0 else code, self.oom))
        self.settle()
