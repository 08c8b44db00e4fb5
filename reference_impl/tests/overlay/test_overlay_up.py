"""`minirun up --overlay`: the real platform with a learner's part in it."""

import subprocess
import sys
from pathlib import Path

import pytest
from liveplatform import running

RAISES = "def scale(decider, now_ns, ready, metrics):\n    return 1 // 0\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "autoscaling" / "decider.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder


def test_it_says_whose_parts_are_in_it_and_outlives_one_that_raises(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", RAISES)
    with running(tmp_path / "data", "--overlay", str(folder)) as platform:
        assert platform.process is not None
        assert platform.process.stdout is not None
        path = folder / "autoscaling" / "decider.py"
        assert platform.process.stdout.readline().strip() == f"{path}: scale (yours)"

        platform.minirun("deploy", "hello", "--image", "hello")
        log = tmp_path / "data" / "logs" / "platform.log"
        platform.wait_until(lambda: log.read_text().count("the autoscaler failed") >= 2)
        assert platform.get("hello").status_code == 200
        said = (tmp_path / "platform.stderr").read_text()
        assert f"in your part: {path}, line 2, in scale: return 1 // 0: ZeroDivisionError" in said
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def scale(decider)\n    pass\n", "decider.py, line 1: SyntaxError: expected ':'"),
        ("\nLIMIT = limit\n", "decider.py, line 2, in <module>: LIMIT = limit: NameError"),
        ("import minirun.nothing\n", "decider.py, line 1, in <module>: import minirun.nothing: ModuleNot"),
    ],
)
def test_a_file_that_is_no_python_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    error = refused(write(tmp_path, text))
    assert said in error
    assert error.count("\n") == 1


def test_a_folder_without_a_part_is_one_sentence(tmp_path: Path) -> None:
    assert "has no part of minirun" in refused(tmp_path)


def refused(folder: Path) -> str:
    command = [sys.executable, "-m", "minirun", "up", "--overlay", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr
