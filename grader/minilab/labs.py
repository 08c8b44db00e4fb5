"""What a lab is: its folder under `solutions/`, its `lab.toml`, its tasks.

`lab.toml` is the only place where a lab is declared: title, minutes, tasks and the symbols of `minirun` that
each asks for, points, hints, planted bugs. All else (starter, notebook, README, grades) is made from it, from
the chapter `lab.md` and from the reference.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

ROOT = Path(os.environ.get("MINILAB_ROOT") or Path(__file__).parents[2])
REFERENCE = ROOT / "reference_impl" / "minirun"
SOLUTIONS, LABS, MY = ROOT / "solutions", ROOT / "labs", ROOT / "my"
ANSWERS = "answers.toml"
HIDDEN = ROOT / "grader" / "hidden"


class LabError(Exception):
    """What a person gave that can't be: the text says what it was, what is allowed and what to do."""


class Bug(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A planted bug: a text of the reference that is replaced; some public check of its task must fail.

    `file` is the reference's file below `minirun/`; that of the task's first symbol if it is left out.
    """

    name: str
    find: str
    replace: str
    file: str = ""


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One task.

    symbols: what the learner writes, as `autoscaling.decider:scale`. answers: instead, the keys to be filled
    in, of the lab's `answers.toml`. given: by symbol (a class), the members that stay in the starter.
    drop: helpers that are part of the answer and are not in the starter at all.
    """

    id: str
    title: str
    minutes: int
    points: int = 0
    symbols: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    given: dict[str, tuple[str, ...]] = {}
    drop: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    bugs: tuple[Bug, ...] = ()

    @property
    def files(self) -> list[str]:
        """The files that it edits, below the lab's folder, as the platform's package has them."""
        answers = [ANSWERS] if self.answers else []
        return answers + list(dict.fromkeys(file_of(symbol) for symbol in self.symbols))


class Lab(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One lab as its `lab.toml` has it.

    minutes: all of it, in class. reading: the part that is neither task nor experiment, by what it is.
    tier: what it needs beside Python: `laptop` (nothing), `docker`, `cloud`. needs: extras of the package.
    scenario_points: for what a client of the whole platform sees, in a grade.
    """

    number: int
    title: str
    summary: str
    minutes: int
    topic: str
    reading: dict[str, int]
    tier: str = "laptop"
    needs: tuple[str, ...] = ()
    scenario_points: int = 0
    tasks: tuple[Task, ...] = ()

    @property
    def id(self) -> str:
        """`lab05`: the learner's folder under `my/`."""
        return f"lab{self.number:02}"

    @property
    def name(self) -> str:
        """`lab05_autoscaler`: the folder under `solutions/` and `labs/`."""
        return f"{self.id}_{self.topic}"

    @property
    def source(self) -> Path:
        return SOLUTIONS / self.name

    @property
    def solved(self) -> list[Path]:
        """The overlay that solves it, beside the reference: answers, where it asks for them."""
        return [self.source] if (self.source / ANSWERS).exists() else []

    @property
    def starter(self) -> Path:
        return LABS / self.name

    @property
    def checks(self) -> Path:
        """The public checks."""
        return self.source / f"test_{self.id}.py"

    @property
    def hidden_checks(self) -> Path:
        """The checks that a grade is made of beside the public ones; nobody is shown them."""
        return HIDDEN / f"test_{self.id}_hidden.py"

    @property
    def files(self) -> list[str]:
        """The files that a learner edits, in the order of the tasks."""
        return list(dict.fromkeys(file for task in self.tasks for file in task.files))

    @property
    def points(self) -> int:
        return sum(task.points for task in self.tasks) + self.scenario_points

    @property
    def scenario(self) -> Path:
        """The checks of what a client sees of the whole platform with the learner's part in it."""
        return HIDDEN / f"scenario_{self.id}.py"

    def task(self, task_id: str) -> Task:
        for task in self.tasks:
            if task.id == task_id:
                return task
        known = ", ".join(task.id for task in self.tasks) or "none"
        raise LabError(f"lab {self.number} has no task {task_id!r}; it has {known}")


def file_of(symbol: str) -> str:
    """`autoscaling.decider:scale` → `autoscaling/decider.py`."""
    return symbol.partition(":")[0].replace(".", "/") + ".py"


def name_of(symbol: str) -> str:
    """`autoscaling.decider:scale` → `scale`."""
    return symbol.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command was given, as in `lab check 5.2`: a lab, and one of its tasks or none."""

    lab: Lab
    task: Task | None


def read(folder: Path) -> Lab:
    """The lab in a folder of `solutions/`; LabError says what is wrong with its `lab.toml`."""
    path = folder / "lab.toml"
    try:
        lab = msgspec.toml.decode(path.read_bytes(), type=Lab)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise LabError(f"{path}: {error}") from None
    if lab.name != folder.name:
        raise LabError(
            f"{path} says number {lab.number} and topic {lab.topic!r}: its folder must be {lab.name}"
        )
    return lab


def all_labs() -> list[Lab]:
    """All labs, by number; LabError where there is no workshop."""
    folders = sorted(SOLUTIONS.glob("lab[0-9][0-9]_*"))
    if not folders:
        raise LabError(f"there are no labs in {SOLUTIONS}; run `lab` from a clone of the minirun repository")
    return [read(folder) for folder in folders]


def find(text: str) -> Asked:
    """What `5`, `05`, `lab05`, `lab05_autoscaler` or `5.2` mean."""
    number, _, _ = text.removeprefix("lab").partition("_")[0].partition(".")
    labs = all_labs()
    for lab in labs:
        if number.isdigit() and int(number) == lab.number:
            return Asked(lab, lab.task(f"{lab.number}.{text.partition('.')[2]}") if "." in text else None)
    known = ", ".join(str(lab.number) for lab in labs)
    raise LabError(f"there is no lab {text!r}; give one of {known}, or a task as in 5.2")


def symbols(lab: Lab) -> Iterator[tuple[Task, str]]:
    """Each symbol that a lab asks for, and its task."""
    return ((task, symbol) for task in lab.tasks for symbol in task.symbols)
