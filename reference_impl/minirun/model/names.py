"""How names are made, and what names, label keys and label values may look like: Kubernetes' own rules, in
its own words.

Sources: knative.dev/pkg kmeta (`ChildName`); apimachinery pkg/util/validation and pkg/api/validation.
"""

import hashlib
import re
from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from minirun.model.meta import ObjectMeta, Resource
from minirun.model.resources import CoreService, Kind, Namespace

MAX_NAME = 63
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes': no vowels, so no words


def random_suffix(rng: Random, length: int = 5) -> str:
    """Letters and digits that make a generated name unique."""
    return "".join(rng.choices(_SUFFIX_LETTERS, k=length))


def child_name(parent: str, suffix: str) -> str:
    """`parent` + `suffix`, or, if that is too long, a hash in place of the parent's end (kmeta)."""
    if len(parent) + len(suffix) <= MAX_NAME:
        return parent + suffix
    digest = hashlib.md5(parent.encode(), usedforsecurity=False).hexdigest()
    return parent[: MAX_NAME - len(digest) - len(suffix)] + digest + suffix


def generated_revision_name(parent: str, generation: int) -> str:
    """The revision that generation `generation` of the Configuration `parent` makes, if nobody names it."""
    return child_name(parent, f"-{generation:05d}")


class Rule(NamedTuple):
    """A form of text: its pattern, its greatest length, and what to say when it is not kept."""

    pattern: str
    longest: int
    sentence: str
    examples: tuple[str, ...]


_ALNUM = "must consist of lower case alphanumeric characters"
_ENDS = "must start and end with an alphanumeric character"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

LABEL_1035: Final = Rule(
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    63,
    f"a DNS-1035 label {_ALNUM} or '-', start with an alphabetic character, and end with an alphanumeric"
    " character",
    ("my-name", "abc-123"),
)
LABEL_1123: Final = Rule(
    _LABEL, 63, f"a lowercase RFC 1123 label {_ALNUM} or '-', and {_ENDS}", ("my-name", "123-abc")
)
SUBDOMAIN_1123: Final = Rule(
    rf"{_LABEL}(\.{_LABEL})*",
    253,
    f"a lowercase RFC 1123 subdomain {_ALNUM}, '-' or '.', and {_ENDS}",
    ("example.com",),
)
QUALIFIED_NAME: Final = Rule(
    _QUALIFIED,
    63,
    f"name part must consist of alphanumeric characters, '-', '_' or '.', and {_ENDS}",
    ("MyName", "my.name", "123-abc"),
)
CONFIG_KEY: Final = Rule(
    "[-._a-zA-Z0-9]+",
    253,
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ("key.name", "KEY_NAME", "key-name"),
)
LABEL_VALUE: Final = Rule(
    f"({_QUALIFIED})?",
    63,
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and"
    f" {_ENDS}",
    ("MyValue", "my_value", "12345"),
)


def objections(rule: Rule, text: str) -> list[str]:
    """What Kubernetes has against `text`; empty when it keeps the rule."""
    found = []
    if len(text) > rule.longest:
        found.append(f"must be no more than {rule.longest} characters")
    if not re.fullmatch(rule.pattern, text, re.ASCII):
        examples = " or ".join(f"'{example}', " for example in rule.examples)
        found.append(f"{rule.sentence} (e.g. {examples}regex used for validation is '{rule.pattern}')")
    return found


_NAMES: Final[dict[type[Resource], Rule]] = {Namespace: LABEL_1123, CoreService: LABEL_1035}


def check_metadata(kind: Kind, meta: ObjectMeta) -> Iterator[str]:
    """What the API server itself has against an object's metadata, as `path: Invalid value: ...` each."""
    rule = _NAMES.get(kind.type, SUBDOMAIN_1123)
    if not meta.name and not meta.generate_name:
        yield "metadata.name: Required value: name or generateName is required"
    generated = meta.generate_name and meta.generate_name + "a"
    for path, name in ("name", meta.name), ("generateName", generated):
        for text in objections(rule, name) if name else ():
            yield f'metadata.{path}: Invalid value: "{name}": {text}'
    for key, value in meta.labels.items():
        yield from _key_objections("labels", key)
        for text in objections(LABEL_VALUE, value):
            yield f'metadata.labels: Invalid value: "{value}": {text}'
    for key in meta.annotations:
        yield from _key_objections("annotations", key)
    for owner in meta.owner_references:
        for path, said in ("kind", owner.kind), ("name", owner.name), ("uid", owner.uid):
            if not said:
                yield f'metadata.ownerReferences.{path}: Invalid value: "": must not be empty'


def _key_objections(path: str, key: str) -> Iterator[str]:
    prefix, slash, name = key.rpartition("/")
    wrong = [f"prefix part {text}" for text in objections(SUBDOMAIN_1123, prefix)] if slash else []
    for text in wrong + objections(QUALIFIED_NAME, name):
        yield f'metadata.{path}: Invalid value: "{key}": {text}'
