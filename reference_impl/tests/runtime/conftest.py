"""Real processes from a few lines of source, and ways to wait for what they do."""

import asyncio
import random
import textwrap
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import dockerengine
import psutil
import pytest

from minirun.model.clock import SystemClock
from minirun.runtime.base import Bundle, InstanceSpec, InstanceState, Runtime
from minirun.runtime.docker.engine import Engine
from minirun.runtime.docker.runtime import DockerRuntime
from minirun.runtime.instance import Instance
from minirun.runtime.process import ProcessRuntime, is_running

R = TypeVar("R", bound=Runtime)
SAMPLES = Path(__file__).parents[2] / "minirun" / "samples"


@dataclass(frozen=True)
class FolderBundle:
    folder: Path
    command: tuple[str, ...] = ("python", "main.py")
    env: tuple[tuple[str, str], ...] = ()


class Observed:
    """An instance with everything that it has reported so far."""

    def __init__(self, spec: InstanceSpec, runtime: Runtime) -> None:
        self.states: list[InstanceState] = []
        self.lines: list[tuple[str, bytes]] = []
        self._changed = asyncio.Event()
        self.instance = Instance(spec, runtime, SystemClock(), self._on_change, self._on_line)

    def _on_change(self, state: InstanceState) -> None:
        self.states.append(state)
        self._changed.set()

    def _on_line(self, stream: str, line: bytes) -> None:
        self.lines.append((stream, line))
        self._changed.set()

    async def _until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    async def state(self, wanted: Callable[[InstanceState], bool]) -> InstanceState:
        """The first state that it reported, or will report, for which `wanted` is true."""
        await self._until(lambda: any(map(wanted, self.states)))
        return next(filter(wanted, self.states))

    async def ready(self) -> InstanceState:
        return await self.state(lambda state: state.ready)

    async def line(self, beginning: str) -> str:
        """The rest of the first line of output that begins so."""
        start = beginning.encode()
        await self._until(lambda: any(line.startswith(start) for _, line in self.lines))
        return next(line for _, line in self.lines if line.startswith(start)).decode()[len(beginning) :]

    def output(self) -> list[bytes]:
        return [line for _, line in self.lines]


class Workbench(Generic[R]):
    """Runs apps in one runtime."""

    def __init__(self, folder: Path, make: Callable[[Path, Callable[[str], Bundle]], R]) -> None:
        self.folder = folder
        self.bundles: dict[str, FolderBundle] = {}
        self.runtime = make(folder / "data", self.bundles.__getitem__)
        self.observed: list[Observed] = []

    def spec(self, source: str | Path, **fields: object) -> InstanceSpec:
        """A spec for an app: a folder, a sample, or the text of its main.py."""
        number = len(self.bundles)
        if isinstance(source, str) and "\n" not in source:
            source = SAMPLES / source
        folder = source if isinstance(source, Path) else self.folder / f"app {number}"
        if isinstance(source, str):
            folder.mkdir()
            (folder / "main.py").write_text(textwrap.dedent(source))
        self.bundles[f"app-{number}"] = FolderBundle(folder)
        blank = InstanceSpec(
            "default",
            f"pod-{number}",
            f"uid-{number}",
            "greeter",
            "greeter",
            "greeter-00001",
            f"app-{number}",
        )
        return replace(blank, **fields)  # type: ignore[arg-type]

    @staticmethod
    async def all_gone(*pids: int) -> bool:
        """Whether these processes end within a few seconds; one that waits to be collected has ended."""
        for _ in range(1000):
            if not any(map(is_running, map(psutil.Process, filter(psutil.pid_exists, pids)))):
                return True
            await asyncio.sleep(0.01)
        return False

    def start(self, source: str | Path, **fields: object) -> Observed:
        observed = Observed(self.spec(source, **fields), self.runtime)
        self.observed.append(observed)
        observed.instance.start()
        return observed

    async def close(self) -> None:
        for observed in self.observed:
            await observed.instance.stop(0)
        await self.runtime.close()


async def opened(folder: Path, warm_size: int) -> AsyncIterator[Workbench[ProcessRuntime]]:
    bench = Workbench(
        folder, lambda data, locate: ProcessRuntime(data, locate, random.Random(5), warm_size=warm_size)
    )
    await bench.runtime.open()
    await bench.runtime.pool.filled()
    yield bench
    await bench.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Workbench[ProcessRuntime]]:
    """A workbench whose instances start in fresh interpreters."""
    async for bench in opened(tmp_path, warm_size=0):
        yield bench


@pytest.fixture
async def warm_bench(tmp_path: Path) -> AsyncIterator[Workbench[ProcessRuntime]]:
    """A workbench that has a warm interpreter ready."""
    async for bench in opened(tmp_path, warm_size=1):
        yield bench


@pytest.fixture(params=[0, 1], ids=["plain", "warm"])
async def either_bench(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Workbench[ProcessRuntime]]:
    """Each of them in turn."""
    async for bench in opened(tmp_path, warm_size=request.param):
        yield bench


@pytest.fixture
async def docker_bench(tmp_path: Path) -> AsyncIterator[Workbench[DockerRuntime]]:
    """A workbench whose instances are containers."""
    dockerengine.need()
    engine = Engine.connect()
    bench = Workbench(tmp_path, lambda data, locate: DockerRuntime(engine, data, locate, warm_size=1))
    await bench.runtime.open()
    yield bench
    await bench.close()


@pytest.fixture(params=["process", "docker"])
def any_bench(request: pytest.FixtureRequest) -> Workbench[Runtime]:
    """A workbench of each runtime in turn."""
    return request.getfixturevalue("bench" if request.param == "process" else "docker_bench")
