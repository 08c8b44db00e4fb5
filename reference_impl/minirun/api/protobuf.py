"""Request bodies of core kinds in Kubernetes' protobuf, which kubectl and Go clients send by preference.

A body is `k8s\\0` and an envelope with the type and the object's bytes. What a message's field numbers mean
is in tables; a number that is not there is skipped. Answers are always JSON, which those clients accept.
Sources: the *.proto files of k8s.io/api and k8s.io/apimachinery; protobuf.dev/programming-guides/encoding.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from minirun.api.status import StatusError

PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\0"
VARINT_BITS_MAX: Final = 64


class Scalar(Enum):
    """How a field without fields of its own is read."""

    TEXT = "text"
    BYTES = "bytes"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    INTEGER_OR_TEXT = "integer or text"


@dataclass(frozen=True, slots=True)
class Field:
    """A field's JSON name, and what it holds: one value, several (`many`), or a map from texts (`keyed`)."""

    name: str
    type: "Scalar | Message" = Scalar.TEXT
    many: bool = False
    keyed: bool = False


Message = Mapping[int, Field]

_OWNER: Final[Message] = {
    1: Field("kind"),
    3: Field("name"),
    4: Field("uid"),
    5: Field("apiVersion"),
    6: Field("controller", Scalar.BOOLEAN),
    7: Field("blockOwnerDeletion", Scalar.BOOLEAN),
}
_METADATA: Final = Field(
    "metadata",
    {
        1: Field("name"),
        2: Field("generateName"),
        3: Field("namespace"),
        5: Field("uid"),
        6: Field("resourceVersion"),
        7: Field("generation", Scalar.INTEGER),
        11: Field("labels", keyed=True),
        12: Field("annotations", keyed=True),
        13: Field("ownerReferences", _OWNER, many=True),
        14: Field("finalizers", many=True),
    },
)
_PORT: Final[Message] = {
    1: Field("name"),
    2: Field("protocol"),
    3: Field("port", Scalar.INTEGER),
    4: Field("targetPort", Scalar.INTEGER_OR_TEXT),
    5: Field("nodePort", Scalar.INTEGER),
    6: Field("appProtocol"),
}
_RESOURCE_ATTRIBUTES: Final[Message] = {
    number: Field(name)
    for number, name in enumerate(
        ("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1
    )
}
MESSAGES: Final[Mapping[str, Message]] = {
    "Namespace": {1: _METADATA},
    "ConfigMap": {
        1: _METADATA,
        2: Field("data", keyed=True),
        3: Field("binaryData", Scalar.BYTES, keyed=True),
        4: Field("immutable", Scalar.BOOLEAN),
    },
    "Secret": {
        1: _METADATA,
        2: Field("data", Scalar.BYTES, keyed=True),
        3: Field("type"),
        4: Field("stringData", keyed=True),
        5: Field("immutable", Scalar.BOOLEAN),
    },
    "Service": {
        1: _METADATA,
        2: Field(
            "spec",
            {
                1: Field("ports", _PORT, many=True),
                2: Field("selector", keyed=True),
                3: Field("clusterIP"),
                4: Field("type"),
                7: Field("sessionAffinity"),
                10: Field("externalName"),
            },
        ),
    },
    "ServiceAccount": {1: _METADATA, 3: Field("imagePullSecrets", {1: Field("name")}, many=True)},
    "DeleteOptions": {
        1: Field("gracePeriodSeconds", Scalar.INTEGER),
        2: Field("preconditions", {1: Field("uid"), 2: Field("resourceVersion")}),
        4: Field("propagationPolicy"),
        5: Field("dryRun", many=True),
    },
    "SelfSubjectReview": {1: _METADATA},
    "SelfSubjectAccessReview": {
        1: _METADATA,
        2: Field(
            "spec",
            {
                1: Field("resourceAttributes", _RESOURCE_ATTRIBUTES),
                2: Field("nonResourceAttributes", {1: Field("path"), 2: Field("verb")}),
            },
        ),
    },
}
_INTEGER_OR_TEXT: Final[Message] = {
    1: Field("is_text", Scalar.BOOLEAN),
    2: Field("integer", Scalar.INTEGER),
    3: Field("text"),
}
_ENVELOPE: Final[Message] = {
    1: Field("type", {1: Field("apiVersion"), 2: Field("kind")}),
    2: Field("raw", Scalar.BYTES),
}


def decode(body: bytes) -> dict[str, object]:
    """The object in a body, as JSON would have it.

    Raises:
        StatusError: it is no such body (400), or of a kind that is not in `MESSAGES` (415).
    """
    if not body.startswith(MAGIC):
        raise StatusError(
            400, "the body is not Kubernetes' protobuf: it does not start with k8s and a zero byte"
        )
    try:
        envelope = _message(memoryview(body)[len(MAGIC) :], _ENVELOPE)
        type_ = envelope.get("type")
        named = {k: v for k, v in type_.items() if v} if isinstance(type_, dict) else {}
        message = MESSAGES.get(str(named.get("kind")))
        if message is None:
            known = ", ".join(MESSAGES)
            raise StatusError(
                415, f"{named.get('kind', 'this kind')} is not read as protobuf here, only {known}; send JSON"
            )
        return named | _message(memoryview(base64.b64decode(str(envelope.get("raw", "")))), message)
    except (ValueError, IndexError) as error:
        raise StatusError(400, f"the body is not Kubernetes' protobuf: {error}") from None


def _message(data: memoryview, message: Message) -> dict[str, object]:
    """The fields of a message that its table names."""
    found: dict[str, object] = {}
    for number, value in _fields(data):
        if (field := message.get(number)) is None:
            continue
        if field.keyed:
            entry = _message(_bytes(value), {1: Field("key"), 2: Field("value", field.type)})
            empty = "" if field.type in (Scalar.TEXT, Scalar.BYTES) else None
            members = found.setdefault(field.name, {})
            assert isinstance(members, dict)
            members[entry.get("key", "")] = entry.get("value", empty)
        elif field.many:
            several = found.setdefault(field.name, [])
            assert isinstance(several, list)
            several.append(_value(value, field.type))
        else:
            found[field.name] = _value(value, field.type)
    return found


def _value(value: int | memoryview, type_: Scalar | Message) -> object:
    match type_:
        case Scalar.INTEGER | Scalar.BOOLEAN:
            if not isinstance(value, int):
                raise ValueError("a number is expected and bytes were sent")
            if type_ is Scalar.BOOLEAN:
                return bool(value)
            return value - (1 << VARINT_BITS_MAX) if value >> (VARINT_BITS_MAX - 1) else value
        case Scalar.TEXT:
            return str(_bytes(value), "utf-8")
        case Scalar.INTEGER_OR_TEXT:
            either = _message(_bytes(value), _INTEGER_OR_TEXT)
            return either.get("text", "") if either.get("is_text") else either.get("integer", 0)
        case Scalar.BYTES:
            return base64.b64encode(_bytes(value)).decode()
        case _:
            return _message(_bytes(value), type_)


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("bytes are expected and a number was sent")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and raw value of each field: wire types 0 (varint), 1 and 5 (fixed, as bytes), 2 (bytes)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} is not in use")
        if at + length > len(data):
            raise ValueError("it ends in the middle of a field")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next thing starts."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << VARINT_BITS_MAX) - 1), at
        shift += 7
        if shift >= 70:
            raise ValueError("a number has more than ten bytes")
