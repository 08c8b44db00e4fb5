"""Cuts a starter from the reference: what a task asks for loses its body, all else stays as it is.

The cut is made in the text, at the places that the syntax tree names, so that comments, order and format of
what stays are the reference's, to the byte.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from minirun.overlay import FUNCTIONS, Named, names_of

Function = ast.FunctionDef | ast.AsyncFunctionDef


class CutError(ValueError):
    """A symbol that can't be cut; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What one task takes out of a module: symbols by name, members of classes that stay, helpers that go."""

    task: str
    symbols: tuple[str, ...]
    given: Mapping[str, tuple[str, ...]]
    drop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines first to last (from 0, last excluded) become `lines`."""

    first: int
    last: int
    lines: tuple[str, ...] = ()


def starter(source: str, cuts: Iterable[Cut]) -> str:
    """The starter of a module.

    source: the reference's text. cuts: what its tasks take out. Raises CutError for a symbol that is not a
    top-level function or class of the module, or that has nothing to cut.
    """
    lines = source.splitlines()
    top = {name: node for node in ast.parse(source).body for name in names_of(node)}
    edits: list[Edit] = []
    for cut in cuts:
        for name in (*cut.symbols, *cut.drop):
            if name not in top:
                raise CutError(
                    f"task {cut.task}: {name!r} is not at the top of the module; it has {', '.join(top)}"
                )
        dropped = sum((top[name].end_lineno or 0) - start_of(top[name]) for name in cut.drop)
        for name in cut.symbols:
            node = top[name]
            if not isinstance(node, Named):
                raise CutError(f"task {cut.task}: {name!r} must be a function or a class")
            if isinstance(node, FUNCTIONS):
                edits.append(_stub(node, cut.task, dropped))
            else:
                edits += _stub_class(node, cut, lines)
            dropped = 0
        edits += [_removed(top[name], lines) for name in cut.drop]
    for edit in sorted(edits, key=lambda edit: edit.first, reverse=True):
        lines[edit.first : edit.last] = edit.lines
    return "\n".join(lines) + "\n"


def answer(source: str, names: Iterable[str]) -> str:
    """The texts of top-level definitions, as the reference has them."""
    lines = source.splitlines()
    top = {name: node for node in ast.parse(source).body for name in names_of(node)}
    return (
        "\n\n\n".join("\n".join(lines[start_of(top[name]) : top[name].end_lineno]) for name in names) + "\n"
    )


def statements(node: ast.AST) -> Iterator[str]:
    """Every statement below a definition as normal text, docstrings aside."""
    for each in ast.walk(node):
        if isinstance(each, ast.stmt) and not isinstance(
            each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Expr)
        ):
            yield ast.unparse(each)


def body_of(node: Function) -> list[ast.stmt]:
    """A function's statements without its docstring."""
    return node.body[ast.get_docstring(node) is not None :]


def start_of(node: ast.stmt) -> int:
    """The line, from 0, that a top-level statement begins on, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)]) - 1


def _stub(node: Function, task: str, more: int = 0) -> Edit:
    """Takes a function's body away; `more` lines that it needs are missing elsewhere."""
    body = body_of(node)
    if not body:
        raise CutError(f"task {task}: {node.name} has no body to cut")
    # Comments before the first statement belong to the answer, so the cut begins where the docstring ends.
    first = _head_end(node) if len(body) == len(node.body) else node.body[0].end_lineno or 0
    assert node.end_lineno is not None
    indent = " " * (node.col_offset + 4)
    count = node.end_lineno - first + more
    todo = f"# TODO(you): about {count} line{'s' * (count > 1)}"
    return Edit(
        first, node.end_lineno, (f"{indent}{todo}", f'{indent}raise NotImplementedError("task {task}")')
    )


def _head_end(node: Function) -> int:
    """The number of the line, from 1, that a function's signature ends on, where there is no docstring."""
    places = [
        node.lineno,
        *(a.end_lineno or 0 for a in ast.walk(node.args) if isinstance(a, (ast.expr, ast.arg))),
    ]
    if node.returns is not None:
        places.append(node.returns.end_lineno or 0)
    end = max(places)
    return end if node.body[0].lineno > end else node.body[0].lineno - 1


def _stub_class(node: ast.ClassDef, cut: Cut, lines: list[str]) -> list[Edit]:
    given = cut.given.get(node.name, ())
    unknown = set(given) - {name for member in node.body for name in names_of(member)}
    if unknown:
        raise CutError(
            f"task {cut.task}: {node.name} has no {', '.join(sorted(unknown))} that could be given"
        )
    edits = []
    for member in node.body:
        names = names_of(member)
        if not names or set(names) & set(given):
            continue
        if isinstance(member, FUNCTIONS) and (not member.name.startswith("_") or member.name == "__init__"):
            edits.append(_stub(member, cut.task))
        elif (
            isinstance(member, FUNCTIONS) or "__slots__" in names
        ):  # how it is done inside is the learner's choice
            edits.append(_removed(member, lines))
    if not any(edit.lines for edit in edits):
        raise CutError(f"task {cut.task}: everything of {node.name} is given")
    return edits


def _removed(node: ast.stmt, lines: list[str]) -> Edit:
    """Takes a definition away, with the comments right above it and the empty lines before."""
    first, last = start_of(node), node.end_lineno or node.lineno
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    while first and not lines[first - 1].strip():
        first -= 1
    return Edit(first, last)
