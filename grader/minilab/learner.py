"""A learner's work under `my/`: begun from the starter, never overwritten, checked task by task."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

from minilab import progress
from minilab.child import Child
from minilab.cutting import answer
from minilab.judging import ChecksError, Verdict, judge
from minilab.labs import ANSWERS, MY, REFERENCE, Asked, Lab, LabError, Task, all_labs, file_of, name_of
from minilab.part import Part

STDERR = 2
WATCHED = {".py", ".toml"}  # a notebook saves itself all the time


def folder(lab: Lab) -> Path:
    """Where the learner's files of a lab are."""
    return MY / lab.id


def begun() -> list[Lab]:
    """The labs that have a folder under `my/`."""
    return [lab for lab in all_labs() if folder(lab).is_dir()]


def start(lab: Lab) -> list[Path]:
    """Copy the starter files that are not there yet; returns them."""
    copied = []
    for file in lab.files:
        path = folder(lab) / file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(lab.starter / file, path)
            copied.append(path)
    return copied


def own_notebook(lab: Lab) -> Path:
    """The learner's copy of a lab's notebook, made if it is not there: what ran in it is theirs."""
    name = f"{lab.id}.ipynb"
    for file in (name, "figure.svg"):
        if not (folder(lab) / file).exists():
            shutil.copyfile(lab.starter / file, folder(lab) / file)
    return folder(lab) / name


def reset(lab: Lab, now: datetime) -> Path:
    """Begin anew; returns where the old files are now."""
    must_have_begun(lab)
    backup = MY / ".lab" / "backups" / f"{lab.id}-{now:%Y%m%d-%H%M%S}"
    backup.parent.mkdir(parents=True, exist_ok=True)
    folder(lab).rename(backup)
    start(lab)
    return backup


def hand_in(lab: Lab, to: Path, name: str) -> Path:
    """Copy the lab's files, and nothing else, into the folder `name` there; returns it."""
    must_have_begun(lab)
    if not name or Path(name).name != name:
        raise LabError(f"{name!r} can't be the name of a folder; give one without slashes, as in --name anna")
    place = to / name
    for file in lab.files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder(lab) / file, place / file)
    return place


def must_have_begun(lab: Lab) -> None:
    """LabError where a file of the learner's is missing: the reference would answer in its place."""
    for file in lab.files:
        if not (folder(lab) / file).is_file():
            raise LabError(f"{folder(lab) / file} is not there; `lab start {lab.number}` makes it")


def check(
    asked: Asked, tell: Callable[[Verdict], None] = lambda verdict: None, prints: bool = False
) -> list[Verdict]:
    """Run the public checks of a lab, or of one task, against what the learner has, and keep the result.

    prints: what the part prints goes to standard error.
    """
    lab = asked.lab
    must_have_begun(lab)
    # A copy of the descriptor: pytest takes the first one for itself.
    with open(os.dup(STDERR) if prints else os.devnull, "wb") as stderr:
        part = Part(lab.id, lambda: Child([folder(lab)], stderr))
        try:
            verdicts = judge({lab.checks: lab.number}, part, asked.task.id if asked.task else None, tell)
        except ChecksError as error:
            raise LabError(f"not your part, but its checks failed: {error}") from None
    known = progress.load()
    known.note(verdicts)
    known.save()
    return verdicts


async def saves(place: Path, poll_seconds: float) -> AsyncIterator[None]:
    """Now, and each time that a file below `place` is not what it was."""
    seen: dict[Path, int] | None = None
    while True:
        now = _state(place)
        if now != seen:
            seen = now
            yield
        await asyncio.sleep(poll_seconds)


def _state(place: Path) -> dict[Path, int]:
    return {path: _changed_ns(path) for path in place.rglob("*.*") if path.suffix in WATCHED}


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # an editor that saves by renaming was faster
        return 0


def overlays(labs: list[Lab]) -> list[Path]:
    """The folders of the labs' parts, for `minirun up --overlay`; LabError for one that was not begun."""
    with_parts = [lab for lab in labs if any(task.symbols for task in lab.tasks)]
    for lab in with_parts:
        must_have_begun(lab)
    return [folder(lab) for lab in with_parts]


def next_hint(task: Task) -> tuple[int, str]:
    """The number of the hint that comes next, and its text; after the last one, the last one."""
    if not task.hints:
        raise LabError(f"task {task.id} has no hints")
    known = progress.load()
    mine = known.of(task)
    mine.hints = min(mine.hints + 1, len(task.hints))
    known.save()
    return mine.hints, task.hints[mine.hints - 1]


def solution(asked: Asked, give_up: bool) -> str:
    """The reference's answers; LabError while a task of them has not passed, unless the learner gives up."""
    lab, tasks = asked.lab, [asked.task] if asked.task else asked.lab.tasks
    known = progress.load()
    for task in tasks:
        mine = known.of(task)
        if not (mine.done or give_up):
            how_far = f"{mine.passed} of {mine.of} public checks" if mine.of else "no checked answer yet"
            raise LabError(
                f"task {task.id} has {how_far}; `lab hint {task.id}`, or --give-up to see it anyway"
            )
    texts = []
    for task in tasks:
        for file in task.files:
            names = [name_of(each) for each in (*task.drop, *task.symbols) if file_of(each) == file]
            text = _lines_of(lab, task) if file == ANSWERS else answer(_text(REFERENCE / file), names)
            texts.append(f"# {task.id} {task.title}: {file}\n\n{text}")
    return "\n\n".join(texts)


def _lines_of(lab: Lab, task: Task) -> str:
    lines = _text(lab.source / ANSWERS).splitlines(keepends=True)
    return "".join(line for line in lines if line.partition(" ")[0] in task.answers)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
