"""The learner's loop, typed, in a workshop of its own and without any extra: `lab` must not need one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minilab import gates, labs, rehearsal

LAB = labs.find("1").lab
FIRST, SECOND, *_ = LAB.tasks
FILE = f"my/{LAB.id}/{FIRST.files[0]}"

WITHOUT_EXTRAS = """
import importlib.abc, sys
EXTRAS = ("jupyterlab matplotlib numpy nbformat nbclient IPython nbgrader testcontainers docker grpc google "
          "kubernetes").split()
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"{name} belongs to an extra", name=name)
sys.meta_path.insert(0, Blocked())
"""

Run = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = rehearsal.workshop(tmp_path / "clone")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    return place


@pytest.fixture
def variables(root: Path) -> dict[str, str]:
    return {**rehearsal.environment(root), "PYTHONPATH": str(root.parent)}


@pytest.fixture
def lab(root: Path, variables: dict[str, str]) -> Run:
    """Types `lab ...`, and returns what it prints; `status` is the exit status that is expected."""

    def run(*arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "minilab", *arguments]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=root.parent, env=variables
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return run


def test_begin_write_check_and_see_how_far_one_is(root: Path, lab: Run) -> None:
    assert f"made {FILE}" in lab("start", "1")
    assert "not written yet" in lab("check", FIRST.id, status=1)

    rehearsal.solve(LAB, root)
    said = lab("check", FIRST.id)
    passed = said.partition(" public checks")[0].rpartition("  ")[2]
    one, _of, other = passed.split()
    assert one == other
    assert "hidden checks" in said
    assert f"{FIRST.id} ✓  {SECOND.id} -" in lab("list")


def test_a_failed_check_says_what_was_called_what_came_what_was_expected_and_why(
    root: Path, lab: Run
) -> None:
    rehearsal.solve(LAB, root)
    gates.plant(FIRST, FIRST.bugs[0], root / "my" / LAB.id)
    said = lab("check", "1", status=1)
    for label in ("called ", "came ", "expected ", "because   invariant"):
        assert f"      {label}" in said
    assert f"next: `lab check {FIRST.id}`; stuck: `lab hint {FIRST.id}`" in said


def test_a_syntax_error_is_told_once_with_file_and_line(root: Path, lab: Run) -> None:
    lab("start", "1")
    (root / FILE).write_text("def environment(\n")
    said = lab("check", FIRST.id, status=1)
    assert said.count(f"{FILE}, line 1: def environment(") == 1
    assert "(as above: " in said


def test_a_task_that_needs_an_earlier_one_says_which(root: Path, lab: Run) -> None:
    lab("start", "5")
    path = root / "my" / "lab05" / "autoscaling" / "decider.py"
    calls = "return excess_burst_capacity(decider.spec, 1, 1.0)"
    path.write_text(path.read_text().replace('raise NotImplementedError("task 5.4")', calls))
    assert "it needs task 5.3, which is not written yet" in lab("check", "5.4", status=1)


def test_what_the_part_prints_is_shown_on_request(root: Path, lab: Run) -> None:
    rehearsal.solve(LAB, root)
    (root / FILE).write_text((root / FILE).read_text() + "\nprint('here I am')\n")
    assert "here I am" not in lab("check", FIRST.id)
    assert "here I am" in lab("check", FIRST.id, "--prints")


def test_a_missing_file_is_not_the_references(root: Path, lab: Run) -> None:
    lab("start", "1")
    (root / FILE).unlink()
    assert f"{FILE} is not there; `lab start 1` makes it" in lab("check", "1", status=1)


def test_hints_come_one_by_one(lab: Run) -> None:
    count = len(FIRST.hints)
    said = [lab("hint", FIRST.id) for _ in range(count + 1)]
    assert [text.partition(":")[0] for text in said[:count]] == [
        f"hint {n + 1} of {count}" for n in range(count)
    ]
    assert said[count - 1] == said[count]
    assert f"lab solution {FIRST.id} --give-up" in said[-1]


def test_the_solution_is_shown_to_whoever_passed_or_gives_up(root: Path, lab: Run) -> None:
    lab("start", "1")
    assert "--give-up" in lab("solution", FIRST.id, status=1)
    statement = "    return {**defaults, **own, **dict(spec.env), **contract}"
    assert statement in lab("solution", FIRST.id, "--give-up")
    rehearsal.solve(LAB, root)
    lab("check", FIRST.id)
    assert statement in lab("solution", FIRST.id)


def test_reset_keeps_a_backup_and_start_never_overwrites(root: Path, lab: Run) -> None:
    lab("start", "1")
    (root / FILE).write_text("# mine\n")
    assert "made" not in lab("start", "1")
    assert (root / FILE).read_text() == "# mine\n"
    backup = lab("reset", "1").split()[4]
    assert (root / backup / FIRST.files[0]).read_text() == "# mine\n"
    assert "NotImplementedError" in (root / FILE).read_text()


def test_handing_in_copies_the_files_of_the_lab_and_nothing_else(
    root: Path, tmp_path: Path, lab: Run
) -> None:
    lab("start", "1")
    (root / FILE).with_name("notes.txt").write_text("mine")
    lab("hand-in", "1", "--to", str(tmp_path / "shared"), "--name", "anna")
    handed_in = tmp_path / "shared" / "anna"
    files = {path.relative_to(handed_in).as_posix() for path in handed_in.rglob("*") if path.is_file()}
    assert files == set(LAB.files)
    assert "without slashes" in lab("hand-in", "1", "--to", str(tmp_path), "--name", "../x", status=1)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("check", "77"), "there is no lab '77'; give one of 0, 1"),
        (("check", "1.9"), "lab 1 has no task '1.9'; it has 1.1"),
        (("hint", "1"), "a hint is for one task; lab 1 has 1.1"),
        (("check", "5"), "`lab start 5` makes it"),
        (("check",), "no lab has been begun; `lab list` shows them"),
        (("reset", "1"), "`lab start 1` makes it"),
        (("run",), "which lab? give one that you have begun"),
        (("watch", "1"), "`lab start 1` makes it"),
    ],
)
def test_bad_input_is_one_sentence(lab: Run, typed: tuple[str, ...], said: str) -> None:
    error = lab(*typed, status=1)
    assert said in error
    assert error.count("\n") == 1


def test_damaged_progress_says_what_to_do(root: Path, lab: Run) -> None:
    (root / "my" / ".lab").mkdir(parents=True)
    (root / "my" / ".lab" / "progress.json").write_text("{")
    assert "delete it: only progress and hints are in it" in lab("list", status=1)


def test_watch_checks_again_at_each_save(root: Path, variables: dict[str, str]) -> None:
    rehearsal.solve(LAB, root)
    command = [sys.executable, "-m", "minilab", "watch", FIRST.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables, cwd=root) as watching:
        assert watching.stdout is not None
        assert "public checks" in watching.stdout.readline()
        gates.plant(FIRST, FIRST.bugs[0], root / "my" / LAB.id)
        assert any("because" in line for line in watching.stdout)
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()
    assert watching.returncode == 0


def test_run_is_the_platform_with_the_parts_of_all_labs_that_were_begun(
    root: Path, variables: dict[str, str]
) -> None:
    rehearsal.solve(LAB, root)
    anywhere = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--data-dir", str(root / "data")]
    command = [sys.executable, "-m", "minilab", "run", "--all-mine", *anywhere]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables, cwd=root) as running:
        assert running.stdout is not None
        assert "minirun is up" in running.stdout.readline()
        assert running.stdout.readline().strip().startswith(f"my/{LAB.id}/runtime/")
        running.send_signal(signal.SIGINT)
        running.stdout.read()
    assert running.returncode == 0


def test_doctor_finds_this_machine_fit_without_any_extra(lab: Run) -> None:
    said = lab("doctor")
    assert "✓ reference, lab 1" in said
    assert "fit for the labs" in said


def test_doctor_fails_where_nothing_can_be_written(root: Path, lab: Run) -> None:
    (root / "my").symlink_to("/proc")
    said = lab("doctor", status=1)
    assert "✗ your folder" in said
    assert os.fspath(root) in said
