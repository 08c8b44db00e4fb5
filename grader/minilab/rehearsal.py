"""The slow gates: a chapter's commands and its notebook, run as a learner would who knows the answers.

Each lab is rehearsed in a workshop of its own: links to this one, with another `my/`. Its ports are free
ones, so the chapter's 8080 and 8081 become those.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from minilab import chapter
from minilab.cutting import answer
from minilab.labs import ANSWERS, REFERENCE, ROOT, Lab, file_of, name_of

LINKED = ("grader", "labs", "reference_impl", "solutions", "README.md", "constraints.txt", "pyproject.toml")
COMMAND_SECONDS = 120
SHOWN_LINES = 12
STARTS = ("minirun up", "lab run")
UP = "minirun is up"


def workshop(root: Path) -> Path:
    """Make a workshop in a folder: links to this one's files, and no `my/`."""
    root.mkdir(exist_ok=True)
    for name in LINKED:
        (root / name).symlink_to(ROOT / name)
    return root


def environment(root: Path) -> dict[str, str]:
    """The variables under which `lab` and `minirun` work in that workshop and on its data alone."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {"MINILAB_ROOT": str(root), "PATH": path, "XDG_DATA_HOME": str(root / "data"), "COLUMNS": "200"}
    return {**os.environ, **own}


def solve(lab: Lab, root: Path) -> None:
    """Put the reference's answers where a learner writes."""
    for file in lab.files:
        path = root / "my" / lab.id / file
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile((lab.source if file == ANSWERS else REFERENCE) / file, path)


class Terminal:
    """One shell that runs one command after the other, as a person would type them."""

    def __init__(self, root: Path, variables: dict[str, str]) -> None:
        self._output = (root / "terminal").open("w+b")
        self._shell = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=variables,
            start_new_session=True,
        )
        self._log = (root / "terminal").open("rb")
        self._count = 0

    def run(self, command: str) -> tuple[int | None, str]:
        """The exit status, None if it did not end in time, and what it printed."""
        stdin = self._shell.stdin
        assert stdin is not None
        self._count += 1
        mark = f"@@{self._count}@@"
        stdin.write(f"{{ {command}\n}} </dev/null; echo {mark} $?\n".encode())
        stdin.flush()
        said = _read_until(self._log, mark.encode(), COMMAND_SECONDS, self._shell)
        text, found, status = said.decode(errors="replace").rpartition(mark)
        return (int(status), text) if found else (None, status)

    def close(self) -> None:
        with suppress(ProcessLookupError):  # it has ended, with all that it started
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()
        self._output.close()
        self._log.close()


class Background:
    """What stays in the foreground of a terminal of its own: ended by Ctrl-C."""

    def __init__(self, command: str, root: Path, variables: dict[str, str]) -> None:
        self._output = (root / "background").open("wb")
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=variables,
        )
        self._log = (root / "background").open("rb")

    def is_up(self) -> tuple[bool, str]:
        """Whether the platform says so in time, and what it says."""
        said = _read_until(self._log, UP.encode(), COMMAND_SECONDS, self._process)
        return UP.encode() in said, said.decode(errors="replace")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait(COMMAND_SECONDS)
        self._output.close()
        self._log.close()


def _read_until(log: IO[bytes], mark: bytes, seconds: float, writer: subprocess.Popen[bytes]) -> bytes:
    """What a process writes, to the end of the line that has the mark; less if it ends, or time does."""
    said, end = b"", time.monotonic() + seconds
    while not (mark in said and said.endswith(b"\n")) and time.monotonic() < end:
        piece = log.read()
        said += piece
        if not piece:
            if writer.poll() is not None:
                break
            time.sleep(0.02)
    return said


def runs_commands(lab: Lab) -> Iterator[str]:
    """Every shell block of the chapter runs, in order, in one shell."""
    source = (lab.source / "lab.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="minilab-") as folder, ExitStack() as stack:
        root = workshop(Path(folder))
        solve(lab, root)
        ports = {"8080": _free_port(), "8081": _free_port()}
        variables = {**environment(root), "MINIRUN_API": f"http://127.0.0.1:{ports['8081']}"}
        terminal = Terminal(root, variables)
        stack.callback(terminal.close)
        background = stack.enter_context(ExitStack())
        for first, commands in chapter.commands(source):
            for command in commands:
                here = re.sub(r"\b(8080|8081)\b", lambda port: ports[port[0]], command)
                if not first:
                    status, said = terminal.run(here)
                    if status != 0 or "Traceback (most recent" in said:
                        how = "did not end" if status is None else f"ended with exit status {status}"
                        yield f"lab.md: `{command}` {how}: {_last(said)}"
                elif here.startswith(STARTS):
                    background.close()  # the last one, Ctrl-C
                    listen = f"--listen 127.0.0.1:{ports['8080']} --api 127.0.0.1:{ports['8081']}"
                    started = Background(f"{here} {listen}", root, variables)
                    background.callback(started.close)
                    up, said = started.is_up()
                    if not up:
                        yield f"lab.md: `{command}` does not come up: {_last(said)}"


def runs_notebook(lab: Lab) -> Iterator[str]:
    """The notebook runs from top to bottom once its task cells hold the answers, and those pass."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    book = nbformat.reads((lab.starter / f"{lab.id}.ipynb").read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    tasks = [cell for cell in book.cells if "minilab" in cell.metadata]
    for cell in tasks:
        task, file = lab.task(cell.metadata.minilab.task), cell.metadata.minilab.file
        names = [name_of(each) for each in (*task.drop, *task.symbols) if file_of(each) == file]
        head = cell.source.partition("\n")[0]
        cell.source = f"{head}\n{answer((REFERENCE / file).read_text(encoding='utf-8'), names)}"
    with tempfile.TemporaryDirectory(prefix="minilab-") as folder:
        root = workshop(Path(folder))
        client = NotebookClient(book, resources={"metadata": {"path": str(root)}}, timeout=COMMAND_SECONDS)
        try:
            client.execute(env=environment(root))
        except CellExecutionError as error:
            yield f"{lab.id}.ipynb does not run against the reference: {_last(str(error))}"
    # A task over several files has a cell for each, and passes with the last.
    said = {
        cell.metadata.minilab.task: "".join(out.get("text", "") for out in cell.outputs) for cell in tasks
    }
    for task_id, text in said.items():
        if not re.search(r"\b(\d+) of \1 public checks", text):
            yield f"{lab.id}.ipynb: the reference's answer does not pass task {task_id}: {_last(text)}"


SLOW = (runs_commands, runs_notebook)


def _free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def _last(said: str) -> str:
    return " / ".join(said.strip().splitlines()[-SHOWN_LINES:])
