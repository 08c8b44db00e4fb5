"""What is wrong with a field, as Knative writes it; what all rules are made of.

Counterpart: knative.dev/pkg apis.FieldError and its constructors.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class FieldError(NamedTuple):
    """What is wrong, where (one or several paths), and at more length."""

    message: str
    paths: tuple[str, ...]
    details: str = ""


Errors = Iterator[FieldError]


def describe(errors: Iterable[FieldError]) -> str:
    """The errors as Knative's webhook writes them: a line each, with details on the lines after it."""
    paths: dict[tuple[str, str], set[str]] = {}
    for error in errors:
        paths.setdefault((error.message, error.details), set()).update(error.paths)
    return "\n".join(
        f"{message}: {', '.join(sorted(paths[message, details]))}" + (f"\n{details}" if details else "")
        for message, details in sorted(paths)
    )


def missing(path: str) -> FieldError:
    return FieldError("missing field(s)", (path,))


def disallowed(path: str) -> FieldError:
    return FieldError("must not set the field(s)", (path,))


def invalid(value: object, path: str, details: str = "") -> FieldError:
    return FieldError(f"invalid value: {value}", (path,), details)


def out_of_bounds(value: object, low: object, high: object, path: str) -> FieldError:
    return FieldError(f"expected {low} <= {value} <= {high}", (path,))


def exactly_one(chosen: Sequence[str], allowed: Sequence[str], path: str) -> Errors:
    """An error unless one of the members `allowed` of `path` is set."""
    if len(chosen) != 1:
        message = f"expected exactly one, got {'both' if chosen else 'neither'}"
        yield FieldError(message, tuple(f"{path}.{name}" for name in chosen or allowed))
