"""A runtime in which containers are only timers: how long they take to start, to answer and to end is drawn.

To everything above it is a runtime like the others: the life cycle in `instance.py` starts, probes, restarts
and ends its containers. How a container behaves is its `Profile`; requests reach it through `submit` in place
of a socket. Made for `simulation.VirtualLoop`, though any loop will do. Counterpart: KWOK's pods without
containers, and Knative's `autoscale-go` sample as the app in them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random

from minirun.model.clock import Clock
from minirun.runtime.base import ExitStatus, InstanceSpec, Log, Probe, ProbeResult
from minirun.runtime.probes import NOT_LISTENING, PASSED

DEFAULT_PORT = 8080
SIGKILL, SIGTERM = 9, 15  # Linux' numbers, wherever this runs

Distribution = Callable[[Random], float]
"""Draws a number of seconds."""

Answer = Callable[[int], object]
"""Takes the HTTP status of the response to one request; 502 if the container ended, or does not listen."""

_SHAPES: Mapping[str, tuple[int, Callable[..., Distribution]]] = {
    "fixed": (1, lambda value: lambda rng: value),
    "uniform": (2, lambda low, high: lambda rng: rng.uniform(low, high)),
    "exp": (1, lambda mean: lambda rng: mean * rng.expovariate(1)),
    "lognormal": (2, lambda median, sigma: lambda rng: median * rng.lognormvariate(0, sigma)),
}


def distribution(text: str) -> Distribution:
    """The distribution that `text` names.

    Args:
        text: `0.1` or `fixed:0.1`, `uniform:LOW:HIGH`, `exp:MEAN`, `lognormal:MEDIAN:SIGMA`; seconds, except
            SIGMA, the standard deviation of the logarithm.

    Raises:
        ValueError: it names none.
    """
    name, *numbers = text.split(":") if ":" in text else ("fixed", text)
    parameters, shape = _SHAPES.get(name, (-1, None))
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if shape is None or len(values) != parameters or not all(0 <= value < 1e9 for value in values):
        raise ValueError(
            f"{text!r} is no distribution of seconds; write a number such as 0.1, uniform:LOW:HIGH, exp:MEAN "
            "or lognormal:MEDIAN:SIGMA, none of them negative"
        )
    return shape(*values)


@dataclass(frozen=True, slots=True)
class Profile:
    """How a container behaves.

    Args:
        start: seconds from its start until it listens.
        service: seconds that one request takes, or all the work of an instance that runs once.
        stop_seconds: from SIGTERM to its end.
        listens: False for an app that runs and never listens.
        start_failure: the probability that it exits with code 1 in place of listening.
        request_failure: the probability that it answers a request with status 500, or fails at its work.
    """

    start: Distribution
    service: Distribution
    stop_seconds: float = 0.0
    listens: bool = True
    start_failure: float = 0.0
    request_failure: float = 0.0


class VirtualProcess:
    """One started container, a `RunningProcess`. Ended by `exit`, which is also how to let it crash."""

    def __init__(self, spec: InstanceSpec, host: str, started_ns: int, profile: Profile, rng: Random) -> None:
        self.spec = spec
        self.host = host
        self.port = spec.port or DEFAULT_PORT
        self.identity = f"virtual://{host}"
        self.started_ns = started_ns
        self.ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._listens: asyncio.Future[bool] = self.ended.get_loop().create_future()
        self._profile = profile
        self._rng = rng
        self._call_later = self.ended.get_loop().call_later
        self._requests: dict[int, tuple[Answer, asyncio.TimerHandle]] = {}
        self._numbers = count()
        self._boot = self._call_later(profile.start(rng), self._booted)

    def _booted(self) -> None:
        if self._rng.random() < self._profile.start_failure:
            self.exit(1)
        elif self.spec.runs_once:
            failed = self._rng.random() < self._profile.request_failure
            self._boot = self._call_later(self._profile.service(self._rng), self.exit, int(failed))
        elif self._profile.listens:
            self._listens.set_result(True)

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self.ended)

    async def probe(self, probe: Probe) -> ProbeResult:
        """Waits until the app listens, if it ever will: knocking all the time would only cost time."""
        listens = self._profile.listens and await asyncio.shield(self._listens) and not self.ended.done()
        return PASSED if listens else NOT_LISTENING

    def terminate(self) -> None:
        self._call_later(self._profile.stop_seconds, self.exit, 128 + SIGTERM)

    def kill(self) -> None:
        self.exit(128 + SIGKILL)

    def exit(self, code: int) -> None:
        """Ends it now, and its requests with it; no effect after the end."""
        if self.ended.done():
            return
        self._boot.cancel()
        self.ended.set_result(ExitStatus(code))
        if not self._listens.done():
            self._listens.set_result(False)
        broken, self._requests = self._requests, {}
        for answer, timer in broken.values():
            timer.cancel()
            answer(502)

    def submit(self, answer: Answer) -> bool:
        """Takes a request, and answers it once; False if nothing listens."""
        if self.ended.done() or not self._listens.done():
            return False
        number = next(self._numbers)
        timer = self._call_later(self._profile.service(self._rng), self._respond, number)
        self._requests[number] = answer, timer
        return True

    def _respond(self, number: int) -> None:
        answer, _ = self._requests.pop(number)
        failure = self._profile.request_failure
        answer(500 if failure and self._rng.random() < failure else 200)


def pod_ip(number: int) -> str:
    """The address in 10.0.0.0/8 of the container that was started as number 1, 2, ..."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@dataclass(eq=False)
class VirtualRuntime:
    """A `Runtime` in which every container has an address of its own.

    `profile_of` says how the container of an instance behaves, `rng` draws its times and failures, and
    `processes` are those that run, by host.
    """

    own_address = "127.0.0.1"
    clock: Clock
    rng: Random
    profile_of: Callable[[InstanceSpec], Profile]
    processes: dict[str, VirtualProcess] = field(init=False, default_factory=dict)
    started: int = field(init=False, default=0)
    _ended_ns: int = field(init=False, default=0)  # lifetimes of those that have ended

    async def open(self) -> None:
        """There is nothing to get ready."""

    async def start(self, spec: InstanceSpec, log: Log) -> VirtualProcess:
        self.started += 1
        host = pod_ip(self.started)
        process = VirtualProcess(spec, host, self.clock.monotonic_ns(), self.profile_of(spec), self.rng)
        self.processes[host] = process
        process.ended.add_done_callback(lambda _: self._forget(process))
        return process

    def _forget(self, process: VirtualProcess) -> None:
        del self.processes[process.host]
        self._ended_ns += self.clock.monotonic_ns() - process.started_ns

    def container_ns(self) -> int:
        """For how long containers have run, all added up."""
        now_ns = self.clock.monotonic_ns()
        return self._ended_ns + sum(now_ns - process.started_ns for process in self.processes.values())

    def submit(self, host: str, answer: Answer) -> None:
        """Sends a request to the container at `host`; `answer` is called once, at once if there is none."""
        process = self.processes.get(host)
        if process is None or not process.submit(answer):
            answer(502)

    async def serve(self, host: str) -> int:
        """Sends a request to the container at `host` and waits for its status."""
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.submit(host, lambda status: None if answered.done() else answered.set_result(status))
        return await answered

    async def remove_leftovers(self, identities: Iterable[str]) -> int:
        """None: containers are timers of this process and have ended with it."""
        return 0

    def forget(self, uid: str) -> None:
        """Nothing is left of a timer."""

    async def close(self) -> None:
        for process in list(self.processes.values()):
            process.kill()
