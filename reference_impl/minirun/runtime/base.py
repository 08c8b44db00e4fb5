"""The seam between the platform and whatever runs containers: the words that both sides use.

A `Runtime` starts *one container once* and says how it ended; all that lasts longer (probing, restarting,
draining) is `instance.py`, the same for every runtime. Counterpart: the kubelet's Container Runtime
Interface, with `InstanceSpec` as the part of a PodSpec that Knative lets a user choose.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from minirun.model.resources import SecurityContext

Log = Callable[[str, bytes], None]
"""`log(stream, line)`: one line of "stdout" or "stderr", without its line end."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A health check, with Kubernetes' fields and defaults; `port` 0 is the port given in $PORT.

    `h2c` is an HTTP probe of a container that speaks HTTP/2 only.
    `period_seconds` 0 is Knative's fast probing: every 2 ms until the app is ready, every 10 s after that.
    """

    kind: Literal["http", "h2c", "tcp", "exec", "grpc"] = "tcp"
    path: str = "/"
    port: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()
    service: str = ""
    initial_delay_seconds: float = 0
    period_seconds: float = 10
    timeout_seconds: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one try of a probe found; `listening` False: nobody answers there (yet), trying again is cheap."""

    ok: bool
    listening: bool = True
    detail: str = ""


class VolumeFile(NamedTuple):
    """A file of a volume: its path in it, and its permission bits."""

    path: str
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder that the containers of an instance share, and the files that are put into it."""

    name: str
    files: tuple[VolumeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a container wants to see a volume, or the part `sub_path` of it."""

    path: str
    volume: str
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """All that a runtime needs to know of an instance. `name` is the Pod's; `image` is `name@sha256:...`.

    `port` is the declared container port, 0 if none; where instances share the host's ports (the process
    runtime) a free one is chosen in its place. Command and arguments replace the image's, and name variables
    as `$(NAME)`, as in Kubernetes. `container` is the name of one container of several; all have the same
    `uid` and share loopback. A `sidecar` is one that requests do not go to: its `port` is what its variable
    PORT says, and without a readiness probe it is ready as soon as it runs. `sidecar_ports` are those of all
    sidecars. An instance that `runs_once` serves nothing: it gets no port and no probes, and it is over when
    its container ends, or after `active_deadline_seconds`. `log_labels` go on each entry of its log.
    What a runtime can't keep of the CPU limit (thousandths of a CPU), `security` and `execution_environment`
    (Cloud Run's: gen1, gen2; empty is the runtime's own choice) it leaves.
    """

    namespace: str
    name: str
    uid: str
    service: str
    configuration: str
    revision: str
    image: str
    container: str = ""
    sidecar: bool = False
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    volumes: tuple[Volume, ...] = ()
    mounts: tuple[Mount, ...] = ()
    port: int = 0
    sidecar_ports: tuple[int, ...] = ()
    working_dir: str = ""
    memory_limit_bytes: int | None = None
    cpu_limit_milli: int | None = None
    security: SecurityContext | None = None
    execution_environment: str = ""
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None
    termination_grace_seconds: float = 10
    progress_deadline_seconds: float = 600
    runs_once: bool = False
    active_deadline_seconds: float | None = None
    job: str = ""
    execution: str = ""
    log_labels: tuple[tuple[str, str], ...] = ()


class Stage(StrEnum):
    """Where an instance is in its life; the moves are in `lifecycle.py`."""

    PENDING = "Pending"
    STARTING = "Starting"
    READY = "Ready"
    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    DRAINING = "Draining"
    GONE = "Gone"


@dataclass(frozen=True, slots=True)
class InstanceState:
    """What an instance reports: a Pod's status in small. `phase` is Kubernetes' word, `stage` the finer one.

    `reason`, `message` and `exit_code` (128 + n for signal n) tell of the latest failure and are empty when
    all is well. `identity` names the running container to its runtime, also to one of a later process.
    """

    stage: Stage = Stage.PENDING
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] = "Pending"
    ready: bool = False
    host: str = ""
    port: int = 0
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    restart_count: int = 0
    started_unix_ns: int = 0
    ready_unix_ns: int = 0
    identity: str = ""


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a container ended: `code` is 128 + n if signal n ended it; `oom`: over its memory limit."""

    code: int
    oom: bool = False


class Bundle(Protocol):
    """What the process runtime needs of an image: a folder to run in, the command, and its environment."""

    @property
    def folder(self) -> Path: ...
    @property
    def command(self) -> tuple[str, ...]: ...
    @property
    def env(self) -> tuple[tuple[str, str], ...]: ...


class StartError(Exception):
    """The runtime can't start this container: `reason` is for machines, the message a sentence for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RunningProcess(Protocol):
    """One started container."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def identity(self) -> str: ...

    async def wait(self) -> ExitStatus:
        """Returns when it has ended and its last lines are logged; may be called again and again."""

    async def probe(self, probe: Probe) -> ProbeResult:
        """Tries once, without a timeout of its own: the caller cancels."""

    def terminate(self) -> None:
        """Asks it to end (SIGTERM); no effect after the end."""

    def kill(self) -> None:
        """Ends it and all its descendants (SIGKILL); no effect after the end."""


class Runtime(Protocol):
    """Starts containers; they reach this machine at `own_address`."""

    @property
    def own_address(self) -> str: ...

    async def open(self) -> None:
        """Gets ready; called once, before the first `start`."""

    async def start(self, spec: InstanceSpec, log: Log) -> RunningProcess:
        """Starts one container and returns while it boots. Raises `StartError` when that can't work."""

    async def remove_leftovers(self, identities: Iterable[str]) -> int:
        """Ends what an earlier platform on the same data left running; returns the number of processes."""

    def forget(self, uid: str) -> None:
        """Removes what is left of an instance whose containers will not run again, such as its volumes."""

    async def close(self) -> None:
        """Ends everything that it started."""
