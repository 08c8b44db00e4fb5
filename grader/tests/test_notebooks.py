"""Notebooks: a cell goes into the file by symbol, never over other work; benches measure what is saved."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minilab import cells, labs, rehearsal

LABS = labs.all_labs()
FILE = '''"""The module."""

import math

LIMIT = 7


# Why it is so.
def need(load):
    raise NotImplementedError("task 9.1")


@decorated
class Box:
    size = 1
'''


def splice(cell: str, file: str = FILE) -> str:
    return cells.splice(file, cell, "file.py")


def test_a_definition_is_replaced_in_its_place_and_all_else_stays_to_the_byte() -> None:
    stub = 'def need(load):\n    raise NotImplementedError("task 9.1")\n'
    assert splice("def need(load):\n    return load\n") == FILE.replace(
        stub, "def need(load):\n    return load\n"
    )


def test_a_cells_comments_take_the_place_of_the_files() -> None:
    made = splice("# Because.\ndef need(load):\n    return 1\n")
    assert "# Because.\ndef need(load):\n    return 1\n\n\n@decorated" in made
    assert "Why" not in made
    assert splice("# Because.\ndef need(load):\n    return 1\n", made) == made


def test_a_decorator_belongs_to_its_definition() -> None:
    assert splice("@other\nclass Box:\n    pass\n").endswith("\n\n\n@other\nclass Box:\n    pass\n")


def test_a_helper_stands_before_what_uses_it_and_an_import_after_the_files() -> None:
    made = splice("import ast\nimport math\n\nHALF = 2\n\ndef need(load):\n    return HALF\n")
    assert "import math\nimport ast\n\nLIMIT = 7\n" in made
    assert "\n\n\nHALF = 2\n\n\n# Why it is so.\ndef need(load):\n    return HALF\n" in made
    assert splice("HALF = 3\n", made) == made.replace("HALF = 2", "HALF = 3")


def test_what_the_file_lost_comes_back_at_its_end() -> None:
    assert splice("def lost():\n    return 1\n") == FILE + "\n\ndef lost():\n    return 1\n"


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("last", [True, False], ids=["whole last line", "cut last line"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "byte order mark"])
def test_line_ends_and_the_mark_at_the_start_stay(end: str, last: bool, mark: str) -> None:
    file = mark + FILE.replace("\n", end)
    made = splice("class Box:\n    size = 2\n", file if last else file.removesuffix(end))
    expected = file.replace(f"@decorated{end}", "").replace("size = 1", "size = 2")
    assert made == (expected if last else expected.removesuffix(end))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("def need(:\n    pass\n", "the cell, line 1: def need(:"),
        ("def need(load):\n    return 1\n\nprint(need(3))\n", "`print(need(3))` needs its own cell"),
        ("x = '\0'\n", "the cell"),
    ],
)
def test_a_cell_that_holds_something_else_is_one_sentence(cell: str, said: str) -> None:
    with pytest.raises(cells.CellError) as error:
        cells.defined(cell)
    assert said in str(error.value)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_a_notebook_is_valid_and_has_stable_ids_and_no_outputs(lab: labs.Lab) -> None:
    nbformat = pytest.importorskip("nbformat")
    text = (lab.starter / f"{lab.id}.ipynb").read_text(encoding="utf-8")
    nbformat.validate(json.loads(text))
    code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    ids = [cell["id"] for cell in json.loads(text)["cells"]]
    assert ids == [f"{lab.id}-{number:03}" for number in range(len(ids))]


LAB = labs.find("5").lab
HEAD = "autoscaling/decider.py"
GOOD = """def excess_burst_capacity(spec, ready, panic):
    burst = spec.target_burst_capacity
    if burst <= 0:
        return -1 if burst else 0
    return floor(ready * spec.total_value - burst - panic)
"""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rehearsal.workshop(tmp_path_factory.mktemp("workshop") / "clone")


@pytest.fixture(scope="module")
def run(root: Path) -> Iterator[Run]:
    """Runs a cell in a real kernel, and returns what it prints; `fails`: it must end in an error."""
    manager = pytest.importorskip("jupyter_client.manager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel, client = manager.start_new_kernel(env=rehearsal.environment(root), cwd=str(root))

    def run_cell(source: str, *, fails: bool = False) -> str:
        said: list[str] = []

        def hear(message: dict[str, object]) -> None:
            content = message["content"]
            assert isinstance(content, dict)
            said.extend(str(content[key]) for key in ("text", "evalue", "data") if key in content)

        reply = client.execute_interactive(source, timeout=60, output_hook=hear)
        said += [f"next cell: {each['text']}" for each in reply["content"].get("payload", [])]
        assert (reply["content"]["status"] == "error") is fails, said
        return "\n".join(said)

    run_cell("%load_ext minilab.magic\n%lab 5")
    yield run_cell
    client.stop_channels()
    kernel.shutdown_kernel(now=True)


@pytest.fixture
def file(root: Path) -> Path:
    """The learner's file, as it was at the start, and nothing noted about it."""
    path = root / "my" / LAB.id / HEAD
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((LAB.starter / HEAD).read_bytes())
    (root / "my" / ".lab" / "cells.json").unlink(missing_ok=True)
    return path


def test_a_cell_is_written_and_checked_and_the_kernel_has_it_at_once(run: Run, file: Path) -> None:
    said = run(f"%%task 5.3 {HEAD}\n{GOOD}")
    assert "3 of 3 public checks" in said
    assert GOOD in file.read_text()
    burst = '{"spec": {"targetBurstCapacity": 200, "totalValue": 100}, "steps": [[3, 40.5]]}'
    ask = f"from minilab.drives import lab05\nprint(lab05.burst({burst}))"
    assert run(ask) == "[59]\n"
    run(f"%%task 5.3 {HEAD}\n{GOOD.replace('floor(', '7 + floor(')}")
    assert run(ask) == "[66]\n"


def test_a_cell_does_not_overwrite_what_was_changed_in_the_file(run: Run, file: Path) -> None:
    run(f"%%task 5.3 {HEAD}\n{GOOD}")
    mine = file.read_text().replace("burst <= 0", "burst < 1")
    file.write_text(mine)
    said = run(f"%%task 5.3 {HEAD}\n{GOOD}", fails=True)
    assert f"excess_burst_capacity in my/lab05/{HEAD} was changed since this cell last ran" in said
    assert file.read_text() == mine

    said = run(f"%%task 5.3 {HEAD} --keep=file\n{GOOD}")
    assert f"next cell: %%task 5.3 {HEAD}\ndef excess" in said
    assert "burst < 1" in said
    assert file.read_text() == mine
    run(f"%%task 5.3 {HEAD}\n{GOOD}", fails=True)  # a front end that does not replace cells loses nothing
    run(said.rpartition("next cell: ")[2])
    run(f"%%task 5.3 {HEAD}\n{GOOD}")
    assert "burst <= 0" in file.read_text()

    file.write_text(mine)
    run(f"%%task 5.3 {HEAD} --keep=cell\n{GOOD}")
    assert "burst <= 0" in file.read_text()


def test_other_work_in_the_file_does_not_matter(run: Run, file: Path) -> None:
    file.write_text(file.read_text() + "\n\ndef mine():\n    return 1\n")
    run(f"%%task 5.3 {HEAD}\n{GOOD}")
    assert file.read_text().endswith("\n\ndef mine():\n    return 1\n")


@pytest.mark.parametrize(
    ("head", "cell", "said"),
    [
        ("5.3", GOOD, "write %%task TASK FILE"),
        ("5.3 autoscaling/spec.py", GOOD, "write %%task TASK FILE"),
        (f"5.9 {HEAD}", GOOD, "lab 5 has no task '5.9'"),
        (f"5.3 {HEAD}", "def other():\n    return 1\n", "the cell defines none of it"),
    ],
)
def test_a_wrong_head_is_one_sentence(run: Run, file: Path, head: str, cell: str, said: str) -> None:
    assert said in run(f"%%task {head}\n{cell}", fails=True)


def test_what_the_bench_asks_is_the_part_as_saved_and_unwritten_tasks_say_so(run: Run, file: Path) -> None:
    case = '{"spec": {"targetBurstCapacity": -1, "totalValue": 1}, "steps": [[1, 1.0]]}'
    ask = f"from minilab.bench import lab05\nlab05.burst({case})"
    assert "task 5.3 is not written yet" in run(ask, fails=True)
    run(f"%%task 5.3 {HEAD}\n{GOOD}")
    assert "[-1]" in run(ask)


def test_await_works_and_a_course_is_plotted_with_the_part_in_it(run: Run, file: Path) -> None:
    run(f"%%task 5.3 {HEAD}\n{GOOD}")
    said = run(
        "import asyncio\nfrom minilab.bench import course\nfrom minilab.plots import overview, trade\n"
        "await asyncio.sleep(0)\nseen = course([1, 1, 20], concurrency=1, service='0.5')\n"
        "overview(seen)\ntrade({'concurrency 1': seen})\nprint(seen.parts, len(seen.desired))"
    )
    assert f"my/lab05/{HEAD}: excess_burst_capacity (yours), scale (reference)" in said.replace(
        "Decider (yours), ", ""
    )
    assert said.count("'image/png'") == 2


def test_what_a_part_raises_in_the_platform_is_told_with_its_line(run: Run, file: Path) -> None:
    run(f"%%task 5.3 {HEAD}\n{GOOD.replace('floor(', 'flour(')}")
    said = run("from minilab.bench import course\ncourse([5, 5, 5])", fails=True)
    assert f"your part raised in the platform: my/lab05/{HEAD}, line " in said
    assert "in excess_burst_capacity: return flour(" in said


def test_without_jupyterlab_a_sentence_says_what_brings_it(root: Path) -> None:
    blocked = "import sys; sys.modules['jupyterlab'] = None; from minilab.cli import main; main()"
    command = [sys.executable, "-c", blocked, "notebook", "5"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=rehearsal.environment(root)
    )
    assert done.returncode == 1
    assert (
        "JupyterLab is not installed; `python -m pip install -c constraints.txt -e '.[labs]'`" in done.stderr
    )
