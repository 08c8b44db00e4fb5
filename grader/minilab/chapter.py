"""A chapter, `lab.md`: what of it a learner reads, what goes into the notebook, what only instructors see.

It is Markdown with four kinds of comments and one kind of fence:

    <!-- figure -->                the map of the platform, this lab's box lit
    <!-- task 5.2 -->              what to edit and how to check it; in the notebook the `%%task` cell
    <!-- answer ... -->            after a question: what a good answer says (SOLUTION.md)
    <!-- instructor ... -->        timing and traps (SOLUTION.md)
    ```python bench                a code cell of the notebook
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMMENT = re.compile(r"<!-- *(figure|task|answer|instructor)\b(.*?)-->\n?", re.DOTALL)
BENCH = re.compile(r"^```python bench\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
SHELL = re.compile(r"^```console\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a chapter: `text`, `figure`, `task`, `answer`, `instructor` or `bench`, and its text."""

    kind: str
    text: str


def pieces(chapter: str) -> Iterator[Piece]:
    """The chapter in order, cut at its comments and benches."""
    marks = [*COMMENT.finditer(chapter), *BENCH.finditer(chapter)]
    place = 0
    for mark in sorted(marks, key=lambda mark: mark.start()):
        if chapter[place : mark.start()].strip():
            yield Piece("text", chapter[place : mark.start()])
        is_bench = mark.re is BENCH
        yield Piece("bench", mark[1]) if is_bench else Piece(mark[1], mark[2].strip())
        place = mark.end()
    if chapter[place:].strip():
        yield Piece("text", chapter[place:])


def render(chapter: str, show: dict[str, Callable[[str], str]]) -> str:
    """The chapter as one text; `show` says what each kind of piece becomes, or it is gone."""
    shown = (piece.text if piece.kind == "text" else show[piece.kind](piece.text) for piece in pieces(chapter)
             if piece.kind == "text" or piece.kind in show)  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", "".join(shown))


def headings(chapter: str) -> list[str]:
    """The texts of its second-level headings."""
    return HEADING.findall(FENCE.sub("", chapter))


def word_count(chapter: str) -> int:
    """The words that a learner reads: no code, no comments."""
    prose = FENCE.sub("", COMMENT.sub("", chapter))
    return len(prose.split())


def commands(chapter: str) -> list[tuple[bool, list[str]]]:
    """The commands of each shell block, and whether it is for terminal 1, where the platform stays up.

    A command is a line after `$ `, with those after `> ` that follow; what is printed is left out.
    """
    blocks = []
    for block in SHELL.findall(chapter):
        whole = re.sub(r"\n> ", "\0", block).splitlines()
        typed = [line[2:].replace("\0", "\n") for line in whole if line.startswith("$ ")]
        blocks.append((block.startswith("# terminal 1\n"), typed))
    return blocks


def answers(chapter: str) -> list[tuple[str, str]]:
    """Each question, which is the list item before an answer, and the answer's criteria."""
    found, last = [], ""
    for piece in pieces(chapter):
        if piece.kind == "text":
            items = re.findall(r"^\d+\. (.+?)(?=^\d+\. |^\n|\Z)", piece.text, re.DOTALL | re.MULTILINE)
            last = " ".join(items[-1].split()) if items else last
        elif piece.kind == "answer":
            found.append((last, piece.text))
    return found
