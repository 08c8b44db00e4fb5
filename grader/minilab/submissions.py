"""Reads what learners handed in: folders, files, notebooks, and whatever else turns up instead.

Only regular files at known places below a submission's own folder are read, up to a size, as bytes; nothing
of them runs here. What is odd becomes a note, never an exception: one submission must not stop a batch.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minilab.building import starter_of
from minilab.cells import CellError, splice
from minilab.labs import ANSWERS, Lab, LabError

MAX_FILE_BYTES = 150_000
MAX_NOTEBOOK_BYTES = 5_000_000
TASK_CELL = re.compile(r"^%%task\s+(\S+)\s+(\S+)[^\n]*\n", re.MULTILINE)
NAME = re.compile(r"[^A-Za-z0-9._@+-]+")


@dataclass
class Submission:
    """One learner's part: files by their path below the lab's folder, and what was odd about them."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find(folder: Path, lab: Lab) -> Iterator[Submission]:
    """All submissions in a folder, in the order of their names: each entry of it is one.

    Raises LabError if there is no such folder, or nothing in it.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise LabError(f"{folder} can't be read ({error}); give a folder with one entry a learner") from None
    entries = [entry for entry in entries if not entry.name.startswith(".")]
    if not entries:
        raise LabError(f"{folder} is empty; put one folder, notebook or Python file a learner into it")
    taken: set[str] = set()
    for entry in entries:
        name = stem = NAME.sub("_", Path(entry.name).stem if entry.is_file() else entry.name) or "_"
        number = 2
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        yield read(Path(entry.path), name, lab)


def read(path: Path, name: str, lab: Lab) -> Submission:
    """One submission: a folder as `my/lab05`, one that holds such a folder, a notebook, or a single file."""
    submission = Submission(name)
    if path.is_symlink():
        submission.notes.append("it is a symbolic link, which is not followed; hand in the files themselves")
    elif path.is_dir():
        _read_folder(path, lab, submission)
    elif path.suffix == ".ipynb":
        _read_notebook(path, lab, submission)
    else:
        for file in lab.files:
            if Path(file).name == path.name or len(lab.files) == 1:
                _read_file(path, file, submission)
    if not submission.files and not submission.notes:
        submission.notes.append(f"none of {', '.join(lab.files)} is in it")
    for file in lab.files:
        submission.files.setdefault(file, starter_of(lab, file).encode())
    return submission


def _read_folder(path: Path, lab: Lab, submission: Submission) -> None:
    homes = [path, path / lab.id, path / "my" / lab.id, path / lab.name]
    for file in lab.files:
        found = next((home / file for home in homes if _is_there(path, home / file)), None)
        if found is not None:
            _read_file(found, file, submission)
    notebooks = sorted(path.glob("*.ipynb")) if not submission.files else []
    if len(notebooks) > 1:
        submission.notes.append(f"it has {len(notebooks)} notebooks; {notebooks[0].name} was read")
    if notebooks:
        _read_notebook(notebooks[0], lab, submission)


def _is_there(top: Path, path: Path) -> bool:
    """Whether something is at `path`, reached from `top` through no symbolic link."""
    between = [path, *path.parents][: len(path.parts) - len(top.parts)]
    if any(each.is_symlink() for each in between):
        return False
    return path.exists()


def _content(path: Path, limit: int, submission: Submission) -> bytes | None:
    """A regular file's bytes, or None and a note."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("it is not a regular file")
            if found.st_size > limit:
                raise OSError(f"it has {found.st_size} bytes and {limit} are allowed")
            return file.read(limit)
    except OSError as error:
        submission.notes.append(f"{path.name} was not read: {error.strerror or error}")
        return None


def _read_file(path: Path, file: str, submission: Submission) -> None:
    content = _content(path, MAX_FILE_BYTES, submission)
    if content is not None:
        submission.files[file] = content


def _read_notebook(path: Path, lab: Lab, submission: Submission) -> None:
    """The `%%task` cells of a notebook, put into the starters; of several for a task the last counts."""
    content = _content(path, MAX_NOTEBOOK_BYTES, submission)
    if content is None:
        return
    try:
        cells = json.loads(content)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell.get("cell_type") == "code"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        submission.notes.append(f"{path.name} is not a notebook: {type(error).__name__}: {error}")
        return
    texts = {file: starter_of(lab, file) for file in lab.files if file != ANSWERS}
    found: set[tuple[str, str]] = set()
    for source in sources:
        head = TASK_CELL.match(source)
        if head is None or head[2] not in texts:
            continue
        if (head[1], head[2]) in found:
            submission.notes.append(f"task {head[1]} has several cells; the last one counts")
        found.add((head[1], head[2]))
        try:
            texts[head[2]] = splice(texts[head[2]], source[head.end() :], "the starter")
        except CellError as error:
            submission.notes.append(f"the cell of task {head[1]} was left out: {error}")
    if not found:
        submission.notes.append(f"{path.name} has no %%task cell")
    submission.files |= {file: text.encode() for file, text in texts.items()}
