"""Makes what is generated: `labs/labNN_topic/` for learners and `SOLUTION.md` for instructors.

Everything here is a function from the sources to texts, so that "is it fresh?" is a comparison.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from minilab import chapter, notebook
from minilab.cutting import Cut, starter
from minilab.figure import figure
from minilab.labs import ANSWERS, REFERENCE, ROOT, Lab, LabError, Task, file_of, name_of

NOTICE = "Made by `lab build` from {}; edit that, not this."


def noticed(source: str, text: str) -> str:
    return f"# {NOTICE.format(source)}\n{text}"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def cuts(lab: Lab, file: str) -> list[Cut]:
    """What the lab's tasks take out of one of the platform's modules."""
    return [
        Cut(
            task.id,
            tuple(name_of(symbol) for symbol in task.symbols if file_of(symbol) == file),
            {name_of(symbol): members for symbol, members in task.given.items()},
            tuple(name_of(symbol) for symbol in task.drop if file_of(symbol) == file),
        )
        for task in lab.tasks
        if file in task.files
    ]


def starter_of(lab: Lab, file: str) -> str:
    """The starter of one of the lab's files."""
    if file == ANSWERS:
        return re.sub(r'^(\w+) = ".*"$', r'\1 = ""', text_of(lab.source / ANSWERS), flags=re.MULTILINE)
    source = text_of(REFERENCE / file)
    return mine(lab) + starter(source, cuts(lab, file))


def mine(lab: Lab) -> str:
    """The first line of a starter."""
    return f"# Your part of minirun, lab {lab.number}. `lab check {lab.number}` says how far it is.\n"


def outputs(lab: Lab) -> dict[Path, str]:
    """Every generated file of a lab and its text."""
    source = text_of(lab.source / "lab.md")
    here = lab.source.relative_to(ROOT).as_posix()
    texts = {
        lab.starter / "README.md": readme(lab, source),
        lab.starter / "figure.svg": figure(lab.number),
        lab.starter / f"{lab.id}.ipynb": notebook.notebook(lab, source, starter_of),
        lab.starter / lab.checks.name: noticed(f"{here}/{lab.checks.name}", text_of(lab.checks)),
        lab.source / "SOLUTION.md": solution(lab, source),
    }
    return texts | {lab.starter / file: starter_of(lab, file) for file in lab.files}


def readme(lab: Lab, source: str) -> str:
    """The chapter as a learner reads it."""
    shown = chapter.render(
        source,
        {
            "figure": lambda _: "![where this lab is in the platform](figure.svg)\n",
            "task": lambda task_id: you_edit(lab, lab.task(task_id)),
            "bench": lambda code: f"In the notebook:\n\n```python\n{code}```\n",
        },
    )
    notice = NOTICE.format(f"{lab.source.relative_to(ROOT).as_posix()}/lab.md")
    head = f"*{lab.summary}* {lab.minutes} minutes.\n"
    return f"<!-- {notice} -->\n# Lab {lab.number:02}: {lab.title}\n\n{head}\n{shown.strip()}\n"


def you_edit(lab: Lab, task: Task) -> str:
    """The lines that a task opens with."""
    if task.answers:
        keys = ", ".join(f"`{key}`" for key in task.answers)
        return f"**You fill in:** `my/{lab.id}/{ANSWERS}`: {keys}. **Check:** `lab check {task.id}`\n"
    places = "; ".join(
        f"`my/{lab.id}/{file}`: "
        + ", ".join(f"`{name_of(symbol)}`" for symbol in task.symbols if file_of(symbol) == file)
        for file in task.files
    )
    return f"**You edit:** {places}. **Check:** `lab check {task.id}` · stuck: `lab hint {task.id}`\n"


def solution(lab: Lab, source: str) -> str:
    """What instructors see: the reference's answer, what good answers say, the notes."""
    notice = NOTICE.format(f"{lab.source.relative_to(ROOT).as_posix()} and reference_impl/minirun")
    parts = [f"<!-- {notice} -->\n# Lab {lab.number:02}: {lab.title}: solution"]
    for file in lab.files:
        solved = lab.source / file if file == ANSWERS else REFERENCE / file
        old = starter_of(lab, file).removeprefix(mine(lab)).splitlines(keepends=True)
        new = text_of(solved).splitlines(keepends=True)
        diff = "".join(difflib.unified_diff(old, new, f"my/{lab.id}/{file}", solved.name, n=2))
        parts.append(f"## {file}\n\n```diff\n{diff}```")
    criteria = [f"**{question}**\n\n{answer}" for question, answer in chapter.answers(source)]
    notes = [piece.text for piece in chapter.pieces(source) if piece.kind == "instructor"]
    if criteria:
        parts.append("## What good answers say\n\n" + "\n\n".join(criteria))
    if notes:
        parts.append("## For instructors\n\n" + "\n\n".join(notes))
    return "\n\n".join(parts) + "\n"


def build(labs: Iterable[Lab]) -> list[Path]:
    """Write what is generated; returns the files that changed. Files that no lab makes any more go."""
    changed = []
    for lab in labs:
        texts = outputs(lab)
        for path in leftovers(lab, texts):
            path.unlink()
            changed.append(path)
        for path, text in texts.items():
            if not path.is_file() or path.read_bytes() != text.encode():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode())
                changed.append(path)
    return changed


def stale(labs: Iterable[Lab]) -> list[Path]:
    """The generated files that are missing, left over or not what the sources make, byte for byte."""
    found = []
    for lab in labs:
        texts = outputs(lab)
        found += [
            path for path, text in texts.items() if not path.is_file() or path.read_bytes() != text.encode()
        ]
        found += leftovers(lab, texts)
    return found


def leftovers(lab: Lab, texts: dict[Path, str]) -> Iterator[Path]:
    """Files in the lab's generated folder that nothing makes."""
    for path in sorted(lab.starter.rglob("*")):
        caches = {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)
        if path.is_file() and path not in texts and not caches:
            yield path


def check_fresh(labs: Iterable[Lab]) -> None:
    """LabError that names each stale file, if there is one."""
    old = [path.relative_to(ROOT).as_posix() for path in stale(labs)]
    if old:
        raise LabError(f"not what the sources make: {', '.join(old)}; run `lab build` and commit the result")
