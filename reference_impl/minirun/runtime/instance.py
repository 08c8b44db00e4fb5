"""One instance's life: started, probed, restarted when it fails, drained and gone.

The life cycle is `lifecycle.py`; the container comes from a `Runtime`; one task looks after both. As in a
Pod, the startup probe comes before the readiness probe, which decides on traffic, and the liveness probe,
which restarts; a container that ends is started again after a pause that grows. An instance that was not
ready once within its progress deadline is ended for good. One that runs once has no probes: it is ready as
soon as it runs, and gone when its container ends or its time is up. Counterpart: the kubelet's pod worker.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from minirun.model.clock import SECOND_NS, Clock
from minirun.runtime.base import (
    ExitStatus,
    InstanceSpec,
    InstanceState,
    Log,
    Probe,
    ProbeResult,
    RunningProcess,
    Runtime,
    Stage,
    StartError,
)
from minirun.runtime.ending import LAST_LINES, deadline_words, end, exit_words, last_words
from minirun.runtime.lifecycle import back_off_seconds, next_stage, phase_of
from minirun.runtime.probing import keep_probing

log = logging.getLogger("minirun.runtime")

UNSTARTED_PAUSE_SECONDS = 10.0  # at most, until what is missing for a start is looked for again
STABLE_SECONDS = 600.0


@dataclass(eq=False)
class Instance:
    """One instance: keeps a container of `spec` running and ready, and tells `on_change` each new state.

    `start` begins, `stop` ends for good. `state` is the latest state; `log` gets every line of output.
    `complete` gives `spec` with what is read anew at each start of the container, or raises StartError.
    """

    spec: InstanceSpec
    runtime: Runtime
    clock: Clock
    on_change: Callable[[InstanceState], None]
    log: Log
    complete: Callable[[InstanceSpec], InstanceSpec] = lambda spec: spec
    state: InstanceState = field(init=False, default=InstanceState())
    _lines: deque[bytes] = field(init=False, default_factory=lambda: deque(maxlen=LAST_LINES))
    _seen: ProbeResult = field(init=False, default=ProbeResult(ok=False, listening=False))
    _process: RunningProcess | None = field(init=False, default=None)
    _task: asyncio.Task[None] | None = field(init=False, default=None)

    def start(self) -> None:
        """Starts the container and the task that looks after it; returns at once."""
        self._task = asyncio.create_task(self._run(), name=f"instance {self.spec.name}")
        self._task.add_done_callback(self._tell)

    def _tell(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("instance %s was given up", self.spec.name, exc_info=error)

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Takes it out of traffic, asks it to end, kills it after the grace period; returns when it is gone.

        `grace_seconds` None is the spec's.
        """
        self._move("stop")
        if self._task is None:
            return
        if self._process is None:
            self._task.cancel()
        else:
            await self._end(self._process, grace_seconds)
        await asyncio.wait({self._task})

    async def _end(self, process: RunningProcess, grace_seconds: float | None = None) -> None:
        """Ends it as it should be; whatever goes wrong then, it ends."""
        spec = self.spec
        try:
            await end(process, spec.termination_grace_seconds if grace_seconds is None else grace_seconds)
        except Exception:
            log.exception("instance %s could not be asked to end, and is killed", spec.name)
            process.kill()

    async def _run(self) -> None:
        failures = 0
        try:
            async with asyncio.timeout(self.spec.progress_deadline_seconds) as self._deadline:
                while True:
                    began_ns = self.clock.monotonic_ns()
                    self._move("start", replace(self.state, started_unix_ns=self.clock.unix_ns()))
                    await self._run_container()
                    if self.state.stage is Stage.GONE:
                        return
                    stable = self.clock.monotonic_ns() - began_ns >= STABLE_SECONDS * SECOND_NS
                    failures = 1 if stable else failures + 1
                    restarted = self.state.exit_code is not None  # it is None if there was nothing to start
                    pause_seconds = back_off_seconds(failures)
                    await asyncio.sleep(
                        pause_seconds if restarted else min(pause_seconds, UNSTARTED_PAUSE_SECONDS)
                    )
                    self.state = replace(self.state, restart_count=self.state.restart_count + restarted)
        except TimeoutError:
            self._miss_deadline()
        finally:
            self._move("exit")

    async def _run_container(self) -> None:
        self._lines.clear()
        try:
            process = self._process = await self.runtime.start(self.complete(self.spec), self._on_line)
        except StartError as error:
            failed = replace(self.state, reason=error.reason, message=str(error), exit_code=None)
            self._move(self._end_event, failed)
            return
        place = replace(self.state, host=process.host, port=process.port, identity=process.identity)
        self._move("", place)
        exited = asyncio.create_task(process.wait())
        probing = asyncio.create_task(self._time(process) if self.spec.runs_once else self._probe(process))
        try:
            await asyncio.wait({exited, probing}, return_when=asyncio.FIRST_COMPLETED)
            why = probing.result() if probing.done() else ""
            if why:
                await self._end(process)
            self._has_ended(await exited, why)
        finally:
            self._process = None
            probing.cancel()
            process.kill()
            await asyncio.wait({exited, probing})

    async def _probe(self, process: RunningProcess) -> str:
        """Runs the probes in their order; returns why the container must be restarted."""
        spec, clock = self.spec, self.clock
        if spec.startup:
            seen = await keep_probing(process, spec.startup, clock, lambda verdict, _: verdict is not None)
            if not seen.ok:
                return f"Startup probe failed: {seen.detail}"
        readiness = self._keep_judging(process)
        if spec.liveness is None:
            await readiness
            return ""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(readiness)
            seen = await keep_probing(process, spec.liveness, clock, lambda verdict, _: verdict is False)
            task.cancel()
        return f"Liveness probe failed: {seen.detail}"

    async def _keep_judging(self, process: RunningProcess) -> None:
        """Judges by the readiness probe, if there has to be one, for as long as the container runs."""
        spec = self.spec
        if spec.sidecar and spec.readiness is None:
            self._judge(True, ProbeResult(ok=True))
            await process.wait()
        else:
            await keep_probing(process, spec.readiness or Probe(period_seconds=0), self.clock, self._judge)

    async def _time(self, process: RunningProcess) -> str:
        """Calls it ready at once; returns why it must be ended, when its time is up."""
        self._judge(True, ProbeResult(ok=True))
        try:
            async with asyncio.timeout(self.spec.active_deadline_seconds):
                await process.wait()
        except TimeoutError:
            return f"The container did not end within its {self.spec.active_deadline_seconds:g} s."
        return ""

    @property
    def _end_event(self) -> str:
        """What the end of the container is to the life cycle."""
        return "finish" if self.spec.runs_once else "exit"

    def _judge(self, verdict: bool | None, seen: ProbeResult) -> bool:
        self._seen = seen
        if verdict and self.state.stage is Stage.STARTING:
            self._deadline.reschedule(None)
            now_ns = self.clock.unix_ns()
            fine = replace(self.state, ready_unix_ns=now_ns, reason="", message="", exit_code=None)
            self._move("pass", fine)
        elif verdict is False and self.state.stage is Stage.READY:
            message = f"Readiness probe failed: {seen.detail}"
            self._move("fail", replace(self.state, reason="Unhealthy", message=message))
        return False

    def _has_ended(self, status: ExitStatus, why: str) -> None:
        state = replace(self.state, exit_code=status.code, identity="")
        if self.state.stage is not Stage.DRAINING:
            once = self.spec.runs_once
            reason, message = exit_words(status, last_words(self._lines))
            if why:
                reason, message = "DeadlineExceeded" if once else "Unhealthy", why
            elif once and status.code == 0:
                reason = message = ""
            state = replace(state, reason=reason, message=message)
        self._move(self._end_event, state)

    def _miss_deadline(self) -> None:
        state = self.state
        if state.stage is Stage.STARTING:
            seconds = self.spec.progress_deadline_seconds
            message = deadline_words(state.port, seconds, self._seen, last_words(self._lines))
            state = replace(state, reason="ProgressDeadlineExceeded", message=message)
        self._move("deadline", state)

    def _on_line(self, stream: str, line: bytes) -> None:
        self._lines.append(line)
        self.log(stream, line)

    def _move(self, event: str, state: InstanceState | None = None) -> None:
        """Takes `event`, with the other fields as in `state`, and reports what has changed."""
        state = state or self.state
        stage = next_stage(self.state.stage, event)
        state = replace(state, stage=stage, phase=phase_of(stage, state.reason), ready=stage is Stage.READY)
        if state != self.state:
            self.state = state
            self.on_change(state)
