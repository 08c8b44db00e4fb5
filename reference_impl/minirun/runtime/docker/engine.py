"""The Docker engine of this machine, spoken to without holding up the loop.

Calls go through the Docker SDK, whose methods block, in threads of their own. Output is followed on the loop
itself: the engine turns the connection of an `attach` into a stream of frames, each with a header of eight
bytes. The engine has to be on this machine, at a socket of the file system, for instances are reached at
their own addresses. Counterpart: containerd's client in the kubelet.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from docker import APIClient

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 16
TIMEOUT_SECONDS = 60
LAST_LINES = 10
LABEL = "dev.minirun.data"
"""On everything of ours; its value says of which data directory, or what else it is."""
BUILT, SHARED = "image", "shared"
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


class EngineError(Exception):
    """The engine refused (`status` is that of HTTP) or can't be reached (0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Output:
    """What a container writes, from its start to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Pieces of stream 1 (stdout) or 2 (stderr)."""
        try:
            while True:
                head = await self._reader.readexactly(8)
                yield head[0], await self._reader.readexactly(int.from_bytes(head[4:], "big"))
        except (OSError, EOFError):
            return

    def close(self) -> None:
        self._writer.transport.abort()


class Engine:
    """A connection to the engine; `client` has the SDK's blocking methods, for `call`."""

    def __init__(self, client: "APIClient", socket_path: str) -> None:
        self.client = client
        self._socket_path = socket_path
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")

    @classmethod
    def connect(cls) -> "Engine":
        """Connects to the engine that DOCKER_HOST names, or to the usual one.

        Raises:
            ValueError: the extra is not installed, or there is no engine; one sentence.
        """
        try:
            import docker
        except ImportError as error:
            raise ValueError(
                f"--runtime docker needs the extra docker ({error}): pip install '.[docker]'"
            ) from None
        address = os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS
        scheme, _, path = address.partition("://")
        if scheme != "unix":
            raise ValueError(
                f"DOCKER_HOST is {address}, but instances are reached at addresses of this machine; "
                "name its socket, as in unix:///var/run/docker.sock"
            )
        try:
            client = docker.APIClient(base_url=address, version="auto", timeout=TIMEOUT_SECONDS)
        except docker.errors.DockerException as error:
            raise ValueError(
                f"--runtime docker finds no Docker engine at {address} ({error}); "
                "install and start it (Debian: apt-get install docker.io), or use --runtime process"
            ) from None
        return cls(client, path)

    async def call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a method of `client` in a thread. Raises EngineError."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(self.ask, method, *args, **kwargs)
        )

    def ask(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a method of `client` and waits for it. Raises EngineError."""
        from docker.errors import APIError, DockerException
        from requests.exceptions import RequestException

        try:
            return method(*args, **kwargs)
        except APIError as error:
            raise EngineError(error.status_code or 0, error.explanation or str(error)) from None
        except (DockerException, RequestException) as error:
            raise EngineError(0, f"the Docker engine can't be reached ({error})") from None

    async def attach(self, container: str) -> Output:
        """Attaches to a container that was created; close what it returns.

        Raises:
            EngineError
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket_path)
            query = "stream=1&stdout=1&stderr=1"
            head = f"POST /containers/{container}/attach?{query} HTTP/1.1\r\nHost: docker\r\n"
            writer.write(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
        except (OSError, EOFError) as error:
            raise EngineError(0, f"the Docker engine can't be reached ({error})") from None
        status = int(answer.split(None, 2)[1])
        if status not in (101, 200):
            writer.transport.abort()
            raise EngineError(status, f"the output of {container} can't be followed")
        return Output(reader, writer)

    def find_image(self, reference: str) -> tuple[str, int, list[str], str]:
        """A local image: the digest by which it is pinned, size in bytes, command, and when it was made.

        The digest is that of its manifest, or its id if it was built here.

        Raises:
            LookupError: it is not there, or the engine can't say.
        """
        try:
            found = self.ask(self.client.inspect_image, reference)
        except EngineError as error:
            raise LookupError(str(error)) from None
        name = reference.partition("@")[0].rpartition(":")[0] or reference.partition("@")[0]
        known = (digest.partition("@")[2] for digest in found["RepoDigests"] if digest.startswith(f"{name}@"))
        config = found["Config"]
        command = [*(config["Entrypoint"] or ()), *(config["Cmd"] or ())]
        return next(known, str(found["Id"])), found["Size"], command, found["Created"][:19] + "Z"

    async def build(self, folder: Path, reference: str) -> str:
        """Builds by the folder's Dockerfile; returns the last lines of a build that failed, or nothing."""

        def build() -> list[dict[str, str]]:
            path, labels = str(folder), {LABEL: BUILT}
            return list(self.client.build(path=path, tag=reference, labels=labels, rm=True, decode=True))

        try:
            told = await self.call(build)
        except EngineError as error:
            return str(error)
        lines = [each.get("stream") or each.get("error", "") for each in told]
        failed = any("error" in each for each in told)
        return "\n".join(line.rstrip() for line in lines[-LAST_LINES:]) if failed else ""

    def built_images(self) -> list[str]:
        """The references of all images that `build` made. Raises EngineError."""
        found = self.ask(self.client.images, filters={"label": f"{LABEL}={BUILT}"})
        return sorted(tag for image in found for tag in image["RepoTags"] or () if not tag.startswith("<"))

    def remove_image(self, reference: str) -> None:
        """Removes a tag, and the image with the last of them. Raises ValueError: a container needs it."""
        try:
            self.ask(self.client.remove_image, reference)
        except EngineError as error:
            raise ValueError(str(error)) from None

    def close(self) -> None:
        self._threads.shutdown(wait=False)
        self.client.close()


def remove_everything(engine: Engine, *, images_too: bool) -> int:
    """Removes the containers of all data directories, and with `images_too` all else that has our label.

    Returns the number of containers.

    Raises:
        EngineError: a platform still runs, or the engine can't be reached.
    """
    client, ours = engine.client, {"label": LABEL}
    containers = engine.ask(client.containers, all=True, filters=ours)
    for container in containers:
        engine.ask(client.remove_container, container["Id"], v=True, force=True)
    for network in engine.ask(client.networks, filters=ours) if images_too else ():
        engine.ask(client.remove_network, network["Id"])
    for image in engine.ask(client.images, filters=ours) if images_too else ():
        engine.ask(client.remove_image, image["Id"], force=True)
    return len(containers)
