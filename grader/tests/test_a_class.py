"""A class of twenty, graded and exported as an instructor does it; some of them hand in what they should not.

Docker is out of reach here, so that what runs does no harm; `test_hostile.py` has what does, in containers.
"""

import csv
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import hostile
import pytest

from minilab import gates, labs, submissions

LAB = labs.find("5").lab
MARKUP = "<img src=x onerror=alert(1)>"
ODD: dict[str, tuple[hostile.Build, frozenset[str]]] = {
    "anna": (hostile.write, hostile.ALL),
    "says markup": (hostile.in_scale(f"raise RuntimeError({MARKUP!r})"), hostile.BUT_SCALE),
    "tells what it was asked": (
        hostile.in_scale("raise NotImplementedError(f'SECRET {metrics}')"),
        hostile.BUT_SCALE,
    ),
    "leaves": (hostile.in_scale("raise SystemExit(0)"), hostile.BUT_SCALE),
    "ends itself": (hostile.in_scale("import os; os._exit(0)"), hostile.BUT_SCALE),
    "floods": (hostile.at_import("print('x' * 1_000_000)"), hostile.ALL),
    "no Python": (lambda folder: hostile.write(folder, decider="def scale(:\n"), hostile.HALF),
    "a surrogate": (hostile.in_scale("raise RuntimeError('\\ud800')"), hostile.BUT_SCALE),
    "=formula()": (hostile.write, hostile.ALL),
    "an empty folder": (lambda folder: folder.mkdir(parents=True), hostile.NONE),
    f"{MARKUP.replace('/', '')}": (hostile.write, hostile.ALL),
}
SIZE = 20
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    top = tmp_path_factory.mktemp("class")
    for name, (build, _) in ODD.items():
        build(top / "class" / name)
    planted = [(task, number, bug) for task in LAB.tasks for number, bug in enumerate(task.bugs)]
    for task, number, bug in planted[: SIZE - len(ODD)]:
        folder = top / "class" / f"bug {task.id} {number}"
        hostile.write(folder)
        gates.plant(task, bug, folder)
    command = [sys.executable, "-m", "minilab", "grade", top / "class", "--lab", "5", "--no-scenario"]
    away = os.environ | {"DOCKER_HOST": f"unix://{top}/no-docker.sock"}
    graded = subprocess.run(
        [*command, "-o", top / "out"], env=away, capture_output=True, text=True, check=False
    )
    assert graded.returncode == 0, graded.stderr
    return top / "out", graded.stdout


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "grades.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def whole(row: dict[str, str]) -> set[str]:
    """The tasks with all points."""
    return {task.id for task in LAB.tasks if float(row[task.id]) == task.points}


def test_all_twenty_are_graded_and_the_command_says_how(batch: tuple[Path, str]) -> None:
    out, said = batch
    assert len(rows(out)) == SIZE
    assert f"{SIZE} submissions, mean " in said
    assert "NOT ISOLATED" in said


def test_each_earns_what_it_deserves_and_a_planted_bug_costs_its_own_task(batch: tuple[Path, str]) -> None:
    found = {name.lstrip("'"): whole(row) for name, row in rows(batch[0]).items()}
    for name, (_, deserved) in ODD.items():
        assert found[submissions.NAME.sub("_", name)] == deserved, name
    bugs = [name for name in found if name.startswith("bug_")]
    assert len(bugs) == SIZE - len(ODD)
    for name in bugs:
        assert found[name] == hostile.ALL - {name.split("_")[1]}, name


def test_every_format_has_the_same_points(batch: tuple[Path, str]) -> None:
    out, _ = batch
    for name, row in rows(out).items():
        stem = name.lstrip("'")
        scored = json.loads((out / "gradescope" / f"{stem}.json").read_text(encoding="utf-8"))
        suites = ElementTree.parse(out / "junit" / f"{stem}.xml").getroot()
        points = [float(each.get("value", "")) for each in suites.iterfind(".//property[@name='points']")]
        assert float(row["points"]) == scored["score"] == pytest.approx(sum(points))
        assert sum(test["score"] for test in scored["tests"]) == pytest.approx(scored["score"], abs=0.02)
        assert (out / "html" / "learners" / f"{stem}.html").exists()


def test_no_output_holds_a_hidden_input_or_a_tag_of_a_learner(batch: tuple[Path, str]) -> None:
    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag != "img"

    out, _ = batch
    for path in (out / "html").rglob("*.html"):
        Tags().feed(path.read_text(encoding="utf-8"))
    leaker = json.loads((out / "results" / "tells_what_it_was_asked.json").read_text())
    assert not [check for check in leaker["checks"] if check["hidden"] and "SECRET" in check["message"]]


def test_every_output_says_that_it_was_not_isolated(batch: tuple[Path, str]) -> None:
    out, _ = batch
    written = [
        path for path in out.rglob("*") if path.is_file() and path.parent.name in ("gradescope", "junit")
    ]
    for path in [*written, *(out / "html").rglob("*.html"), out / "grades.csv"]:
        assert "NOT ISOLATED" in path.read_text(encoding="utf-8"), path
