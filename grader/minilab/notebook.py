"""A lab's notebook: guide and bench. Text, plots and experiments; the answer is the file in `my/`.

Cell ids are counted, so that the same sources give the same bytes, and no output is ever stored.
"""

import json
from collections.abc import Callable, Iterator

from minilab import chapter
from minilab.cutting import answer
from minilab.labs import Lab, Task, file_of, name_of

FIRST_CELL = "%load_ext minilab.magic\n%lab {}"

Cell = tuple[str, dict[str, object], str]
"""Its type, its metadata, its text."""

StarterOf = Callable[[Lab, str], str]


def notebook(lab: Lab, source: str, starter_of: StarterOf) -> str:
    """The notebook's JSON.

    source: the chapter. starter_of: gives the starter of one of the lab's files, for the `%%task` cells.
    """
    cells: list[dict[str, object]] = [
        {"cell_type": kind, "id": f"{lab.id}-{number:03}", "metadata": metadata, "source": lines_of(text)}
        | ({"execution_count": None, "outputs": []} if kind == "code" else {})
        for number, (kind, metadata, text) in enumerate(_cells(lab, source, starter_of))
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = {"kernelspec": kernel, "language_info": {"name": "python"}, "minilab": {"lab": lab.number}}
    document = {"cells": cells, "metadata": made, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def lines_of(text: str) -> list[str]:
    """A cell's source as notebooks have it: a list of lines, each with its end but the last."""
    return text.strip("\n").splitlines(keepends=True)


def _cells(lab: Lab, source: str, starter_of: StarterOf) -> Iterator[Cell]:
    yield "markdown", {}, f"# Lab {lab.number:02}: {lab.title}\n\n*{lab.summary}* {lab.minutes} minutes."
    yield "code", {}, FIRST_CELL.format(lab.number)
    held: list[Cell] = []  # a task's cells, until its text has been read
    for piece in chapter.pieces(source):
        if piece.kind == "text":
            text, mark, rest = piece.text.partition("\n## ") if held else (piece.text, "", "")
            yield "markdown", {}, text
            if mark:
                yield from held
                held = []
                yield "markdown", {}, f"## {rest}"
        elif piece.kind == "figure":
            yield "markdown", {}, "![where this lab is in the platform](figure.svg)"
        elif piece.kind == "bench":
            yield from held
            held = []
            yield "code", {}, piece.text
        elif piece.kind == "task":
            held = list(_task_cells(lab, lab.task(piece.text), starter_of))
    yield from held


def _task_cells(lab: Lab, task: Task, starter_of: StarterOf) -> Iterator[Cell]:
    for file in task.files if task.symbols else ():
        names = [name_of(symbol) for symbol in task.symbols if file_of(symbol) == file]
        text = answer(starter_of(lab, file), names)
        yield "code", {"minilab": {"task": task.id, "file": file}}, f"%%task {task.id} {file}\n{text}"
