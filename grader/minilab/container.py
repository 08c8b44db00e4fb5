"""A driver in a container: what a grade asks. The student's code runs there, and nothing else does.

No network, no capabilities, no root, a read-only file system, and limits on memory, processes, time, files
and output; the only way in or out is the container's attached standard input and output. Containers are
started through Testcontainers, carry a label, and are removed by force; those left over by a grader that was
killed are swept away at the next start.
"""

import base64
import os
import queue
import secrets
import socket
import threading
from typing import Any, Protocol, cast

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = (
    "true"  # its image can't be pulled everywhere; `sweep` does its work
)
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")

import docker
import psutil
from docker.types import LogConfig, Ulimit
from testcontainers.core.container import DockerContainer

from minilab import wire
from minilab.labs import LabError
from minilab.part import ChannelError

LABEL = "dev.minirun.minilab"
"""Says which process started a container."""
SCRATCH = "rw,noexec,nosuid,size=32m,mode=1777"  # the only place that can be written to, /tmp
START_SECONDS = 30.0
FRAME_HEAD_BYTES = 8
STDOUT = 1


class DockerSocket(Protocol):
    """The raw socket of an attached container."""

    def sendall(self, data: bytes) -> None: ...
    def recv(self, count: int) -> bytes: ...
    def shutdown(self, how: int) -> None: ...
    def close(self) -> None: ...


def limits(memory_mib: int, processes: int, cpu_seconds: int) -> dict[str, Any]:
    """What a container may not do, as the Docker SDK takes it."""
    return {
        "network": "none",
        "mem_limit": f"{memory_mib}m",
        "memswap_limit": f"{memory_mib}m",
        "pids_limit": processes,
        "nano_cpus": 1_000_000_000,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "user": "65534:65534",
        "ipc_mode": "none",
        "ulimits": [
            Ulimit(name="nofile", soft=256, hard=256),
            Ulimit(name="fsize", soft=32 << 20, hard=32 << 20),
            Ulimit(name="cpu", soft=cpu_seconds, hard=cpu_seconds),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "log_config": LogConfig(type="none"),
    }


def client() -> docker.DockerClient:
    """The Docker engine; LabError if there is none."""
    try:
        engine = docker.from_env(timeout=60)
        engine.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise LabError(
            f"no Docker engine answers ({error}); start one, or leave --strict out to grade without isolation"
        ) from None
    return engine


def runtimes() -> set[str]:
    """The container runtimes that the engine has."""
    return set(client().info().get("Runtimes", {}))


def sweep() -> int:
    """Remove containers whose grader is gone; returns how many. Others may be grading at the same time."""
    found = client().containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    owners = [(each, str(each.labels[LABEL])) for each in found]
    left = [each for each, owner in owners if owner.isdigit() and not psutil.pid_exists(int(owner))]
    for container in left:
        try:
            container.remove(force=True)
        except docker.errors.NotFound:  # it was on its way out
            pass
    return len(left)


class Container:
    """A fresh container that runs the driver, with a submission's files in it.

    Args:
        image: of the lab; it must be there.
        files: the submission's.
        runtime: `runc` or `runsc`.
    """

    def __init__(
        self,
        image: str,
        files: dict[str, bytes],
        runtime: str,
        *,
        memory_mib: int = 256,
        processes: int = 64,
        cpu_seconds: int = 60,
    ) -> None:
        options = limits(memory_mib, processes, cpu_seconds)
        container = DockerContainer(image).with_tmpfs_mount("/tmp", SCRATCH)
        container.with_kwargs(runtime=runtime, stdin_open=True, labels={LABEL: str(os.getpid())}, **options)
        self._answers: queue.SimpleQueue[bytes | ChannelError] = queue.SimpleQueue()
        self._pending = bytearray()
        try:
            self._container = container.start().get_wrapped_container()
        except docker.errors.DockerException as error:
            raise LabError(f"a container of {image} could not be started with {runtime}: {error}") from None
        streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        self._attached = self._container.attach_socket(params=streams)  # kept: its end closes the socket
        self._socket = cast("DockerSocket", getattr(self._attached, "_sock", self._attached))
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._lay_out(files)
        except (ChannelError, wire.WireError):
            self.close()
            raise

    def _lay_out(self, files: dict[str, bytes]) -> None:
        content = {name: base64.b64encode(text).decode() for name, text in files.items()}
        request = {"id": secrets.token_hex(8), "files": content}
        answer = wire.decode(self.ask(wire.encode(request), START_SECONDS))
        if not isinstance(answer, dict) or answer != {"id": request["id"], "came": len(files)}:
            raise ChannelError("did not take the files")

    def ask(self, message: bytes, timeout_seconds: float) -> bytes:
        try:
            self._socket.sendall(message)
            answer = self._answers.get(timeout=timeout_seconds)
        except OSError:
            raise ChannelError(self._how_it_ended()) from None
        except queue.Empty:
            raise ChannelError(f"did not answer within {timeout_seconds:g} s") from None
        if isinstance(answer, ChannelError):
            raise answer
        return answer

    def close(self) -> None:
        threading.Thread(
            target=self._remove
        ).start()  # nobody needs to wait for it but the end of the program

    def _remove(self) -> None:
        try:
            self._container.remove(force=True)
        except docker.errors.DockerException:  # it has gone by itself, or goes with the engine
            pass
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _read(self) -> None:
        """Takes the engine's frames apart: standard output is the wire, the rest is let go."""
        try:
            while True:
                head = self._receive(FRAME_HEAD_BYTES)
                content = self._receive(int.from_bytes(head[4:]))
                if head[0] == STDOUT:
                    self._pending += content
                    self._take_messages()
        except wire.WireError as error:
            self._answers.put(ChannelError(f"sent {error}"))
        except (OSError, EOFError, ValueError):
            self._answers.put(ChannelError(self._how_it_ended()))

    def _take_messages(self) -> None:
        while len(self._pending) >= wire.HEAD_BYTES:
            end = wire.HEAD_BYTES + wire.body_length(bytes(self._pending[: wire.HEAD_BYTES]))
            if len(self._pending) < end:
                return
            self._answers.put(bytes(self._pending[wire.HEAD_BYTES : end]))
            del self._pending[:end]

    def _how_it_ended(self) -> str:
        try:
            self._container.reload()
            state = self._container.attrs["State"]
        except docker.errors.DockerException:
            return "was removed"
        if state.get("OOMKilled"):
            return "ran out of memory and was killed"
        return f"ended with exit status {state.get('ExitCode')}"
