"""The process runtime: an instance is a process group of this machine, in its bundle, on a free port.

The environment is built from nothing: the contract's variables, the image's, the user's, and folders of its
own for HOME and TMPDIR; nothing of the platform's leaks in. A memory limit is kept by looking at the resident
memory of the group: RLIMIT_AS would count address space that is never used, which breaks threads and many
libraries. A CPU limit is not kept, as that takes a cgroup, and so root: it only counts where instances are
placed and billed. Every process carries a mark by which a later platform on the same data finds what is left
over. Not a sandbox: apps run as the platform's user, share the machine's ports (`ports.py`) and see volumes
elsewhere (`mounts.py`). Counterpart: kubelet with containerd; Cloud Run's container contract.
"""

import asyncio
import hashlib
import itertools
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import psutil

from minirun.model.expansion import expand
from minirun.runtime.base import Bundle, InstanceSpec, Log, StartError
from minirun.runtime.child import Child
from minirun.runtime.contract import environment
from minirun.runtime.mounts import VARIABLE, lay_out
from minirun.runtime.ports import Ports, redirect
from minirun.runtime.warm import INTERPRETERS, WarmPool

MARK = "MINIRUN_INSTANCE"
LEADER_WATCH_SECONDS = 0.05
GROUP_WATCH_TURNS = 10
LEFTOVER_LOOKS = 100


def resident_bytes(groups: set[int], everyone: bool) -> Counter[int]:
    """Resident memory by process group: of the leaders alone, or of `everyone` in the groups.

    Pages that processes share count for each of them, as there is no cheap way to tell.
    """
    used: Counter[int] = Counter()
    for pid in psutil.pids() if everyone else groups:
        try:
            group = os.getpgid(pid)
            if group in groups:
                used[group] += psutil.Process(pid).memory_info().rss
        except (OSError, psutil.Error):
            continue  # it has ended meanwhile
    return used


def find_processes(identities: Iterable[str], mark: str) -> set[psutil.Process]:
    """Living processes with one of the `identities`, their descendants, and those with a mark like that."""
    found: set[psutil.Process] = set()
    for identity in identities:
        pid, _, created = identity.partition(":")
        try:
            process = psutil.Process(int(pid))
            if abs(process.create_time() - float(created)) < 1:
                found |= {process, *process.children(recursive=True)}
        except (ValueError, psutil.Error):
            continue  # not ours, or gone
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK, "").startswith(mark):
                found.add(process)
        except (OSError, psutil.Error):
            continue  # another user's, or gone
    return {process for process in found if process.pid != os.getpid() and is_running(process)}


def is_running(process: psutil.Process) -> bool:
    """Whether it still does anything; one that only waits for its parent to collect it does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class ProcessRuntime:
    """Runs instances as processes; see the module.

    `locate` gives the bundle of a pinned image or raises LookupError; `data_dir` holds the instances' own
    folders; `warm_size` interpreters are kept warm (0: none).
    """

    own_address = "127.0.0.1"

    def __init__(
        self, data_dir: Path, locate: Callable[[str], Bundle], rng: Random, *, warm_size: int = 2
    ) -> None:
        self._locate = locate
        self._mark = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12] + "/"
        self._bin = data_dir / "runtime" / "bin"
        self._scratch = data_dir.resolve() / "runtime" / "scratch"
        self._ports = Ports(rng)
        self._volumes = data_dir.resolve() / "runtime" / "volumes"
        self._removing: set[asyncio.Task[None]] = set()
        self._children: dict[Child, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._common = {
            "PATH": os.pathsep.join((str(self._bin.resolve()), "/usr/local/bin", "/usr/bin", "/bin")),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",  # as Google's buildpacks set it: log lines arrive when they are written
            MARK: self._mark + "warm",
        }
        self.pool = WarmPool(self._common, self._scratch, warm_size)

    async def open(self) -> None:
        """Lays out the folders and begins to warm interpreters."""
        for folder in (self._scratch, self._volumes):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, parents=True)
        self._bin.mkdir(exist_ok=True)
        interpreter = Path(getattr(sys, "_base_executable", sys.executable))
        for name in INTERPRETERS:
            (self._bin / name).unlink(missing_ok=True)
            (self._bin / name).symlink_to(interpreter)
        self.pool.fill()

    async def start(self, spec: InstanceSpec, log: Log) -> Child:
        """Starts one container and returns while it boots; see `Runtime.start`."""
        try:
            bundle = self._locate(spec.image)
        except LookupError as error:
            raise StartError("ContainerMissing", str(error)) from error
        cwd = bundle.folder / spec.working_dir
        with ExitStack() as held:
            served = not (spec.runs_once or spec.sidecar)
            others = self._ports.of_sidecars(spec.uid, spec.sidecar_ports)
            port = others.get(spec.port, 0) if spec.sidecar else 0
            if served:
                port = held.enter_context(self._ports.claim_any()).getsockname()[1]
            own = held.enter_context(TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True))
            defaults = {**self._common, "HOME": own, "TMPDIR": own}
            env = environment(spec, port, dict(bundle.env), defaults) | {MARK: self._mark + spec.uid}
            env |= {name: redirect(env[name], others) for name, _ in spec.env}
            if spec.mounts:
                env[VARIABLE] = await self._mount(spec, Path(own), log)
            command = [expand(word, env) for word in spec.command] or bundle.command
            argv = [redirect(word, others) for word in (*command, *(expand(a, env) for a in spec.args))]
            try:
                child = await self.pool.start(argv, env, cwd, log)
            except (OSError, ValueError) as error:
                message = (
                    f"The start command {argv[0]!r} can't be run in {cwd} ({error}); correct the command."
                )
                raise StartError("StartError", message) from error
            child.port, child.memory_limit_bytes = port, spec.memory_limit_bytes
            if not served:
                child.settle()
            self._children[child] = asyncio.create_task(self._see_off(child, held.pop_all()))
        if child.memory_limit_bytes and self._watching is None:
            self._watching = asyncio.create_task(self._watch_memory(), name="memory limits")
        return child

    async def _mount(self, spec: InstanceSpec, own: Path, log: Log) -> str:
        """Lays out a container's volumes; returns the root under which it finds them. Raises StartError."""
        root = own / "mounts"
        try:
            await asyncio.to_thread(lay_out, self._volumes / spec.uid, root, spec.volumes, spec.mounts)
        except (OSError, ValueError) as error:
            raise StartError("CreateContainerError", f"The volumes can't be made: {error}") from error
        paths = ", ".join(mount.path for mount in spec.mounts)
        log("stderr", f"minirun: a process has no mounts; put ${VARIABLE} ({root}) before {paths}".encode())
        return str(root)

    def forget(self, uid: str) -> None:
        """Removes an instance's volumes, and gives back its sidecars' ports."""
        self._ports.forget(uid)
        if (self._volumes / uid).exists():
            self._removing.add(task := asyncio.create_task(self._remove_volumes(uid)))
            task.add_done_callback(self._removing.discard)

    async def _remove_volumes(self, uid: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._volumes / uid, ignore_errors=True)

    async def _see_off(self, child: Child, held: ExitStack) -> None:
        await child.wait()
        await asyncio.to_thread(held.close)
        del self._children[child]

    async def _watch_memory(self) -> None:
        """Ends those over their limit: a look at each process often, at its whole group now and then."""
        for turn in itertools.count():
            limits = {child.pid: child for child in self._children if child.memory_limit_bytes}
            if not limits:
                break
            for pid, used in resident_bytes(set(limits), everyone=turn % GROUP_WATCH_TURNS == 0).items():
                if used > (limits[pid].memory_limit_bytes or used):
                    limits[pid].oom = True
                    limits[pid].kill()
            await asyncio.sleep(LEADER_WATCH_SECONDS)
        self._watching = None

    async def remove_leftovers(self, identities: Iterable[str]) -> int:
        """Ends what an earlier platform left running; call it before `open`."""
        found = await asyncio.to_thread(find_processes, tuple(identities), self._mark)
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        for _ in range(LEFTOVER_LOOKS):
            if not any(map(is_running, found)):
                break
            await asyncio.sleep(LEADER_WATCH_SECONDS)
        return len(found)

    async def close(self) -> None:
        """Ends all instances at once (to drain them is the life cycle's), also who fled from their groups."""
        await self.pool.close()
        for child in self._children:
            child.kill()
        if self._children:
            await asyncio.wait(set(self._children.values()))
        if self._removing:
            await asyncio.wait(self._removing)
        self._ports.close()
        await asyncio.to_thread(shutil.rmtree, self._volumes, ignore_errors=True)  # there are secrets in them
        if self._watching:
            self._watching.cancel()
        await self.remove_leftovers(())
