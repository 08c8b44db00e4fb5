"""What the engine is told of a container: `InstanceSpec` → the document of `POST /containers/create`. Pure.

The image says what the instance does not: command, variables, working directory, user. A bundle, which is a
folder and no image, is mounted read-only into the base image at `/workspace`. A container has Docker's
default capabilities less those that no server needs, can't gain privileges, and its processes are counted.
Counterpart: pkg/kubelet/kuberuntime of Kubernetes, which fills in a ContainerConfig in the same way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minirun.model.expansion import expand
from minirun.model.resources import SecurityContext
from minirun.runtime.base import Bundle, InstanceSpec
from minirun.runtime.contract import environment
from minirun.runtime.mounts import inside

WORKSPACE: Final = "/workspace"
DEFAULT_PORT: Final = 8080
MAX_PROCESSES: Final = 4096
DROPPED: Final = ("AUDIT_WRITE", "MKNOD", "NET_RAW")
_BUNDLE_ENV: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "HOME": "/tmp",
    "HOST": "0.0.0.0",  # where a container has to listen; the samples, also run as processes, look for it
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container runs: an image, or a bundle in one; an OCI runtime; a network; folders of volumes."""

    image: str
    bundle: Bundle | None
    oci_runtime: str
    network_of: str
    volumes: Path
    labels: Mapping[str, str]


def port_of(spec: InstanceSpec) -> int:
    """Where a container listens: its declared port; 0 for one of which it is not known."""
    return 0 if spec.runs_once else spec.port or (0 if spec.sidecar else DEFAULT_PORT)


def container_config(spec: InstanceSpec, place: Place) -> dict[str, object]:
    """The document. Raises ValueError: a volume's path leads out of it; one sentence."""
    variables = _variables(spec, place.bundle)
    command = [expand(word, variables) for word in spec.command]
    config: dict[str, object] = {
        "Image": place.image,
        "Cmd": [expand(word, variables) for word in spec.args],
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Labels": dict(place.labels),
        "WorkingDir": spec.working_dir,
        "HostConfig": _host_config(spec, place),
    }
    if place.bundle:
        config |= {
            "Cmd": command + [expand(word, variables) for word in spec.args],
            "Entrypoint": [] if command else list(place.bundle.command),
            "WorkingDir": f"{WORKSPACE}/{spec.working_dir}".rstrip("/"),
        }
    elif command:
        config["Entrypoint"] = command
    if spec.security and spec.security.run_as_user is not None:
        config["User"] = _user(spec.security)
    return config


def _variables(spec: InstanceSpec, bundle: Bundle | None) -> dict[str, str]:
    own = {} if bundle is None else {k: v.replace(str(bundle.folder), WORKSPACE) for k, v in bundle.env}
    return environment(spec, port_of(spec), own, _BUNDLE_ENV if bundle else {})


def _user(security: SecurityContext) -> str:
    group = "" if security.run_as_group is None else f":{security.run_as_group}"
    return f"{security.run_as_user}{group}"


def _host_config(spec: InstanceSpec, place: Place) -> dict[str, object]:
    security = spec.security or SecurityContext()
    capabilities = security.capabilities
    host: dict[str, object] = {
        "NetworkMode": f"container:{place.network_of}",
        "Runtime": place.oci_runtime,
        "LogConfig": {"Type": "none"},
        "PidsLimit": MAX_PROCESSES,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": [*DROPPED, *(capabilities.drop if capabilities else ())],
        "CapAdd": list(capabilities.add) if capabilities else [],
        "ReadonlyRootfs": bool(security.read_only_root_filesystem),
        "Mounts": list(_mounts(spec, place)),
    }
    if spec.memory_limit_bytes:
        host |= {"Memory": spec.memory_limit_bytes, "MemorySwap": spec.memory_limit_bytes}
    if spec.cpu_limit_milli:
        host["NanoCpus"] = spec.cpu_limit_milli * 1_000_000
    return host


def _mounts(spec: InstanceSpec, place: Place) -> Iterable[dict[str, object]]:
    if place.bundle:
        yield _bind(place.bundle.folder, WORKSPACE, read_only=True)
    filled = {volume.name for volume in spec.volumes if volume.files}
    for mount in spec.mounts:
        source = inside(place.volumes / mount.volume, mount.sub_path)
        yield _bind(source, mount.path, read_only=mount.volume in filled)


def _bind(source: Path, target: str, *, read_only: bool) -> dict[str, object]:
    return {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}
