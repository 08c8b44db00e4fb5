"""Replay of recorded behaviour: the same input, the same answer, to the last digit.

A vector file holds cases that were recorded from Knative's own code, one JSON object a line. `replay_file`
runs each case through minirun's parts and tells how many steps differ, and what came instead of what. The
kind of a case is told by its shape, so a file may hold cases of several kinds.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast  # the lines are JSON of many shapes

Case = dict[str, Any]
Replay = Callable[[Case], tuple[int, list[str]]]

SHOWN = 5  # differences that a report prints

# The shape of a case -> what replays it. The first line that holds decides.
_KINDS: tuple[tuple[Callable[[Case], bool], str, str], ...] = (
    (lambda case: "coeff" in case, "minirun.autoscaling.replay", "replay_smoothing"),
    (
        lambda case: case.get("kind") in ("linear", "weighted", "max"),
        "minirun.autoscaling.replay",
        "replay_windows",
    ),
    (
        lambda case: case.get("kind") in ("decider", "scale", "lifecycle"),
        "minirun.autoscaling.replay",
        "replay_kpa",
    ),
    (
        lambda case: case.get("kind") in ("capacity", "assign", "subset", "throttler"),
        "minirun.activation.replay",
        "replay_throttler",
    ),
    (lambda case: "steps" in case and "spec" in case, "minirun.autoscaling.replay", "replay_scale"),
    (lambda case: "queueDepth" in case, "minirun.concurrency.replay", "replay_breaker"),
    (lambda case: "ops" in case, "minirun.concurrency.replay", "replay_reqstats"),
)


class ReplayError(ValueError):
    """A file that can't be replayed. The text names the file, the line and what was expected."""


@dataclass(slots=True)
class ReplayReport:
    """What a replay found: the steps that were checked, and one sentence for each that differs."""

    name: str
    steps: int = 0
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shown = [f"  {difference}" for difference in self.differences[:SHOWN]]
        if len(self.differences) > SHOWN:
            shown.append(f"  ... and {len(self.differences) - SHOWN} more")
        return "\n".join([f"{self.name}: {self.steps} steps, {len(self.differences)} differ", *shown])


def replay_file(path: Path | str) -> ReplayReport:
    """Replay every case of a vector file.

    path: a .json, .jsonl or .jsonl.gz file. A case whose replay raises counts as one step that differs.
    Raises ReplayError if the file can't be read, is not JSON, or holds a case of no known shape.
    """
    path = Path(path)
    report = ReplayReport(path.name.removesuffix(".gz"))
    for number, case in _cases(path):
        replay = _replay_of(case)
        if replay is None:
            raise ReplayError(
                f"{path}, line {number}: a case of unknown shape; give a file of the vectors' formats"
            )
        try:
            steps, differences = replay(case)
        except Exception as error:
            steps, differences = (
                1,
                [f"{case.get('id', f'line {number}')}: raised {type(error).__name__}: {error}"],
            )
        report.steps += steps
        report.differences += differences
    return report


def _cases(path: Path) -> Iterator[tuple[int, Case]]:
    number = 0
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else open(path, encoding="utf-8") as lines
        ):
            for number, line in enumerate(lines, 1):
                if line.strip():
                    case = json.loads(line)
                    if not isinstance(case, dict):
                        raise ReplayError(f"{path}, line {number}: a JSON object is expected on each line")
                    yield number, case
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ReplayError(
            f"{path} can't be read ({error}); give a .json, .jsonl or .jsonl.gz file"
        ) from error
    except json.JSONDecodeError as error:
        raise ReplayError(
            f"{path}, line {number}: not JSON ({error}); one JSON object is expected on each line"
        ) from error


def _replay_of(case: Case) -> Replay | None:
    for holds, module, function in _KINDS:
        if holds(case):
            return cast(Replay, getattr(import_module(module), function))
    return None
