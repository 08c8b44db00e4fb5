"""Which objects a request means: label and field selectors.

`a=b`, `a==b`, `a!=b`, `a in (x,y)`, `a notin (x)`, `a`, `!a`, joined by commas, all of which must hold. An
object without the label passes `!=` and `notin`. Counterpart: apimachinery pkg/labels and pkg/fields.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from minirun.api.status import StatusError
from minirun.model.meta import Resource

_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_REQUIREMENT = re.compile(
    rf"\s*(?P<absent>!\s*)?(?P<key>{_KEY})(?(absent)|(?:\s*(?P<equality>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)
_FIELD_REQUIREMENT = re.compile(r"([^=!]+)(==|!=|=)(.*)")
_ABOUT = ("apiVersion", "kind", "name", "namespace", "uid")
FIELDS: Final[Mapping[str, str]] = {
    "metadata.name": "metadata.name",
    "metadata.namespace": "metadata.namespace",
    "status.phase": "status.phase",
    "spec.nodeName": "spec.node_name",
    "type": "type",
    "reason": "reason",
    "reportingComponent": "reporting_component",
    **{f"involvedObject.{name}": f"involved_object.{name.replace('V', '_v')}" for name in _ABOUT},
}
"""What a field selector may name, and where it is; an object without the field has an empty text there."""


class Requirement(NamedTuple):
    """`wanted` False turns the meaning round; `values` None asks only whether the label is there."""

    key: str
    values: frozenset[str] | None
    wanted: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        found = self.key in labels if self.values is None else labels.get(self.key) in self.values
        return found is self.wanted


class Selector(NamedTuple):
    """What a request selects; an empty one selects everything."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, resource: Resource) -> bool:
        return all(r.holds(resource.metadata.labels) for r in self.labels) and all(
            r.holds({r.key: _field(resource, FIELDS[r.key])}) for r in self.fields
        )


def _field(resource: Resource, path: str) -> str:
    value: object = resource
    for name in path.split("."):
        value = getattr(value, name, "")
    return str(value)


def parse_selector(query: Mapping[str, str]) -> Selector:
    """The selector in `labelSelector` and `fieldSelector` of a query. Raises StatusError (400)."""
    fields = tuple(map(_field_requirement, filter(None, query.get("fieldSelector", "").split(","))))
    return Selector(_parse(query.get("labelSelector", "")), fields)


def _field_requirement(text: str) -> Requirement:
    """`FIELD=VALUE`, `==` or `!=`; a value may have anything in it but a comma."""
    match = _FIELD_REQUIREMENT.fullmatch(text)
    if match is None:
        raise StatusError(
            400, f'invalid selector: "{text}" is none of FIELD=VALUE, FIELD==VALUE, FIELD!=VALUE'
        )
    key, operator, value = match.groups()
    if key not in FIELDS:
        known = ", ".join(f'"{name}"' for name in FIELDS)
        raise StatusError(400, f'"{key}" is not a known field selector: only {known}')
    return Requirement(key, frozenset({value}), operator != "!=")


def _parse(text: str) -> tuple[Requirement, ...]:
    found, position = [], 0
    while position < len(text):
        match = _REQUIREMENT.match(text, position)
        if match is None:
            raise StatusError(
                400,
                f'unable to parse requirement: "{text[position:]}" is none of KEY, !KEY, KEY=VALUE, '
                "KEY!=VALUE, KEY in (VALUE, ...), KEY notin (VALUE, ...)",
            )
        operator = match["equality"] or match["set"]
        values = (match["value"] or match["values"] or "").split(",")
        wanted = not match["absent"] and operator not in ("!=", "notin")
        found.append(
            Requirement(match["key"], frozenset(map(str.strip, values)) if operator else None, wanted)
        )
        position = match.end()
    return tuple(found)
