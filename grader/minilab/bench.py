"""What a notebook measures with: the learner's part, asked in a process of its own.

`from minilab.bench import lab05` gives the drives of lab 05 over the part as it is saved at that moment; what
is not written yet says so. `course` runs the whole platform with the part in it, in virtual time, where the
reference stands in for what is not written. Nothing here blocks or is blocked by the notebook's event loop.
"""

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any  # cases and answers are JSON of many shapes

import msgspec

from minilab import labs, learner
from minilab.child import Child
from minilab.part import CheckFailed, Part
from minirun.overlay import VARIABLE

COURSE_SECONDS = 120.0


class BenchError(Exception):
    """A part that could not be measured: not written yet, or it raised."""


class Drives:
    """The drives of a lab as functions: `lab05.decisions(case)`, case and answer plain data."""

    def __init__(
        self, name: str, overlay: list[Path], stubs: str = "keep", call_seconds: float = 10.0
    ) -> None:
        self._part = Part(name, lambda: Child(overlay, stubs=stubs), call_seconds)
        weakref.finalize(self, self._part.close)

    def __getattr__(self, drive: str) -> Callable[[Any], Any]:
        return partial(self._ask, drive)

    def _ask(self, drive: str, case: Any) -> Any:
        try:
            return self._part.call(drive, case)
        except CheckFailed as failure:
            raise BenchError(failure.came) from None


def __getattr__(name: str) -> Drives:
    """`lab05` and its like: a fresh process each time that the name is imported."""
    if name not in [lab.id for lab in labs.all_labs()]:
        raise AttributeError(name)
    return Drives(name, [learner.folder(labs.find(name).lab)])


class Course(msgspec.Struct, frozen=True):
    """What happened to a load, second by second.

    load: requests sent. desired: instances that the autoscaler asked for. instances: those that were there,
    start-up included. waiting: requests without a slot at the end of the second. latency: seconds from
    arrival to response, the slowest of those answered in the second, None if there was none. p50, p95: of all
    requests, in seconds. instance_seconds: what is paid for. parts: whose code ran, a sentence a module.
    """

    load: tuple[int, ...]
    desired: tuple[int, ...]
    instances: tuple[int, ...]
    waiting: tuple[int, ...]
    latency: tuple[float | None, ...]
    p50: float
    p95: float
    errors: int
    cold_starts: int
    instance_seconds: float
    parts: tuple[str, ...]


def course(
    load: Sequence[int],
    concurrency: int = 0,
    service: str = "0.1",
    start: str = "0.5",
    annotations: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Course:
    """Send a load to one Service of a platform with the learner's part in it.

    load: requests, second by second. concurrency: containerConcurrency, 0 for no limit. service, start: how
    long an answer and a start-up take, as `minirun simulate` has it: `0.1`, `exp:0.1`, `lognormal:0.1:0.5`.
    annotations: of the revision. Raises BenchError where the part fails.
    """
    case = {
        "load": list(load),
        "concurrency": concurrency,
        "service": service,
        "start": start,
        "annotations": dict(annotations or {}),
        "seed": seed,
    }
    places = [Path(each).resolve() for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
    drives = Drives("platform", places, stubs="", call_seconds=COURSE_SECONDS)
    answer = drives.course(case)
    if answer["faults"]:
        raise BenchError(f"your part raised in the platform: {_short(answer['faults'][0])}")
    answer["parts"] = [*map(_short, answer["parts"])]
    return msgspec.convert(answer, Course)


def _short(text: str) -> str:
    """A text that begins with a file's name, from the workshop's folder on."""
    return text.removeprefix(f"{labs.ROOT}{os.sep}")
