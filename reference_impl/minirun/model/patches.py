"""Patches of JSON documents, pure: RFC 7396 merge, RFC 6902 operations, Kubernetes' strategic merge.

A patch never edits what it is given: it makes new containers along the way and shares the rest. Counterparts:
kube-apiserver's patch handler with evanphx/json-patch, and apimachinery pkg/util/strategicpatch.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

Edit = Callable[[dict[str, object] | list[object], str], object]

MAX_OPERATIONS: Final = 10_000  # of one JSON patch, as in kube-apiserver
MAX_COPIED_BYTES: Final = 3 << 20  # that its `copy` operations may make, so that they can't double a document

LIST_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "ownerReferences": ("uid",),
    "finalizers": (),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
}
"""Lists whose items have an identity, by field: the members that make it; none where it is the item itself.

All other lists are values as a whole; so are `containers` and `traffic`, which Knative's CRDs leave atomic.
"""


class PatchError(ValueError):
    """The patch does not fit the document: one sentence."""


class PatchTooLargeError(ValueError):
    """The patch does more than one may: one sentence."""


class Operation(msgspec.Struct, frozen=True):
    """One operation of a JSON patch; `path` and `source` (`from`) are JSON pointers (RFC 6901)."""

    op: str
    path: str
    source: str | None = msgspec.field(name="from", default=None)
    value: object = msgspec.UNSET


def keyed(field: str, items: object) -> dict[object, object] | None:
    """The items of a list by their identity; None if the list is a value as a whole.

    A list in which an item has no identity, or two have the same, is a value as a whole, too.
    """
    if not isinstance(items, list) or field not in LIST_KEYS:
        return None
    found: dict[object, object] = {}
    for item in items:
        key = item
        if names := LIST_KEYS[field]:
            key = tuple(item.get(name) for name in names) if isinstance(item, dict) else None
        members = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(member, str | int) for member in members) or key in found:
            return None
        found[key] = item
    return found


# --- merging -------------------------------------------------------------------------------------------


def merge_patch(target: object, patch: object) -> object:
    """The target after an RFC 7396 merge patch: objects merge, null removes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge(target: object, patch: object) -> object:
    """The target after a strategic merge patch: a merge patch in which the lists of `LIST_KEYS` merge too.

    Honours `$patch: replace` and `delete`, and `$deleteFromPrimitiveList/FIELD`; the order that
    `$setElementOrder/FIELD` wants means nothing to these lists.
    """
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") in ("replace", "delete"):
        return {
            key: value for key, value in patch.items() if key != "$patch" and patch["$patch"] == "replace"
        }
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        directive, _, field = key.partition("/")
        if directive == "$deleteFromPrimitiveList" and isinstance(value, list):
            there = merged.get(field)
            merged[field] = [each for each in there if each not in value] if isinstance(there, list) else []
        elif value is None:
            merged.pop(key, None)
        elif key in LIST_KEYS and isinstance(value, list):
            merged[key] = _merge_lists(key, merged.get(key), value)
        elif not key.startswith("$"):
            merged[key] = strategic_merge(merged.get(key), value)
    return merged


def _merge_lists(field: str, target: object, patch: list[object]) -> list[object]:
    there, items = keyed(field, target), keyed(field, patch)
    replaced = [each for each in patch if not _asks(each, "replace")]
    if there is None or items is None or len(replaced) < len(patch):
        return replaced
    merged = there | {key: strategic_merge(there.get(key), item) for key, item in items.items()}
    return [item for key, item in merged.items() if not _asks(items.get(key), "delete")]


def _asks(item: object, directive: str) -> bool:
    return isinstance(item, dict) and item.get("$patch") == directive


# --- operations ----------------------------------------------------------------------------------------


def json_patch(document: object, operations: Sequence[Operation]) -> object:
    """The document after all operations of an RFC 6902 patch.

    Raises:
        PatchError: one of them does not apply, or a test fails.
        PatchTooLargeError: there are too many, or they copy too much.
    """
    if len(operations) > MAX_OPERATIONS:
        raise PatchTooLargeError(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    copied = 0
    for operation in operations:
        if operation.op not in _OPERATIONS:
            raise PatchError(f"Unexpected kind: {operation.op}")
        if operation.op == "copy":
            copied += len(msgspec.json.encode(_get(document, _source(operation))))
            if copied > MAX_COPIED_BYTES:
                raise PatchTooLargeError(f"the patch copies more than {MAX_COPIED_BYTES} bytes")
        document = _OPERATIONS[operation.op](document, operation)
    return document


def _add(document: object, operation: Operation) -> object:
    return _put(document, operation.path, _value(operation))


def _remove(document: object, operation: Operation) -> object:
    return _edit(document, operation.path, _without)


def _replace(document: object, operation: Operation) -> object:
    value = _value(operation)
    _get(document, operation.path)
    return _edit(document, operation.path, lambda container, token: _with(container, token, value))


def _move(document: object, operation: Operation) -> object:
    source = _source(operation)
    if operation.path.startswith(f"{source}/"):
        raise PatchError(f"{source} can't be moved into itself, to {operation.path}")
    value = _get(document, source)
    return _put(_edit(document, source, _without), operation.path, value)


def _copy(document: object, operation: Operation) -> object:
    return _put(document, operation.path, _get(document, _source(operation)))


def _test(document: object, operation: Operation) -> object:
    if not _same(_get(document, operation.path), _value(operation)):
        raise PatchError(f"testing value {operation.path} failed: test failed")
    return document


_OPERATIONS: Final[dict[str, Callable[[object, Operation], object]]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _value(operation: Operation) -> object:
    if operation.value is msgspec.UNSET:
        raise PatchError(f"the {operation.op} operation of {operation.path} has no value")
    return operation.value


def _source(operation: Operation) -> str:
    if operation.source is None:
        raise PatchError(f"the {operation.op} operation to {operation.path} has no from")
    return operation.source


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise PatchError(f'"{pointer}" is no JSON pointer: it must be empty or start with /')
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _get(document: object, pointer: str) -> object:
    for token in _tokens(pointer):
        document = _child(document, token, pointer)
    return document


def _child(container: object, token: str, pointer: str) -> object:
    if isinstance(container, dict) and token in container:
        return container[token]
    if isinstance(container, list) and (index := _index(token)) is not None and index < len(container):
        return container[index]
    raise PatchError(f"the document has no {pointer}: missing value")


def _index(token: str) -> int | None:
    return int(token) if re.fullmatch("0|[1-9][0-9]{0,8}", token) else None


def _put(document: object, pointer: str, value: object) -> object:
    return _edit(document, pointer, lambda container, token: _with(container, token, value, insert=True))


def _edit(document: object, pointer: str, edit: Edit) -> object:
    """The document with `edit(container, token)` in place of the container that the pointer ends in.

    The document as a whole is member `document` of a container of its own.
    """
    tokens = ["document", *_tokens(pointer)]
    path: list[object] = [{"document": document}]
    for token in tokens[:-1]:
        path.append(_child(path[-1], token, pointer))
    if not isinstance(path[-1], dict | list):
        raise PatchError(f"the document has no {pointer}: missing value")
    changed = edit(path[-1], tokens[-1])
    for container, token in zip(reversed(path[:-1]), reversed(tokens[:-1]), strict=True):
        assert isinstance(container, dict | list)
        changed = _with(container, token, changed)
    assert isinstance(changed, dict)
    if "document" not in changed:
        raise PatchError("the document as a whole can't be removed")
    return changed["document"]


def _with(
    container: dict[str, object] | list[object], token: str, value: object, *, insert: bool = False
) -> dict[str, object] | list[object]:
    if isinstance(container, dict):
        return {**container, token: value}
    index = len(container) if token == "-" and insert else _index(token)
    if index is None or index > len(container):
        raise PatchError(f'"{token}" is no index of a list of {len(container)} items')
    return [*container[:index], value, *container[index + (not insert) :]]


def _without(container: dict[str, object] | list[object], token: str) -> dict[str, object] | list[object]:
    _child(container, token, token)
    if isinstance(container, dict):
        return {key: value for key, value in container.items() if key != token}
    index = int(token)
    return [*container[:index], *container[index + 1 :]]


def _same(one: object, other: object) -> bool:
    """Equality of JSON, in which true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)
