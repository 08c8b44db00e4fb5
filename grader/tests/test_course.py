"""A course of nbgrader: its own commands run on it, and what is known to go wrong with it does not.

Docker is out of reach here, so that the grades are the same on every machine; they say so.
"""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from minilab import labs
from minilab.cli import cli
from minilab.cutting import answer
from minilab.labs import file_of, name_of

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install 'minirun[grader]'")

LAB = labs.find("5").lab
NOISE = "\n\nclass Noise:\n    import sys\n    print('a warning', file=sys.stderr)\n"
SCRIPT = "<script>alert('mine')</script>"


def solved(cell: dict[str, object], task_id: str, file: str) -> None:
    task, source = LAB.task(task_id), (labs.REFERENCE / file).read_text(encoding="utf-8")
    names = [name_of(symbol) for symbol in (*task.drop, *task.symbols) if file_of(symbol) == file]
    cell["source"] = f"%%task {task_id} {file}\n{answer(source, names)}"


def cells_of(text: str) -> tuple[dict[str, object], list[dict[str, object]]]:
    notebook = json.loads(text)
    return notebook, notebook["cells"]


def reference(text: str) -> str:
    """All tasks answered, by code that also writes to standard error."""
    notebook, cells = cells_of(text)
    for cell in cells:
        metadata = cell["metadata"]
        assert isinstance(metadata, dict)
        if of := metadata.get("minilab"):
            solved(cell, of["task"], of["file"])
            cell["source"] = f"{cell['source']}{NOISE}" if of["task"] == "5.1" else cell["source"]
    return json.dumps(notebook)


def forger(text: str) -> str:
    """Nothing answered; outputs, points and ids made up, and a script for whoever looks at it."""
    notebook, cells = cells_of(text)
    wrong = {
        "output_type": "execute_result",
        "data": {"text/plain": "20.0"},
        "metadata": {},
        "execution_count": 1,
    }
    for cell in cells:
        metadata = cell["metadata"]
        assert isinstance(metadata, dict)
        if metadata.get("nbgrader", {}).get("grade"):
            metadata["nbgrader"]["points"] = 0
            cell["source"], cell["outputs"] = "20.0", [wrong]
    cells.append({"cell_type": "markdown", "id": "mine", "metadata": {}, "source": SCRIPT})
    return json.dumps(notebook)


def without_points(text: str) -> str:
    """All tasks answered, and the cells that carry the points deleted."""
    notebook, cells = cells_of(reference(text))
    notebook["cells"] = [cell for cell in cells if not str(cell["id"]).startswith("task-")]
    return json.dumps(notebook)


LEARNERS: dict[str, Callable[[str], str]] = {
    "forger": forger,
    "reference": reference,
    "starter": lambda text: text,
    "without-points": without_points,
}


def nbgrader(course: Path, *arguments: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {
        "PATH": path, "HOME": str(course.parent), "DOCKER_HOST": f"unix://{course}/no-docker.sock",
    }  # fmt: skip
    done = subprocess.run(
        ["nbgrader", *arguments], cwd=course, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("nbgrader") / "course"
    done = CliRunner().invoke(cli, ["course", str(place)])
    assert done.exit_code == 0, done.output
    nbgrader(place, "generate_assignment", LAB.id)
    released = (place / "release" / LAB.id / f"{LAB.id}.ipynb").read_text(encoding="utf-8")
    for name, change in LEARNERS.items():
        folder = place / "submitted" / name / LAB.id
        folder.mkdir(parents=True)
        (folder / f"{LAB.id}.ipynb").write_text(change(released), encoding="utf-8")
        (folder / "notes.txt").write_text("mine")
    nbgrader(place, "autograde", LAB.id)
    nbgrader(place, "generate_feedback", LAB.id)
    nbgrader(place, "export")
    return place


def grades(course: Path) -> dict[str, float]:
    with (course / "grades.csv").open(newline="") as file:
        return {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}


def feedback(course: Path, name: str) -> str:
    return (course / "feedback" / name / LAB.id / f"{LAB.id}.html").read_text(encoding="utf-8")


def test_points_of_our_driver_land_in_the_gradebook(course: Path) -> None:
    assert set(grades(course)) == set(LEARNERS)


def test_right_code_that_writes_to_standard_error_keeps_its_points(course: Path) -> None:
    assert grades(course)["reference"] == LAB.points


def test_a_notebook_without_any_output_earns_nothing(course: Path) -> None:
    assert grades(course)["starter"] == 0


def test_outputs_and_points_that_a_learner_wrote_count_for_nothing(course: Path) -> None:
    assert grades(course)["forger"] == 0


def test_cells_of_points_that_were_deleted_come_back(course: Path) -> None:
    assert grades(course)["without-points"] == LAB.points


def test_no_hidden_check_is_released_or_fed_back(course: Path) -> None:
    names = re.findall(r"^def (test_\w+)", LAB.hidden_checks.read_text(encoding="utf-8"), re.MULTILINE)
    assert names
    shown = [*(course / "release").rglob("*.*"), *(course / "feedback").rglob("*.html")]
    for path in shown:
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], path


def test_sources_are_notebooks_alone_so_no_file_of_a_learner_is_overwritten(course: Path) -> None:
    assert {path.suffix for path in (course / "source").rglob("*") if path.is_file()} == {".ipynb"}
    assert (course / "autograded" / "starter" / LAB.id / "notes.txt").read_text() == "mine"


def test_no_answer_is_in_the_course(course: Path) -> None:
    for task in LAB.tasks:
        for file in task.files:
            source = (labs.REFERENCE / file).read_text(encoding="utf-8")
            names = [name_of(symbol) for symbol in task.symbols if file_of(symbol) == file]
            long = [
                line.strip() for line in answer(source, names).splitlines() if line.startswith("        ")
            ]
            statements = [line for line in long if line.startswith("return ") and len(line) > 30]
            for path in [*(course / "source").rglob("*.ipynb"), *(course / "release").rglob("*.ipynb")]:
                text = path.read_text(encoding="utf-8")
                assert not [line for line in statements if line in text], path


def test_feedback_names_behaviours_says_not_isolated_and_runs_no_script_of_a_learner(course: Path) -> None:
    page = feedback(course, "forger")
    assert "NOT ISOLATED" in page
    assert "(hidden check)" in page
    assert SCRIPT not in page


def test_a_second_autograde_keeps_what_has_not_changed(course: Path) -> None:
    kept = course / "results" / LAB.id / "results" / "reference.json"
    before = kept.stat().st_mtime_ns
    nbgrader(course, "autograde", LAB.id, "--student", "reference", "--force")
    assert kept.stat().st_mtime_ns == before
    assert grades(course)["reference"] == LAB.points


def test_settings_that_are_there_are_kept(course: Path) -> None:
    settings = (course / "nbgrader_config.py").read_text()
    assert CliRunner().invoke(cli, ["course", str(course)]).exit_code == 0
    assert (course / "nbgrader_config.py").read_text() == settings


def test_a_course_inside_the_repository_is_refused() -> None:
    done = CliRunner().invoke(cli, ["course", str(labs.ROOT / "my" / "course")])
    assert done.exit_code == 1
    assert "is inside the repository, which learners have; give a folder outside of it" in done.output
    assert not (labs.ROOT / "my" / "course").exists()
