"""A class of hostile and broken submissions: each earns what it deserves, and none stops the batch."""

import os
import subprocess
import sys
from pathlib import Path

import hostile
import pytest

from minilab import gates, grading, labs, submissions
from minilab.results import Result, load_all

SCENARIO = False


def grade(folder: Path, out: Path, runtime: str) -> dict[str, Result]:
    from minilab import container, images

    lab = labs.find("5").lab
    name, digest = images.ensure(lab, base_image(), print)
    terms = grading.Terms(5, grading.new_seed(), runtime, name, digest, SCENARIO)
    for _ in grading.grade_all(submissions.find(folder, lab), terms, out, jobs=2, resume=False):
        pass
    assert container.sweep() == 0
    return {result.name: result for result in load_all(out)}


def base_image() -> str:
    """A base image for the containers: one that is there, or one made from this machine's Python."""
    from minilab.container import client

    engine = client()
    for name in (f"python:3.{sys.version_info.minor}-slim", "minirun/base:tests"):
        if engine.images.list(name):
            return name
    subprocess.run([sys.executable, labs.ROOT / "cluster/images/base", "minirun/base:tests"], check=True)
    return "minirun/base:tests"


def need(runtime: str) -> None:
    """Skips where a runtime is missing; but where CI says that it must not, fails."""
    from minilab import container

    try:
        missing = "" if runtime in container.runtimes() else f"Docker has no runtime {runtime}"
    except labs.LabError as error:
        missing = str(error)
    if missing and os.environ.get("CI") and (runtime == "runc" or os.environ.get("MINILAB_RUNSC")):
        pytest.fail(f"must not be skipped here: {missing}")
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="module", params=["runc", "runsc"])
def graded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    need(request.param)
    folder = tmp_path_factory.mktemp("class")
    for name, (build, _) in hostile.SUBMISSIONS.items():
        build(folder / name)
    return grade(folder, tmp_path_factory.mktemp("out"), request.param)


@pytest.mark.docker
@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", hostile.SUBMISSIONS)
def test_each_earns_what_it_deserves(graded: dict[str, Result], name: str) -> None:
    result = graded[name.replace(" ", "_")]
    full = {task.id for task in result.tasks if task.passed == task.checks}
    failed = [check for check in result.checks if not check.passed]
    assert full == hostile.SUBMISSIONS[name][1], failed[:3]


@pytest.mark.docker
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_each_planted_bug_loses_its_task_and_no_other(tmp_path: Path) -> None:
    need("runc")
    lab, owner = labs.find("5").lab, {}
    for task in lab.tasks:
        for number, bug in enumerate(task.bugs):
            hostile.write(tmp_path / "class" / f"{task.id}-{number}")
            gates.plant(task, bug, tmp_path / "class" / f"{task.id}-{number}")
            owner[f"{task.id}-{number}"] = task.id
    results = grade(tmp_path / "class", tmp_path / "out", "runc")
    lost = {name: {t.id for t in r.tasks if t.passed < t.checks} for name, r in results.items()}
    assert lost == {name: {task} for name, task in owner.items()}
