"""What grading a submission came to: one JSON file each, from which every output is made."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from minilab.labs import Lab, LabError

SCENARIO = "scenario"
"""The row of the scenario stage among the tasks."""
NOT_ISOLATED = "NOT ISOLATED: the code ran as the grader's own user, without a container; for practice only."
"""What every output of such a result says."""


class CheckResult(msgspec.Struct, frozen=True):
    """One check. `message` may be shown to the learner: a hidden check's says nothing of its inputs."""

    task: str
    name: str
    behaviour: str
    hidden: bool
    passed: bool
    message: str = ""


class TaskResult(msgspec.Struct, frozen=True):
    """One task: its checks, and the points that they earned, in proportion."""

    id: str
    title: str
    points: float
    possible: int
    passed: int
    checks: int


class Result(msgspec.Struct, frozen=True):
    """One submission of one lab.

    digest: of all that decides on the grade; the same digest is the same grade, but for chance. runtime: what
    ran the code, `runc`, `runsc` or `process`, which is not isolated. seconds: of the wall, of which
    container_seconds went into starting and ending containers. notes: what was odd about the submission.
    """

    name: str
    lab: int
    title: str
    seed: int
    digest: str
    runtime: str
    isolated: bool
    seconds: float
    container_seconds: float
    tasks: tuple[TaskResult, ...]
    checks: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        return round(sum(task.points for task in self.tasks), 2)

    @property
    def possible(self) -> int:
        return sum(task.possible for task in self.tasks)

    @property
    def percent(self) -> float:
        return 100 * self.points / self.possible if self.possible else 0.0

    def of(self, task: TaskResult) -> list[CheckResult]:
        """The checks of one of its tasks."""
        return [check for check in self.checks if check.task == task.id]


def writable(text: str) -> str:
    """A text of a learner's without lone surrogates, which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode()


def tasks_of(lab: Lab, checks: Iterable[CheckResult]) -> tuple[TaskResult, ...]:
    """Each task's points: its possible points times the share of its checks that passed."""
    found = list(checks)
    rows = [(task.id, task.title, task.points) for task in lab.tasks]
    if any(check.task == SCENARIO for check in found):
        rows.append((SCENARIO, "What a client sees", lab.scenario_points))
    results = []
    for task_id, title, possible in rows:
        own = [check for check in found if check.task == task_id]
        passed = sum(check.passed for check in own)
        points = round(possible * passed / len(own), 2) if own else 0.0
        results.append(TaskResult(task_id, title, points, possible, passed, len(own)))
    return tuple(results)


def path_of(out: Path, name: str) -> Path:
    """Where the result of a submission is."""
    return out / "results" / f"{name}.json"


def save(result: Result, out: Path) -> None:
    """Write a result so that it is there whole or not at all."""
    path = path_of(out, result.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))
    os.replace(draft, path)


def load(path: Path) -> Result:
    """A result; LabError if the file is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError) as error:
        raise LabError(f"{path} is not a result of `lab grade`: {error}") from None


def load_all(out: Path) -> list[Result]:
    """All results in a folder, by name; LabError if there are none."""
    results = [load(path) for path in sorted((out / "results").glob("*.json"))]
    if not results:
        raise LabError(f"{out} holds no results; give the folder that `lab grade -o` wrote")
    return results
