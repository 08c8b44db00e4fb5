"""Lab 01: the container contract. Environment, life cycle, probes and end of an instance, on virtual time."""

import asyncio
import sys
from pathlib import Path
from typing import Any  # cases are JSON of many shapes

from minirun.model.clock import SECOND_NS, Clock
from minirun.runtime.base import ExitStatus, InstanceSpec, Probe, ProbeResult, RunningProcess, Stage
from minirun.runtime.child import Child
from minirun.runtime.contract import environment
from minirun.runtime.ending import end, exit_words, last_words
from minirun.runtime.lifecycle import next_stage
from minirun.runtime.probing import Tally, count_probe, keep_probing
from minirun.simulation.loop import run_virtual

KILL_SECONDS = 0.05  # a killed process is not gone at once
OBEYS = "import time; print('up', flush=True); time.sleep(600)"
IGNORES = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


class Scripted:
    """A container that does what a case says: a `RunningProcess` without a process.

    tries: what each try of a probe finds, the last one for good: [ok, listening, seconds it takes].
    stops_after: seconds from SIGTERM to its end; None if it ignores SIGTERM.
    """

    host, port, identity = "127.0.0.1", 8080, "scripted"

    def __init__(self, clock: Clock, tries: list[list[Any]], stops_after: float | None) -> None:
        self._clock, self._stops_after = clock, stops_after
        self._tries = iter([*tries, *([tries[-1]] * 10_000 if tries else [])])
        self._ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self.seen: list[list[Any]] = []

    def _note(self, what: str) -> None:
        self.seen.append([what, round(self._clock.monotonic_ns() / SECOND_NS, 3)])

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._ended)

    async def probe(self, probe: Probe) -> ProbeResult:
        ok, listening, seconds = next(self._tries)
        self._note("try")
        await asyncio.sleep(seconds)
        return ProbeResult(ok, listening, "scripted")

    def terminate(self) -> None:
        self._note("SIGTERM")
        if self._stops_after is not None:
            asyncio.get_running_loop().call_later(self._stops_after, self._exit, 143)

    def kill(self) -> None:
        self._note("SIGKILL")
        asyncio.get_running_loop().call_later(KILL_SECONDS, self._exit, 137)

    def _exit(self, code: int) -> None:
        if not self._ended.done():
            self._note("gone")
            self._ended.set_result(ExitStatus(code))


def spec_of(case: dict[str, Any]) -> InstanceSpec:
    """The instance of a case, with names for what does not matter there."""
    names = {"namespace": "default", "name": "pod", "uid": "uid", "image": "hello"}
    defaults = {**names, "service": "web", "configuration": "web", "revision": "web-00001"}
    env = tuple(map(tuple, case.get("env", [])))
    return InstanceSpec(**{**defaults, **{k: v for k, v in case.items() if k != "env"}, "env": env})


def variables(case: dict[str, Any]) -> dict[str, str]:
    """What a container is started with: {instance, port, image, defaults}."""
    return environment(spec_of(case["instance"]), case["port"], case["image"], case["defaults"])


def life(case: dict[str, Any]) -> list[str]:
    """The stage after each of `events`, from Pending."""
    stage, stages = Stage.PENDING, []
    for event in case["events"]:
        stage = Stage(next_stage(stage, event))
        stages.append(stage.value)
    return stages


def tally(case: dict[str, Any]) -> list[bool | None]:
    """The verdict after each of `steps` (whether a try succeeded), by a `probe` with thresholds."""
    probe, count, verdicts = Probe(**case["probe"]), Tally(), []
    for ok in case["steps"]:
        count = count_probe(probe, count, ok)
        verdicts.append(count.verdict)
    return verdicts


def probing(case: dict[str, Any]) -> dict[str, Any]:
    """Probe by `probe` until the verdict is `until`, at most `seconds`: the times of the tries, the end."""

    async def main(clock: Clock) -> dict[str, Any]:
        process = Scripted(clock, case["tries"], None)
        found: bool | None = None
        try:
            async with asyncio.timeout(case["seconds"]):
                probe = Probe(**case["probe"])
                seen = await keep_probing(process, probe, clock, lambda verdict, _: verdict is case["until"])
                found = seen.ok
        except TimeoutError:
            pass
        times = [at for what, at in process.seen if what == "try"]
        return {"tries": times, "found": found, "at": round(clock.monotonic_ns() / SECOND_NS, 3)}

    return run_virtual(main)


def ending(case: dict[str, Any]) -> list[list[Any]]:
    """What a container with `grace` seconds goes through; it needs `stops_after` (None: for ever)."""

    async def main(clock: Clock) -> list[list[Any]]:
        process = Scripted(clock, [], case["stops_after"])
        await end(process, case["grace"])
        return [*process.seen, ["returned", round(clock.monotonic_ns() / SECOND_NS, 3)]]

    return run_virtual(main)


def words(case: dict[str, Any]) -> list[str]:
    """Reason and message for an end: {code, oom, lines}."""
    status = ExitStatus(case["code"], case.get("oom", False))
    return list(exit_words(status, last_words(line.encode() for line in case["lines"])))


def real_end(case: dict[str, Any]) -> int:
    """The exit code of a real process with `grace` seconds; `obeys` SIGTERM or ignores it."""

    async def main() -> int:
        up = asyncio.Event()
        argv = [sys.executable, "-c", OBEYS if case["obeys"] else IGNORES]
        child = await Child.spawn(argv, {}, Path.cwd(), lambda stream, line: up.set())
        process: RunningProcess = child
        await up.wait()
        await end(process, case["grace"])
        return (await child.wait()).code

    return asyncio.run(main())
