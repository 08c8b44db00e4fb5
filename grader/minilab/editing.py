"""Puts definitions into a file, symbol by symbol, and leaves all else of it as it is, to the byte."""

import ast

from minilab.cutting import start_of
from minirun.overlay import Named


class EditError(ValueError):
    """A text that is no Python, or holds no definition; the text says where."""


def definitions(text: str) -> dict[str, str]:
    """The functions and classes at the top of a text, by name, decorators included.

    Raises EditError if it is not Python.
    """
    lines = text.splitlines()
    return {node.name: "\n".join(lines[start_of(node) : node.end_lineno]) for node in _named(text)}


def put(text: str, wanted: dict[str, str]) -> str:
    """`text` with each of the `wanted` definitions in place of its own, or at its end if it has none.

    Raises EditError if `text` is not Python.
    """
    lines = text.splitlines()
    missing = dict(wanted)
    for node in sorted(_named(text), key=start_of, reverse=True):
        if node.name in missing:
            lines[start_of(node) : node.end_lineno] = missing.pop(node.name).splitlines()
    for definition in missing.values():
        lines += ["", "", *definition.splitlines()]
    return "\n".join(lines) + "\n"


def _named(text: str) -> list[Named]:
    try:
        return [node for node in ast.parse(text).body if isinstance(node, Named)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise EditError(f"{where}{getattr(error, 'msg', None) or error}") from None
