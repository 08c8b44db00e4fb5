"""A few Python interpreters that have started, and become the next instances: the answer to the cold start.

Most of a Python app's start is the interpreter and the standard library. A warm interpreter has both behind
it and waits for one line: what to become. It is used only where the app can't tell the difference. New ones
are made when no instance is starting, so that they never slow one down. Counterpart: the zygote of Android,
and the pre-warmed sandboxes of the function platforms; Cloud Run's "startup CPU boost" aims at the same wait.
"""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from minirun.runtime.base import Log
from minirun.runtime.child import Child

log = logging.getLogger("minirun.runtime")
INTERPRETERS = {"python", "python3", f"python3.{sys.version_info.minor}"}
SCRIPT = Path(__file__).with_name("warm_child.py")
EARLY = ("PYTHON", "LD_", "DYLD_", "LC_", "LANG", "MALLOC_", "GLIBC_")
"""Names of variables that act before an app's first line; the child can make good for PYTHONPATH alone."""
FIRST_ANSWER_SECONDS = 0.05
"""How long an instance that has just become healthy has the machine for the request that woke it."""


def warm_order(
    argv: Sequence[str], env: Mapping[str, str], common: Mapping[str, str], cwd: Path
) -> bytes | None:
    """The line that makes a warm interpreter run `argv`; None where only a fresh process does just that.

    `argv` must be `python [-u] SCRIPT.py ...` or `python [-u] -m MODULE ...`, and no variable of `env` that
    an interpreter reads at its start may differ from those in `common`, with which the warm ones were
    started.
    """
    head, *rest = argv
    if head not in INTERPRETERS or not rest:
        return None
    if rest[0] == "-u" and "PYTHONUNBUFFERED" in common:
        rest = rest[1:]
    module = len(rest) > 1 and rest[0] == "-m"
    if not module and not (rest and rest[0].endswith(".py") and (cwd / rest[0]).is_file()):
        return None
    early = {name for name in {*env, *common} if name.startswith(EARLY)} - {"PYTHONPATH"}
    if any(env.get(name) != common.get(name) for name in early):
        return None
    order = {
        "argv": rest[module:],
        "orig_argv": list(argv),
        "module": module,
        "env": dict(env),
        "cwd": str(cwd),
    }
    return json.dumps(order).encode() + b"\n"


class WarmPool:
    """Starts processes, and keeps `size` interpreters warm in `cwd`, with the environment `common`."""

    def __init__(self, common: Mapping[str, str], cwd: Path, size: int) -> None:
        self._common = common
        self._cwd = cwd
        self._size = size
        self._idle: list[Child] = []
        self._starting = 0
        self._filling: asyncio.Task[None] | None = None

    async def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Log) -> Child:
        """Starts `argv`, in a warm interpreter where one will do. Raises OSError or ValueError."""
        order = warm_order(argv, env, self._common, cwd)
        self._idle = [child for child in self._idle if child.alive]
        if order and self._idle:
            child = self._idle.pop(0)
            child.log, child.env, child.cwd = log, env, cwd
            child.write_and_close(order)
        else:
            child = await Child.spawn(argv, env, cwd, log)
        self._starting += 1
        child.settled.add_done_callback(self._has_settled)
        return child

    def _has_settled(self, settled: asyncio.Future[None]) -> None:
        self._starting -= 1
        self.fill(FIRST_ANSWER_SECONDS)

    def fill(self, pause_seconds: float = 0) -> None:
        """Makes what is missing, in the background, one at a time, after a pause."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self._fill(pause_seconds), name="warm interpreters")

    async def filled(self) -> None:
        """Returns when the pool has done what it could."""
        if self._filling:
            await asyncio.wait({self._filling})

    async def _fill(self, pause_seconds: float) -> None:
        await asyncio.sleep(pause_seconds)
        try:
            while len(self._idle) < self._size and not self._starting:
                self._idle.append(await self._warm_up())
        except OSError as error:  # the next instance that has started tries again
            log.warning("no interpreter could be warmed, so the next start is a cold one: %s", error)

    async def _warm_up(self) -> Child:
        warm = asyncio.Event()
        argv = ("python", str(SCRIPT))
        child = await Child.spawn(argv, self._common, self._cwd, lambda *_: warm.set(), subprocess.PIPE)
        child.settled.add_done_callback(lambda _: warm.set())
        try:
            await warm.wait()
        except asyncio.CancelledError:
            child.kill()
            raise
        return child

    async def close(self) -> None:
        """Ends the idle ones and the one that is being made, and makes no more."""
        self._size = 0
        if self._filling:
            self._filling.cancel()
        await self.filled()
        for child in self._idle:
            child.kill()
            await child.wait()
        self._idle.clear()
