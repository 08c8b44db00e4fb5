"""The import overlay: a learner's symbols in the real platform, stubs stood in for."""

import os
import subprocess
import sys
from pathlib import Path

STUB = 'raise NotImplementedError("task 5.2")'
HEAD = "from minirun.autoscaling.spec import DeciderSpec\n"
SCALE = f"def scale(decider, now_ns, ready, metrics):\n    {STUB}\n"
OWN_BURST = "def excess_burst_capacity(spec: DeciderSpec, ready: int, panic: float) -> int:\n    return 42\n"
DECIDE = """
from minirun.autoscaling import decider
from minirun.autoscaling.spec import DeciderSpec
from minirun.overlay import PARTS
spec = DeciderSpec(target_value=1, target_burst_capacity=0)
try:
    print(decider.scale(decider.Decider(spec, 0, 1), 0, 1, (3.0, 1.0)))
except NotImplementedError as error:
    print("unwritten:", error)
print(*PARTS.values(), sep="\\n")
"""


def run(code: str, *folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    overlay = os.pathsep.join(map(str, folders))
    variables = {**os.environ, "MINIRUN_OVERLAY": overlay, **environment}
    return subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=variables
    )


def write(folder: Path, text: str) -> Path:
    path = folder / "autoscaling" / "decider.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder


def test_a_learners_function_is_called_and_a_stub_is_the_references(tmp_path: Path) -> None:
    said = run(DECIDE, write(tmp_path, HEAD + SCALE + OWN_BURST)).stdout.splitlines()
    assert said[0] == "ScaleResult(desired=3, excess_burst_capacity=42, valid=True)"
    assert said[1].endswith("decider.py: excess_burst_capacity (yours), scale (reference)")


def test_where_parts_are_judged_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path, HEAD + SCALE + OWN_BURST)
    code = "from minirun.autoscaling import decider; print(dir(decider)); decider.scale(None, 0, 1, None)"
    said = run(code, folder, MINIRUN_OVERLAY_STUBS="keep")
    assert "task 5.2" in said.stderr
    assert "Decider'" not in said.stdout


def test_what_a_file_leaves_out_is_the_references(tmp_path: Path) -> None:
    said = run(DECIDE, write(tmp_path, "# nothing yet\n")).stdout
    assert said.startswith("ScaleResult(desired=3, excess_burst_capacity=0, valid=True)")


def test_the_first_folder_that_has_a_file_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "first", HEAD + OWN_BURST)
    second = write(tmp_path / "second", HEAD + OWN_BURST.replace("42", "7"))
    assert "excess_burst_capacity=42" in run(DECIDE, first, second).stdout


def test_a_class_of_stubs_and_given_members_is_untouched_and_one_written_method_makes_it_the_learners(
    tmp_path: Path,
) -> None:
    stubs = f"class LinearWindow(BucketWindow):\n    def average(self, now_ns):\n        {STUB}\n"
    code = """
from minirun.autoscaling.windows import LinearWindow
window = LinearWindow(10_000_000_000)
window.record(0, 5.0)
print(window.average(0))
"""
    for number, (text, expected) in enumerate(((stubs, "5.0"), (stubs.replace(STUB, "return 9.0"), "9.0"))):
        path = tmp_path / str(number) / "autoscaling" / "windows.py"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        assert run(code, path.parents[1]).stdout.strip() == expected


def test_a_traceback_names_the_learners_own_line(tmp_path: Path) -> None:
    folder = write(tmp_path, HEAD + SCALE + OWN_BURST.replace("return 42", "return 1 // 0"))
    said = run(DECIDE, folder).stderr
    assert f'{folder / "autoscaling" / "decider.py"}", line 5, in excess_burst_capacity' in said
    assert "in scale" in said


def test_child_processes_inherit_the_parts(tmp_path: Path) -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {DECIDE!r}], check=True)"
    assert "excess_burst_capacity=42" in run(child, write(tmp_path, HEAD + OWN_BURST)).stdout
