"""A task's cell in a notebook and the learner's file: the cell's definitions are put into the file's text.

Both are read as syntax trees and edited as text, so that whatever the cell does not define stays as it is, to
the byte. A cell holds definitions and the imports that they need, nothing else.
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from minilab.cutting import Edit, start_of
from minilab.labs import LabError
from minirun.overlay import names_of

LINE = re.compile(r"[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+")
IMPORTS = (ast.Import, ast.ImportFrom)


class CellError(LabError):
    """A cell or a file that can't be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Source:
    """A Python text: its lines with their ends, and its top-level statements."""

    lines: list[str]
    body: list[ast.stmt]

    def first(self, node: ast.stmt) -> int:
        """The line, from 0, that a definition begins on, with the comments right above it."""
        first = start_of(node)
        while first and self.lines[first - 1].startswith("#"):
            first -= 1
        return first

    def text(self, node: ast.stmt, first: int) -> list[str]:
        """The lines of a definition from `first` on, without their ends."""
        return [line.rstrip("\r\n") for line in self.lines[first : node.end_lineno]]

    def definitions(self) -> dict[str, ast.stmt]:
        """The top-level definitions by name."""
        return {name: node for node in self.body for name in names_of(node)}


def read(text: str, name: str) -> Source:
    """A text's lines and statements. name: what it is, for the CellError where it is no Python."""
    try:
        return Source(LINE.findall(text), ast.parse(text.removeprefix("\ufeff")).body)
    except SyntaxError as error:
        place = f"{name}, line {error.lineno}: {(error.text or '').strip()}"
        raise CellError(f"{place}: {error.msg}; mend it, and run the cell again") from None
    except (ValueError, RecursionError, MemoryError) as error:  # zeros in it, or nested without end
        raise CellError(f"{name} is no Python: {error}") from None


def defined(cell: str) -> list[str]:
    """The names that a cell defines; CellError if it holds anything else, imports aside."""
    source = read(cell, "the cell")
    for node in source.body:
        if not names_of(node) and not isinstance(node, IMPORTS):
            text = source.text(node, start_of(node))[0].strip()
            raise CellError(f"a task's cell holds definitions and imports only; `{text}` needs its own cell")
    return list(source.definitions())


def texts(file: str, names: Iterable[str], name: str) -> dict[str, str]:
    """What a file has under each of these names, comments above included; empty if nothing."""
    source = read(file, name)
    nodes = source.definitions()
    found = {each: nodes.get(each) for each in names}
    return {
        each: "\n".join(source.text(node, source.first(node))) if node else "" for each, node in found.items()
    }


def splice(file: str, cell: str, name: str) -> str:
    """The file's text with the cell's definitions in it.

    A definition that the file has is replaced in its place; the comments above it stay, unless the cell has
    some. A new one goes before the next that the file has, or to the end; new imports after the file's; what
    is neither is left out.
    name: the file's, for errors.
    """
    old, new = read(file, name), read(cell, "the cell")
    places, imports = old.definitions(), [ast.dump(node) for node in old.body if isinstance(node, IMPORTS)]
    edits: list[Edit] = []
    added: list[str] = []
    fresh: list[str] = []
    for node in new.body:
        if isinstance(node, IMPORTS):
            if ast.dump(node) not in imports:
                fresh += new.text(node, start_of(node))
            continue
        if not names_of(node):
            continue
        first = new.first(node)
        text = new.text(node, first)
        place = places.get(names_of(node)[0])
        if place is None:
            added += [*text, "", ""]
            continue
        begin = start_of(place) if first == start_of(node) else old.first(place)
        if added:
            edits.append(Edit(old.first(place), old.first(place), tuple(added)))
            added = []
        edits.append(Edit(begin, place.end_lineno or 0, tuple(text)))
    if fresh:
        edits.append(Edit(*(_after_imports(old),) * 2, tuple(fresh)))
    if added:
        edits.append(Edit(*(len(old.lines),) * 2, ("", "", *added[:-2])))
    return _edited(old.lines, edits, "\r\n" if "\r\n" in file else "\n")


def _after_imports(source: Source) -> int:
    """The line, from 0, for one more import."""
    head: list[ast.stmt] = [node for node in source.body if isinstance(node, IMPORTS)]
    if not head and source.body and isinstance(source.body[0], ast.Expr):  # the docstring
        head = source.body[:1]
    return (head[-1].end_lineno or 0) if head else 0


def _edited(lines: list[str], edits: list[Edit], end: str) -> str:
    """The lines with the edits made; those at one place in the order in which they were found."""
    made = list(lines)
    if made and not made[-1].endswith(("\n", "\r")):
        made[-1] += end if any(edit.first == len(lines) for edit in edits) else ""
    for _, edit in sorted(enumerate(edits), key=lambda pair: (pair[1].first, pair[0]), reverse=True):
        ends = [end] * len(edit.lines)
        if edit.first < edit.last == len(lines) and not lines[-1].endswith(("\n", "\r")):
            ends[-1] = ""
        made[edit.first : edit.last] = map("".join, zip(edit.lines, ends, strict=True))
    return "".join(made)
