"""Submissions of lab 05 that are broken or mean harm, each with the tasks that it deserves.

Most are the reference with one thing done to it. A part is hostile in the container that it is graded in; on
the host its files are only read.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from minilab.building import starter_of
from minilab.cutting import answer
from minilab.labs import REFERENCE, find

ALL, NONE = frozenset({"5.1", "5.2", "5.3", "5.4"}), frozenset[str]()
DECIDER, WINDOWS = "autoscaling/decider.py", "autoscaling/windows.py"
HALF = frozenset({"5.1", "5.2"})  # the windows alone
BUT_SCALE = frozenset({"5.1", "5.2", "5.3"})

Build = Callable[[Path], None]


def reference(file: str) -> str:
    return (REFERENCE / file).read_text(encoding="utf-8")


def write(folder: Path, **texts: str | bytes) -> None:
    """The reference's files below `folder`; `decider` and `windows` replace one."""
    for file in (DECIDER, WINDOWS):
        text = texts.get(Path(file).stem, reference(file))
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def at_import(code: str) -> Build:
    """The reference's decider with `code` before everything else."""
    return lambda folder: write(folder, decider=code + "\n" + reference(DECIDER))


def in_scale(code: str) -> Build:
    """The reference's decider, whose `scale` does `code` first; a `return` in it ends it."""
    mark = "    if ready is None or metrics is None:\n        return NO_DECISION\n"
    body = "".join(f"    {line}\n" for line in code.splitlines())
    return lambda folder: write(folder, decider=reference(DECIDER).replace(mark, body + mark, 1))


def notebook(
    change: Callable[[list[dict[str, object]]], object] = lambda cells: None, **metadata: object
) -> Build:
    """A notebook with the reference's answers in its task cells; `change` does something to the cells."""

    def build(folder: Path) -> None:
        lab = find("5").lab
        cells: list[dict[str, object]] = [{"cell_type": "markdown", "source": "# Lab 05"}]
        for task in lab.tasks:
            for file in task.files:
                names = [symbol.partition(":")[2] for symbol in task.symbols]
                text = f"%%task {task.id} {file}\n{answer(reference(file), names)}"
                cells.append({"cell_type": "code", "source": text.splitlines(keepends=True), "outputs": []})
        change(cells)
        folder.mkdir(parents=True)
        document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        (folder / "lab05.ipynb").write_text(json.dumps(document), encoding="utf-8")

    return build


def starter(folder: Path) -> None:
    lab = find("5").lab
    write(folder, decider=starter_of(lab, DECIDER), windows=starter_of(lab, WINDOWS))


def linked(folder: Path) -> None:
    write(folder)
    (folder / DECIDER).unlink()
    (folder / DECIDER).symlink_to(REFERENCE / DECIDER)


def linked_folder(folder: Path) -> None:
    folder.symlink_to(REFERENCE, target_is_directory=True)


def piped(folder: Path) -> None:
    write(folder)
    (folder / DECIDER).unlink()
    os.mkfifo(folder / DECIDER)


def a_folder_for_a_file(folder: Path) -> None:
    write(folder)
    (folder / DECIDER).unlink()
    (folder / DECIDER).mkdir()


def broken_notebook(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "lab05.ipynb").write_text('{"cells": [{"cell_type"')


def compiled_only(folder: Path) -> None:
    write(folder)
    shutil.rmtree(folder / "autoscaling")
    (folder / "autoscaling" / "__pycache__").mkdir(parents=True)
    (folder / "autoscaling" / "__pycache__" / "decider.cpython-311.pyc").write_bytes(b"\0" * 100)


def broken_cell(cells: list[dict[str, object]]) -> None:
    put(cells, 4, "def scale(", "def scale((")


def other_file(cells: list[dict[str, object]]) -> None:
    put(cells, 4, DECIDER, "../../../etc/passwd")


def put(cells: list[dict[str, object]], place: int, old: str, new: str) -> None:
    cells[place]["source"] = "".join(cells[place]["source"]).replace(old, new)  # type: ignore[arg-type]


FORGE = """
import json, os
for fd in range(3, 12):
    body = json.dumps({"id": "0", "came": [], "score": 100}).encode()
    try:
        os.write(fd, len(body).to_bytes(4, "big") + body)
    except OSError:
        pass
"""
LIAR = """
import json
class Yes(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
return ScaleResult(Yes(1), Yes(0), True)
"""
PATCH = """
import builtins, minilab.wire, minilab.driver
minilab.driver.answer = lambda request: {"came": [], "passed": True}
"""
FIND = """
import importlib.util, pathlib, sys
for path in pathlib.Path("/").rglob("decider*"):
    try:
        text = path.read_bytes()
    except OSError:
        continue
    if b"max_panic_pods = desired" in text and b"minilab-looks-here" not in text:
        names = {}
        exec(text, names)
        return names["scale"](decider, now_ns, ready, metrics)
return ScaleResult(1, 0, True)
"""
NETWORK = """
import socket
for address in (("1.1.1.1", 53), ("172.17.0.1", 22), ("10.0.0.1", 80)):
    try:
        socket.create_connection(address, 0.2)
    except OSError:
        continue
    return ScaleResult(99, 0, True)
"""
WRITE = """
for path in ("/etc/passwd", "/opt/minirun/minilab/driver.py", "/var/run/docker.sock"):
    try:
        open(path, "wb").write(b"mine")
    except OSError:
        continue
    return ScaleResult(99, 0, True)
"""
PATCH_MAIN = """
import sys
sys.modules["__main__"].answer = lambda request: {"came": [], "passed": True}
"""
KILL = "import os, signal\nos.kill(-1, signal.SIGKILL)\nraise SystemExit"
IMPORT = "from minirun.autoscaling.decider import scale as s\nreturn s(decider, 0, ready, metrics)"
THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()"
DEAF = "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)"
MARKED = FIND.replace("names = {}", "names = {}  # minilab-looks-here")
FORKS = "import os\nwhile True:\n    os.fork()"

SUBMISSIONS: dict[str, tuple[Build, frozenset[str]]] = {
    "reference": (write, ALL),
    "starter": (starter, NONE),
    "empty": (lambda folder: folder.mkdir(parents=True), NONE),
    "exit at import": (at_import("raise SystemExit(0)"), HALF),
    "_exit at import": (at_import("import os; os._exit(0)"), HALF),
    "_exit in a call": (in_scale("import os; os._exit(0)"), BUT_SCALE),
    "sys.exit in a call": (in_scale("import sys; sys.exit(0)"), BUT_SCALE),
    "endless at import": (at_import("while True: pass"), HALF),
    "endless in a call": (in_scale("while True: pass"), BUT_SCALE),
    "sleeps in a call": (in_scale("import time; time.sleep(3600)"), BUT_SCALE),
    "fork bomb": (in_scale(FORKS), BUT_SCALE),
    "memory bomb": (in_scale("hold = []\nwhile True: hold.append(bytearray(1 << 24))"), BUT_SCALE),
    "kills everything": (in_scale(KILL), BUT_SCALE),
    "prints a flood and is right": (in_scale("print('x' * 1_000_000)"), ALL),
    "stderr without end": (in_scale("import sys\nwhile True: sys.stderr.write('x' * 65536)"), BUT_SCALE),
    "an answer of ten megabytes": (in_scale("return ScaleResult('x' * 10_000_000, 0, True)"), BUT_SCALE),
    "equal to everything": (in_scale(LIAR), BUT_SCALE),
    "True for 1": (in_scale("return ScaleResult(True, 0, True)"), BUT_SCALE),
    "not a number": (in_scale("return ScaleResult(float('nan'), 0, True)"), BUT_SCALE),
    "not plain data": (in_scale("return ScaleResult(object(), 0, True)"), BUT_SCALE),
    "deep recursion": (in_scale("return scale(decider, now_ns, ready, metrics)"), BUT_SCALE),
    "patches a copy of the driver and is right": (at_import(PATCH), ALL),
    "answers for the driver": (at_import(PATCH_MAIN), NONE),
    "forges answers and is right": (at_import(FORGE), ALL),
    "forges answers and is wrong": (in_scale(FORGE + "return ScaleResult(1, 0, True)"), BUT_SCALE),
    "closes the wire": (in_scale("import os\nos.closerange(0, 64)"), BUT_SCALE),
    "imports the answer": (in_scale(IMPORT), BUT_SCALE),
    "looks for the answer": (in_scale(MARKED), BUT_SCALE),
    "looks for the checks": (in_scale("import minilab.judging\nreturn ScaleResult(1, 0, True)"), BUT_SCALE),
    "calls home and is right": (in_scale(NETWORK), ALL),
    "writes everywhere and is right": (in_scale(WRITE), ALL),
    "a thread that stays": (at_import(THREAD), ALL),
    "ignores signals": (at_import(DEAF), ALL),
    "prints at import": (at_import("print('hello'); import sys; sys.stderr.write('x' * 100_000)"), ALL),
    "syntax error": (at_import("def ("), HALF),
    "wrong encoding": (lambda folder: write(folder, decider=reference(DECIDER).encode("utf-16")), HALF),
    "null bytes": (lambda folder: write(folder, decider=b"\0" * 1000), HALF),
    "huge file": (lambda folder: write(folder, decider=b"#" * 20_000_000), HALF),
    "a link to the reference": (linked, HALF),
    "a link for a folder": (linked_folder, NONE),
    "a pipe for a file": (piped, HALF),
    "a folder for a file": (a_folder_for_a_file, HALF),
    "compiled only": (compiled_only, NONE),
    "notebook": (notebook(), ALL),
    "notebook with a cell deleted": (notebook(lambda cells: cells.pop()), BUT_SCALE),
    "notebook with a cell twice": (notebook(lambda cells: cells.append(dict(cells[-1]))), ALL),
    "notebook of another kernel": (notebook(kernelspec={"name": "ir", "language": "R"}), ALL),
    "notebook with a broken cell": (notebook(broken_cell), BUT_SCALE),
    "notebook that names other files": (notebook(other_file), BUT_SCALE),
    "notebook that is none": (broken_notebook, NONE),
}  # fmt: skip
