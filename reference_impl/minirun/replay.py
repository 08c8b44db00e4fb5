"""Replay of recorded behaviour: the same input, the same answer, to the last digit.

A vector file holds cases that were recorded from Knative's own code, one JSON object a line. A room's replay
takes a case and yields, step by step, what was given, what came and what was expected; `replay_file` compares
them and tells how many steps differ, and what came instead of what. The kind of a case is told by its shape,
so a file may hold cases of several kinds.
"""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # the lines are JSON of many shapes

from minirun.activation.replay import replay_decision, replay_throttler
from minirun.autoscaling.replay import (
    replay_decider_spec,
    replay_lifecycle,
    replay_scale,
    replay_scaler,
    replay_smoothing,
    replay_windows,
)
from minirun.concurrency.replay import replay_breaker, replay_reqstats

Case = Mapping[str, Any]
Replay = Callable[[Case], Iterator[tuple[object, Case, Case]]]  # given, came, expected
SHOWN = 5  # differences that a report prints

# What replays a case, by its `kind` or else by the first key here that it has.
_REPLAYS: dict[str, Replay] = {
    "linear": replay_windows,
    "weighted": replay_windows,
    "max": replay_windows,
    "decider": replay_decider_spec,
    "scale": replay_scaler,
    "lifecycle": replay_lifecycle,
    "capacity": replay_decision,
    "assign": replay_decision,
    "subset": replay_decision,
    "throttler": replay_throttler,
    "coeff": replay_smoothing,
    "steps": replay_scale,
    "queueDepth": replay_breaker,
    "ops": replay_reqstats,
}
_ENDS_AT_DIFFERENCE = (replay_breaker, replay_throttler)  # ids of requests would no longer mean the same


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
    for place, case in _cases(path):
        marks = (case.get("kind"), *case)
        replay = next((replay for mark, replay in _REPLAYS.items() if mark in marks), None)
        if replay is None:
            raise ReplayError(f"{place}: a case of unknown shape; give a file of the vectors' formats")
        _replay_case(replay, case, report)
    return report


def _replay_case(replay: Replay, case: Case, report: ReplayReport) -> None:
    name = case.get("id", case.get("kind", "case"))
    try:
        for number, (given, came, expected) in enumerate(replay(case)):
            report.steps += 1
            wrong = [
                f"{key}: came {value!r}, expected {expected.get(key)!r}"
                for key, value in came.items()
                if value != expected.get(key)
            ]
            if wrong:
                report.differences.append(f"{name} step {number}, given {given}: {'; '.join(wrong)}")
                if replay in _ENDS_AT_DIFFERENCE:
                    return
    except Exception as error:
        report.steps += 1
        report.differences.append(f"{name}: raised {type(error).__name__}: {error}")


def _cases(path: Path) -> Iterator[tuple[str, Case]]:
    """Each case, and its place for messages."""
    place = str(path)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                place = f"{path}, line {number}"
                if line.strip():
                    case = json.loads(line)
                    if not isinstance(case, dict):
                        raise ReplayError(f"{place}: a JSON object is expected on each line")
                    yield place, case
    except json.JSONDecodeError as error:
        raise ReplayError(f"{place}: not JSON ({error}); one JSON object is expected on each line") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ReplayError(
            f"{path} can't be read ({error}); give a .json, .jsonl or .jsonl.gz file"
        ) from error
