"""The Docker runtime: the containers of an instance share a network of their own, and nothing else.

Cloud Run's first execution environment is gVisor (`runsc`), which puts a kernel of its own between an app and
this machine's; its second is `runc`. Everything that is made has a label, by which a later platform on the
same data finds what is left over. Counterpart: the kubelet's generic runtime manager; Cloud Run's execution
environments.
"""

import asyncio
import hashlib
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from minirun.runtime.base import Bundle, InstanceSpec, Log, StartError
from minirun.runtime.docker.container import Container
from minirun.runtime.docker.engine import LABEL, Engine, EngineError
from minirun.runtime.docker.sandbox import Sandbox, Sandboxes
from minirun.runtime.docker.specification import Place, container_config, port_of
from minirun.runtime.mounts import write_volumes

OCI_RUNTIMES: Final = {"gen1": "runsc", "gen2": "runc"}
"""By Cloud Run's execution environments."""
_MINOR: Final = sys.version_info.minor
BASE_IMAGES: Final = (f"minirun/base:py3{_MINOR}", f"python:3.{_MINOR}-slim")
"""What bundles run in: the first of them that is there, with the Python that their packages are for."""
NO_RUNSC: Final = (
    "Execution environment gen1 is gVisor, and the Docker engine has no runtime runsc; install it (Debian: "
    'apt-get install runsc), write {"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": '
    '["--network=host", "--platform=ptrace"]}}} to /etc/docker/daemon.json and send dockerd a SIGHUP, '
    "or choose gen2."
)
NO_IMAGE: Final = "The Docker engine has no image {}; get it with `docker pull`, or deploy again."
NO_BASE: Final = (
    f"Source without a Dockerfile runs in a base image, and the Docker engine has none of "
    f"{', '.join(BASE_IMAGES)}; docker pull {BASE_IMAGES[1]}, or without a registry: "
    f"python cluster/images/base {BASE_IMAGES[0]}."
)


def mark_of(data_dir: Path) -> str:
    """The value of the label on all that belongs to a data directory."""
    return hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]


class DockerRuntime:
    """Runs instances as containers; see the module.

    Args:
        data_dir: volumes are kept there, and it is what marks the containers.
        locate: gives the bundle of a pinned image or raises LookupError: then it is an image of the engine.
        warm_size: sandboxes that are kept ready.
        environment: the execution environment of those who don't name one, gen1 or gen2.
    """

    def __init__(
        self,
        engine: Engine,
        data_dir: Path,
        locate: Callable[[str], Bundle],
        *,
        warm_size: int = 2,
        environment: str = "gen2",
    ) -> None:
        self._engine, self._locate, self._environment = engine, locate, environment
        self._mark = mark_of(data_dir)
        self._volumes = data_dir.resolve() / "runtime" / "volumes"
        self._sandboxes = Sandboxes(engine, self._mark, warm_size)
        self._oci_runtimes = {"runc"}
        self._images: dict[tuple[str, ...], str] = {}
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._containers: set[Container] = set()

    @property
    def own_address(self) -> str:
        return self._sandboxes.gateway

    async def open(self) -> None:
        """Makes the network, and begins to make sandboxes. Raises OSError: the engine refuses."""
        shutil.rmtree(self._volumes, ignore_errors=True)
        self._volumes.mkdir(mode=0o700, parents=True)
        try:
            await self._sandboxes.open()
        except EngineError as error:
            raise OSError(f"the Docker engine can't be used: {error}") from None

    async def start(self, spec: InstanceSpec, log: Log) -> Container:
        """Starts one container and returns while it boots; see `Runtime.start`."""
        self._running[spec.uid] += 1
        try:
            sandbox = await self._sandboxes.take(spec.uid)
            config = container_config(spec, await self._place(spec, sandbox))
            await asyncio.to_thread(write_volumes, self._volumes / spec.uid, spec.volumes, spec.mounts)
            container = await Container.start(self._engine, config, sandbox.address, port_of(spec), log)
        except (OSError, ValueError) as error:
            self._over(spec)
            raise StartError("CreateContainerError", f"The volumes can't be made: {error}") from error
        except EngineError as error:
            self._over(spec)
            self._sandboxes.give_up(
                spec.uid
            )  # the engine may have been restarted: nothing of before is there
            self._images.clear()
            raise _start_error(spec, error) from error
        except BaseException:
            self._over(spec)
            raise
        self._containers.add(container)
        self._keep(asyncio.create_task(self._see_off(spec, container)))
        return container

    async def _place(self, spec: InstanceSpec, sandbox: Sandbox) -> Place:
        wanted = spec.execution_environment.lower() or self._environment
        if wanted not in OCI_RUNTIMES:
            allowed = " and ".join(OCI_RUNTIMES)
            raise StartError(
                "RuntimeMissing", f"Execution environment {wanted!r} is given; there are {allowed}."
            )
        runtime = OCI_RUNTIMES[wanted]
        if runtime not in self._oci_runtimes:
            self._oci_runtimes = set((await self._engine.call(self._engine.client.info))["Runtimes"])
        if runtime not in self._oci_runtimes:
            raise StartError("RuntimeMissing", NO_RUNSC)
        try:
            bundle = self._locate(spec.image)
        except LookupError:
            bundle, names = None, (spec.image, spec.image.rpartition("@")[2])
        else:
            names = BASE_IMAGES
        labels = {
            LABEL: self._mark,
            "dev.minirun.namespace": spec.namespace,
            "dev.minirun.pod": spec.name,
            "dev.minirun.container": spec.container,
            "dev.minirun.revision": spec.revision,
        }
        image = self._images.get(names) or await self._find_image(names)
        return Place(image, bundle, runtime, sandbox.container, self._volumes / spec.uid, labels)

    async def _find_image(self, names: tuple[str, ...]) -> str:
        """The engine's id of the first of `names` that is there; the rest are other names of it.

        Raises:
            StartError
        """
        for name in names:
            try:
                found = await self._engine.call(self._engine.client.inspect_image, name)
            except EngineError as error:
                if error.status not in (400, 404):
                    raise
            else:
                self._images[names] = str(found["Id"])
                return self._images[names]
        raise StartError("ContainerMissing", NO_BASE if names is BASE_IMAGES else NO_IMAGE.format(names[0]))

    async def _see_off(self, spec: InstanceSpec, container: Container) -> None:
        await container.wait()
        self._over(spec)
        await container.gone
        self._containers.discard(container)

    def _over(self, spec: InstanceSpec) -> None:
        """Gives up the network of an instance that will start no more."""
        self._running[spec.uid] -= 1
        if not self._running[spec.uid]:
            del self._running[spec.uid]
            if spec.runs_once:
                self._sandboxes.give_up(spec.uid)

    def forget(self, uid: str) -> None:
        """Removes an instance's network and its volumes."""
        self._sandboxes.give_up(uid)
        if (self._volumes / uid).exists():
            self._keep(asyncio.create_task(self._remove_volumes(uid)))

    async def _remove_volumes(self, uid: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._volumes / uid, ignore_errors=True)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def remove_leftovers(self, identities: Iterable[str]) -> int:
        """Removes the containers of this data directory; `identities` do not say more than their labels."""
        engine, client = self._engine, self._engine.client
        try:
            found = await engine.call(client.containers, all=True, filters={"label": f"{LABEL}={self._mark}"})
            removals = (
                engine.call(client.remove_container, each["Id"], v=True, force=True) for each in found
            )
            await asyncio.gather(*removals, return_exceptions=True)  # one may be on its way out
        except EngineError as error:
            raise OSError(f"the Docker engine can't be used: {error}") from None
        return len(found)

    async def close(self) -> None:
        """Ends all instances at once (to drain them is the life cycle's) and removes what they had."""
        for container in self._containers:
            container.kill()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._sandboxes.close()
        await asyncio.to_thread(shutil.rmtree, self._volumes, ignore_errors=True)  # there are secrets in them
        self._engine.close()


def _start_error(spec: InstanceSpec, error: EngineError) -> StartError:
    """What the engine said, as a sentence: a command that can't be run is the usual cause."""
    if error.status == 400 and "exec" in str(error):
        message = f"The start command can't be run in {spec.image} ({error}); correct the command."
        return StartError("StartError", message)
    return StartError("CreateContainerError", f"The Docker engine can't start {spec.image}: {error}")
