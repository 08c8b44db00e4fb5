"""What a lab's notebook can do beside Python: `%lab 5` and `%%task 5.2 autoscaling/decider.py`.

The answer is the file in `my/`; the cell is one way to write it. What both had when the cell last ran is
noted, so that neither overwrites what was changed in the other. Checks run in a process of their own, because
in this one the learner's part is laid over the platform, and it must not judge itself.
"""

import hashlib
import os
import subprocess
import sys
from functools import partial

import msgspec
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from minilab import building, cells, labs, learner
from minilab.labs import ANSWERS, MY, ROOT, Lab, LabError, Task, file_of, name_of
from minirun import overlay

NOTES = MY / ".lab" / "cells.json"
KEEP = ("--keep=file", "--keep=cell")
USAGE = "write %%task TASK FILE, as in `%%task 5.2 autoscaling/decider.py`, and --keep=file or --keep=cell"


def lab_magic(line: str) -> None:
    """%lab 5: begin the lab, and lay its folder over the platform, here and in this kernel's children."""
    try:
        lab = labs.find(line.strip()).lab
        learner.start(lab)
    except LabError as error:
        raise UsageError(str(error)) from None
    enter(lab)
    files = ", ".join(f"{shown(lab)}/{file}" for file in lab.files)
    sys.stdout.write(f"In this kernel's platform: {files}\n")


def task_magic(shell: InteractiveShell, line: str, cell: str) -> None:
    """%%task 5.2 autoscaling/decider.py: write the cell's definitions into the file, and check them."""
    words = [word for word in line.split() if word not in KEEP]
    keep = next((word.partition("=")[2] for word in line.split() if word in KEEP), "")
    try:
        if len(words) != 2:
            raise LabError(USAGE)
        asked = labs.find(words[0])
        if asked.task is None or words[1] not in asked.task.files or words[1] == ANSWERS:
            raise LabError(USAGE)
        kept = write(asked.lab, asked.task, words[1], cell, keep)
    except LabError as error:
        raise UsageError(str(error)) from None
    if keep:
        shell.set_next_input(f"%%task {' '.join(words)}\n{kept}", replace=True)
    forget()
    sys.stdout.write(report(asked.task))


def shown(lab: Lab) -> str:
    """The learner's folder, as a person would write it."""
    return learner.folder(lab).relative_to(ROOT).as_posix()


def enter(lab: Lab) -> None:
    """Lay a lab's folder over the platform in this process and its children, in place of another lab's."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, overlay.OverlayFinder)]
    os.environ[overlay.VARIABLE] = str(learner.folder(lab))
    overlay.install()
    os.chdir(ROOT)
    forget()


def forget() -> None:
    """Let the next import of anything of the platform read the files anew."""
    for name in [*sys.modules]:
        parent, _, child = name.rpartition(".")
        if name.startswith(("minirun.", "minilab.drives.")) and name != overlay.__name__:
            del sys.modules[name]
            vars(sys.modules.get(parent, overlay)).pop(child, None)


def write(lab: Lab, task: Task, file: str, cell: str, keep: str = "") -> str:
    """Put a cell's definitions into the learner's file; returns the text that the cell should have now.

    keep: `cell` overwrites what was changed in the file since, `file` writes nothing and returns the file's
    text. Raises LabError if the cell or the file can't be read, or both were changed and keep says nothing.
    """
    learner.must_have_begun(lab)
    path, name = learner.folder(lab) / file, f"{shown(lab)}/{file}"
    names = cells.defined(cell)
    own = [name_of(symbol) for symbol in task.symbols if file_of(symbol) == file]
    if not {*names} & {*own} and keep != "file":
        raise LabError(f"task {task.id} asks for {' and '.join(own)}, and the cell defines none of it")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise LabError(f"{name} is not UTF-8 ({error}); save it as UTF-8, and run the cell again") from None
    there = cells.texts(text, dict.fromkeys([*own, *names]), name)
    made = text if keep == "file" else cells.splice(text, cell, name)
    notes = Notes.load()
    starter = cells.texts(building.starter_of(lab, file), there, "the starter")
    changed = [each for each in names if there[each] != starter[each] and not notes.has(name, each, there)]
    if made != text and changed and keep != "cell":
        raise LabError(
            f"{', '.join(changed)} in {name} was changed since this cell last ran, so nothing is written; "
            "run the cell with --keep=file after the file's name to take the file's text into the cell, or "
            "with --keep=cell to overwrite the file's"
        )
    if keep == "file":
        return "\n\n\n".join(filter(None, there.values())) + "\n"
    path.write_bytes(made.encode("utf-8"))
    notes.note(name, cells.texts(made, there, name))
    return cell


class Notes(msgspec.Struct):
    """What each definition was when its cell last ran: a digest by `FILE NAME`."""

    digests: dict[str, str] = {}

    @classmethod
    def load(cls) -> "Notes":
        """What was noted; nothing, if that can't be read: at worst a cell asks which text to keep."""
        try:
            return msgspec.json.decode(NOTES.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return cls()

    def has(self, file: str, name: str, texts: dict[str, str]) -> bool:
        return self.digests.get(f"{file} {name}") == digest(texts[name])

    def note(self, file: str, texts: dict[str, str]) -> None:
        self.digests |= {f"{file} {name}": digest(text) for name, text in texts.items()}
        NOTES.parent.mkdir(parents=True, exist_ok=True)
        NOTES.write_bytes(msgspec.json.format(msgspec.json.encode(self)))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def report(task: Task) -> str:
    """What `lab check` says of a task, run beside this process."""
    variables = {key: value for key, value in os.environ.items() if key != overlay.VARIABLE}
    command = [sys.executable, "-m", "minilab", "check", task.id]
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables, text=True
    )
    return done.stdout


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext minilab.magic`."""
    shell.magics_manager.register_function(lab_magic, "line", "lab")
    shell.magics_manager.register_function(partial(task_magic, shell), "cell", "task")
