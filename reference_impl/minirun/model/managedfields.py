"""Who owns which field: the decisions of server-side apply over plain JSON, pure.

A document is flattened to paths, and everything follows from sets of them. Whoever applies a document owns
every field in it; what they no longer apply and nobody else owns goes; what others own and would get another
value is a conflict, unless it is forced. Other writers (`Update`) own what they changed. Maps, structs and
the lists of `LIST_KEYS` have fields of their own, anything else is one value. Counterpart:
structured-merge-diff and apimachinery pkg/util/managedfields.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, cast

from minirun.model.meta import ManagedFieldsEntry
from minirun.model.patches import LIST_KEYS, keyed

Path = tuple[str, ...]
"""Steps as `fieldsV1` writes them: `f:FIELD`, `k:{"KEY":VALUE}`, `v:VALUE`."""
Fields = frozenset[Path]

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS: Final = 10  # beyond it the oldest become one, as in kube-apiserver
MAX_DEPTH: Final = 64  # of a field that a client says somebody owns
OLDEST_UPDATERS: Final = "ancient-changes"
ATOMIC_MAPS: Final = ("nodeSelector", "selector")
_SYSTEM_METADATA: Final = frozenset(
    (
        *("name", "namespace", "uid", "resourceVersion", "generation", "selfLink", "clusterName"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"),
    )
)


class Manager(NamedTuple):
    """A writer: what it calls itself, and whether it applies or updates."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        """How a conflict names it."""
        text = json.dumps(self.name)
        if self.subresource:
            text += f" with subresource {json.dumps(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


Owners = Mapping[Manager, Fields]


class Change(NamedTuple):
    """What a write does: the fields that get another value, and those that go."""

    touched: Fields
    removed: Fields


# --- documents as fields -------------------------------------------------------------------------------

_BRANCH, _ITEM = object(), object()


def owned_part(document: Mapping[str, object], subresource: str = "") -> dict[str, object]:
    """The part of an object that writers can own: all but its identity, what the server fills in, status."""
    if subresource:
        return {subresource: document.get(subresource, {})}
    part = {k: v for k, v in document.items() if k not in ("apiVersion", "kind", "status", "metadata")}
    metadata = document.get("metadata")
    own = metadata if isinstance(metadata, dict) else {}
    return {"metadata": {k: v for k, v in own.items() if k not in _SYSTEM_METADATA}} | part


def _flat(value: object, path: Path, field: str) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict) and field not in ATOMIC_MAPS:
        yield path, _BRANCH
        for name, child in value.items():
            yield from _flat(child, (*path, f"f:{name}"), name)
    elif (items := keyed(field, value)) is not None:
        yield path, _BRANCH
        for key, item in items.items():
            here = (*path, _step(field, key))
            yield here, _ITEM
            if isinstance(item, dict):
                yield from (each for each in _flat(item, here, "") if each[0] != here)
    else:
        yield path, value


def _step(field: str, key: object) -> str:
    """An item of a list as a step of a path."""
    if names := LIST_KEYS[field]:
        members = dict(zip(names, cast("tuple[object, ...]", key), strict=True))
        return "k:" + json.dumps(members, separators=(",", ":"), sort_keys=True)
    return "v:" + json.dumps(key)


def _flatten(part: dict[str, object]) -> dict[Path, object]:
    return {path: value for path, value in _flat(part, (), "") if path not in ((), ("f:metadata",))}


def fields_of(part: dict[str, object], *, branches: bool = False) -> Fields:
    """What is said in a document: its leaves, its empty maps and the items of its lists.

    Args:
        branches: take in the maps and lists that have something in them, too.
    """
    flat = _flatten(part)
    if branches:
        return frozenset(flat)
    parents = {path[:-1] for path in flat}
    return frozenset(path for path, value in flat.items() if value is not _BRANCH or path not in parents)


def changes(live: dict[str, object], new: dict[str, object]) -> Change:
    """How a new document differs from the one before."""
    before, after = _flatten(live), _flatten(new)
    touched = (path for path, value in after.items() if path not in before or before[path] != value)
    return Change(frozenset(touched), frozenset(before.keys() - after.keys()))


# --- decisions -----------------------------------------------------------------------------------------


def merge_applied(
    live: dict[str, object], applied: dict[str, object], owners: Owners, manager: Manager
) -> dict[str, object]:
    """The live document with what is applied in it, and without what this manager applies no longer.

    Args:
        live, applied: whole documents.
        owners: who owns what now.
        manager: who applies.
    """
    stale = owners.get(manager, frozenset()) - fields_of(owned_part(applied))
    others = (fields for owner, fields in owners.items() if owner != manager)
    kept = {path[:end] for fields in others for path in fields for end in range(1, len(path) + 1)}
    merged = _pruned(_merged(live, applied, ""), (), "", stale - kept)
    assert isinstance(merged, dict)
    return merged


def _merged(live: object, applied: object, field: str) -> object:
    if isinstance(live, dict) and isinstance(applied, dict) and field not in ATOMIC_MAPS:
        both = {name: _merged(live[name], applied[name], name) for name in applied if name in live}
        return live | applied | both
    there, items = keyed(field, live), keyed(field, applied)
    if there is not None and items is not None:
        union = there | {
            key: _merged(there[key], items[key], "") if key in there else items[key] for key in items
        }
        return list(union.values())
    return applied


def _pruned(value: object, path: Path, field: str, gone: frozenset[Path]) -> object:
    """The value without the fields that are gone, and without the containers that this empties."""
    if isinstance(value, dict) and field not in ATOMIC_MAPS:
        kept = {}
        for name, child in value.items():
            here = (*path, f"f:{name}")
            left = _pruned(child, here, name, gone)
            if (here not in gone or (isinstance(child, dict) and child and left)) and (left or left == child):
                kept[name] = left
        return kept
    if (items := keyed(field, value)) is not None:
        steps = {key: (*path, _step(field, key)) for key in items}
        return [_pruned(item, steps[key], "", gone) for key, item in items.items() if steps[key] not in gone]
    return value


def find_conflicts(owners: Owners, change: Change, said: Fields, manager: Manager) -> dict[Manager, Fields]:
    """Which fields of others would get another value by what `manager` says."""
    claimed = (change.touched | change.removed) & said
    return {
        other: taken for other, fields in owners.items() if other != manager and (taken := fields & claimed)
    }


def hand_over(owners: Owners, change: Change, said: Fields, manager: Manager) -> dict[Manager, Fields]:
    """Who owns what after the write.

    Args:
        said: the fields in the writer's document; of what the server filled in nobody is the owner.
    """
    touched = change.touched & said
    after = {other: fields - touched - change.removed for other, fields in owners.items()}
    if manager.operation == APPLY:
        after[manager] = said
    else:
        after[manager] = (owners.get(manager, frozenset()) | touched) - change.removed
    return {owner: fields for owner, fields in after.items() if fields}


# --- metadata.managedFields ----------------------------------------------------------------------------


def read_owners(entries: Iterable[ManagedFieldsEntry]) -> dict[Manager, Fields]:
    """The owners in an object's entries. Raises ValueError: an entry is none."""
    owners: dict[Manager, Fields] = {}
    for entry in entries:
        if entry.operation not in (APPLY, UPDATE) or entry.fields_type != "FieldsV1":
            raise ValueError(f'the entry of manager "{entry.manager}" is not of FieldsV1, Apply or Update')
        manager = Manager(entry.manager, entry.operation, entry.api_version, entry.subresource)
        owners[manager] = frozenset(_parse(entry.fields_v1, ()))
    return owners


def write_owners(owners: Owners, before: Iterable[ManagedFieldsEntry], now: str) -> list[ManagedFieldsEntry]:
    """The entries of an object; one whose fields did not change keeps its time."""
    known = {(e.manager, e.operation, e.api_version, e.subresource): e for e in before}
    entries = []
    for owner, fields in owners.items():
        entry, tree = known.get(owner), _format(fields)
        if entry is None or entry.fields_v1 != tree:
            entry = ManagedFieldsEntry(
                manager=owner.name,
                operation=owner.operation,
                api_version=owner.api_version,
                time=now,
                fields_type="FieldsV1",
                fields_v1=tree,
                subresource=owner.subresource,
            )
        entries.append(entry)
    entries.sort(key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource))
    updaters = [entry for entry in entries if entry.operation == UPDATE]
    if len(updaters) <= MAX_UPDATERS:
        return entries
    one = Manager(OLDEST_UPDATERS, UPDATE, updaters[0].api_version)
    oldest = read_owners(updaters[: len(updaters) - MAX_UPDATERS + 1])
    gathered: Fields = frozenset().union(*oldest.values(), owners.get(one, ()))
    rest = {owner: fields for owner, fields in owners.items() if owner not in oldest}
    return write_owners(rest | {one: gathered}, entries, now)


def _format(fields: Fields) -> dict[str, object]:
    """Paths as `fieldsV1` nests them; `.` is a path that has others under it."""
    parents = {path[:end] for path in fields for end in range(1, len(path))}
    tree: dict[str, object] = {}
    for path in sorted(fields):
        node = tree
        for step in (*path, ".") if path in parents else path:
            node = cast("dict[str, object]", node.setdefault(step, {}))
    return tree


def _parse(tree: dict[str, object], path: Path) -> Iterator[Path]:
    if len(path) > MAX_DEPTH:
        raise ValueError("FieldsV1 is nested more deeply than any object")
    if path and (not tree or "." in tree):
        yield path
    for step, under in tree.items():
        if not isinstance(under, dict) or step[:2] not in ("f:", "k:", "v:", "i:", "."):
            raise ValueError(f'"{step}" is no step of FieldsV1')
        if step != ".":
            yield from _parse(under, (*path, step))


def describe(path: Path) -> str:
    """A path as people read it: `.spec.template.spec.volumes[name="data"]`."""
    return "".join(map(_describe_step, path))


def _describe_step(step: str) -> str:
    kind, text = step[:2], step[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        members = json.loads(text).items()
        return f"[{','.join(f'{name}={json.dumps(value)}' for name, value in members)}]"
    return f"[={text}]"
