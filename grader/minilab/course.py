"""A course of nbgrader, made from the labs: source notebooks and settings, no answer, no test.

A lab's notebook gets nbgrader's metadata: each `%%task` cell is a solution cell, and after a task comes a
locked cell that carries its points. Nothing is cut by nbgrader, as nothing but starters is in it, and nothing
is run by it: `trusted.py` grades outside of the notebook and puts the outcome into those cells.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

from minilab.labs import ROOT, Lab, LabError
from minilab.results import SCENARIO

FIGURE = "figure.svg"
SETTINGS = "nbgrader_config.py"
SCHEMA_VERSION = 3
NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]")

Cell = dict[str, object]

CONFIG = '''\
"""Settings of this course; made once by `lab course`, yours to edit. Run nbgrader in this folder."""

c = get_config()  # noqa: F821 - nbgrader gives it

c.CourseDirectory.course_id = "minirun"

# How submissions are graded. Keep the seed to yourself: the hidden checks draw their inputs from it.
c.TrustedOutputs.seed = {seed}
c.TrustedOutputs.runtime = "runc"  # or "runsc", which is gVisor
c.TrustedOutputs.base = {base!r}
c.TrustedOutputs.strict = False  # True: an error where there is no Docker, instead of grading unisolated

# The grade comes from outside of the notebook: TrustedOutputs stands where Execute would run the cells.
c.Autograde.autograde_preprocessors = [
    "minilab.trusted.TrustedOutputs",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.OverwriteCells.add_missing_cells = True

# The sources hold starters, so there is no solution to cut out of them.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
]
'''


def make(course: Path, labs: list[Lab], seed: int, base: str) -> list[Path]:
    """Write a course's sources, and its settings unless they are there; returns the files.

    seed: of the hidden checks. base: the image that the labs' images are built on. LabError inside the
    repository, where learners would be given what instructors write.
    """
    if course.resolve().is_relative_to(ROOT.resolve()):
        raise LabError(f"{course} is inside the repository, which learners have; give a folder outside of it")
    written = []
    for lab in labs:
        path = course / "source" / lab.id / f"{lab.id}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source(lab), encoding="utf-8")
        written.append(path)
    settings = course / SETTINGS
    if not settings.exists():
        settings.write_text(CONFIG.format(seed=seed, base=base), encoding="utf-8")
        written.append(settings)
    return written


def grade_id(task: str) -> str:
    """The id of the cell that carries the points of a task, as `task-5-1`."""
    return f"task-{task.replace('.', '-')}"


def source(lab: Lab) -> str:
    """The lab's notebook as nbgrader's source has it."""
    document = json.loads((lab.starter / f"{lab.id}.ipynb").read_text(encoding="utf-8"))
    figure = base64.b64encode((lab.starter / FIGURE).read_bytes()).decode()
    document["cells"] = [*_cells(lab, document["cells"], figure)]
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _cells(lab: Lab, cells: list[Cell], figure: str) -> Iterator[Cell]:
    points = {task.id: (task.title, task.points) for task in lab.tasks}
    for number, cell in enumerate(cells):
        task, file = _task_and_file(cell)
        if task:
            marks = _marks(NOT_IN_ID.sub("-", f"answer-{task}-{file}"), solution=True)
            yield cell | {"metadata": {**_metadata(cell), "nbgrader": marks}}
        else:
            yield _with_figure(cell, figure)
        following = _task_and_file(cells[number + 1])[0] if number + 1 < len(cells) else ""
        if task and task != following:
            yield _points_cell(task, *points.pop(task))
    if lab.scenario_points:
        points[SCENARIO] = ("what a client of the whole platform sees", lab.scenario_points)
    for task, (title, possible) in points.items():
        yield _points_cell(task, title, possible)


def _metadata(cell: Cell) -> dict[str, object]:
    metadata = cell["metadata"]
    assert isinstance(metadata, dict)
    return metadata


def _task_and_file(cell: Cell) -> tuple[str, str]:
    """The task and the file that a `%%task` cell is for; empty for other cells."""
    of = _metadata(cell).get("minilab", {})
    assert isinstance(of, dict)
    return str(of.get("task", "")), str(of.get("file", ""))


def _with_figure(cell: Cell, figure: str) -> Cell:
    """The cell with the figure inside, so that no file has to lie beside the notebook."""
    text = "".join(map(str, cell["source"] if isinstance(cell["source"], list) else []))
    if cell["cell_type"] != "markdown" or f"]({FIGURE})" not in text:
        return cell
    inside = text.replace(f"]({FIGURE})", f"](attachment:{FIGURE})")
    return cell | {"source": [inside], "attachments": {FIGURE: {"image/svg+xml": figure}}}


def _points_cell(task: str, title: str, points: int) -> Cell:
    text = (
        f"# {task} {title}: {points} points. Graded outside of this notebook; there is nothing to run here."
    )
    marks = _marks(grade_id(task), solution=False) | {"points": points}
    return {
        "cell_type": "code",
        "id": grade_id(task),
        "metadata": {"nbgrader": marks},
        "source": [text],
        "execution_count": None,
        "outputs": [],
    }


def _marks(name: str, *, solution: bool) -> dict[str, object]:
    """The metadata by which nbgrader knows a cell."""
    return {
        "grade": not solution,
        "grade_id": name,
        "locked": not solution,
        "schema_version": SCHEMA_VERSION,
        "solution": solution,
        "task": False,
    }
