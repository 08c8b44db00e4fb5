"""From a client's JSON to a typed resource, with every field that has no place in it found by its path.

Nulls are dropped (`creationTimestamp: null` is what old clients send), `status` is left to the controllers,
and a wrong type is one sentence with a path as Kubernetes writes it. Counterparts: kube-apiserver's field
validation (Strict, Warn, Ignore) and its structural schemas.
"""

import json
import re
import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple, TypeVar

import msgspec

from minirun.model.meta import Resource

R = TypeVar("R", bound=Resource)

# Fields of Kubernetes' ObjectMeta that clients send back and that mean nothing here.
_IGNORED: Final = {"ObjectMeta": {"selfLink", "clusterName"}}
_TYPE_NAMES: Final = {"int": "integer", "str": "string", "bool": "boolean", "float": "number", "null": "null"}


class DecodingError(ValueError):
    """The body can't be the resource. `field` is the path of what is wrong; empty for the body as a whole."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class UnknownField(NamedTuple):
    """A field that the type does not have: its path, its name, the type it was put in, an empty value?"""

    path: str
    name: str
    owner: str
    empty: bool = False


class Decoded(NamedTuple, typing.Generic[R]):
    resource: R
    unknown: list[UnknownField]


def parse_json(body: bytes) -> dict[str, object]:
    """The JSON object in `body`. Raises DecodingError."""
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodingError(f"the body is not a JSON object: {error}") from None


class _Twice(dict[str, object]):
    """An object of JSON with the names that it has more than once."""

    names: tuple[str, ...] = ()


def duplicate_fields(body: bytes) -> tuple[str, ...]:
    """The paths of members that JSON text has more than once; of a text that is no JSON, none."""
    seen = False

    def gather(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal seen
        found = _Twice(pairs)
        if len(found) < len(pairs):
            seen = True
            names = [name for name, _ in pairs]
            found.names = tuple(name for name in found if names.count(name) > 1)
        return found

    try:
        parsed = json.loads(body, object_pairs_hook=gather)
    except (ValueError, RecursionError):
        return ()
    return tuple(_duplicates(parsed, "")) if seen else ()


def _duplicates(value: object, path: str) -> Iterator[str]:
    if isinstance(value, _Twice):
        for name, child in value.items():
            here = f"{path}.{name}" if path else name
            if name in value.names:
                yield here
            yield from _duplicates(child, here)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}[{index}]")


def decode(document: dict[str, object], type_: type[R], *, without: str = "status") -> Decoded[R]:
    """The resource that a document declares, without its status.

    Args:
        document: what the client sent or what a patch made.
        type_: the kind that is expected; the document's own kind and apiVersion are checked by the caller.
        without: the member that is not looked at; for writes of the status the other one, `spec`.

    Raises:
        DecodingError: a value has the wrong type.
    """
    pruned = without_nulls({k: v for k, v in document.items() if k != without})
    try:
        resource = msgspec.convert(pruned, type_)
    except msgspec.ValidationError as error:
        raise _wrong_type(str(error)) from None
    return Decoded(resource, sorted(_unknown(pruned, type_, "")))


def without_nulls(value: typing.Any) -> typing.Any:
    """JSON without the members of objects that are null."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def _wrong_type(text: str) -> DecodingError:
    """msgspec's "Expected `int`, got `str` - at `$.spec.x`" in the words of Kubernetes' schemas."""
    path = re.search(r"at `(?:key in )?\$\.?([^`]*)`", text)
    kinds = re.search(r"Expected `([^`]*)`, got `([^`]*)`", text)
    field = path[1] if path else ""
    if kinds is None:
        return DecodingError(f"{field}: Invalid value: {text.partition(' - at')[0]}", field)
    wanted = " or ".join(_TYPE_NAMES.get(k, k) for k in kinds[1].split(" | ") if k != "null")
    got = _TYPE_NAMES.get(kinds[2], kinds[2])
    return DecodingError(
        f'{field}: Invalid value: "{got}": {field} in body must be of type {wanted}: "{got}"', field
    )


def _unknown(value: object, type_: type[msgspec.Struct], path: str) -> Iterator[UnknownField]:
    if not isinstance(value, dict):
        return
    members = _members(type_)
    for name, child in value.items():
        child_path = f"{path}.{name}" if path else name
        if name not in members:
            if name not in _IGNORED.get(type_.__name__, ()):
                yield UnknownField(child_path, name, type_.__name__, not child)
        elif (inner := members[name]) is not None:
            if isinstance(child, list):
                for index, item in enumerate(child):
                    yield from _unknown(item, inner, f"{child_path}[{index}]")
            else:
                yield from _unknown(child, inner, child_path)


@cache
def _members(type_: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    """JSON name of each field, and the struct inside it, if there is one."""
    return {f.encode_name: _struct_in(f.type) for f in msgspec.structs.fields(type_)}


def _struct_in(hint: object) -> type[msgspec.Struct] | None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if typing.get_origin(hint) in (list, typing.Union, types.UnionType):
        return next((found for arg in typing.get_args(hint) if (found := _struct_in(arg))), None)
    return None
