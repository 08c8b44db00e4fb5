"""Request bodies of core kinds in Kubernetes' protobuf, which kubectl and Go clients send by preference.

A body is `k8s\\0` and an envelope with the type and the object's bytes. What a message's field numbers mean
is in protobuf's own words below; a number that is not there is skipped. Answers are always JSON, which those
clients accept.
Sources: the *.proto files of k8s.io/api and k8s.io/apimachinery; protobuf.dev/programming-guides/encoding.
"""

import base64
import re
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

    TEXT = "string"
    BYTES = "bytes"
    INTEGER = "int64"
    BOOLEAN = "bool"
    INTEGER_OR_TEXT = "IntOrString"


@dataclass(frozen=True, slots=True)
class Field:
    """A field's JSON name, and what it holds: one value, several (`many`), or a map from texts (`keyed`)."""

    name: str
    type: "Scalar | Message"
    many: bool = False
    keyed: bool = False


Message = Mapping[int, Field]
_SCALARS: Final = {scalar.value: scalar for scalar in Scalar}
_MESSAGE = re.compile(r"(\w+) \{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"(repeated )?(map<string, )?(\w+)>? (\w+) = (\d+);")


def read_messages(text: str) -> dict[str, Message]:
    """The messages that a text describes as a .proto file does; those inside others come first."""
    found: dict[str, Message] = {}
    for name, body in _MESSAGE.findall(text):
        found[name] = {
            int(number): Field(json_name, _SCALARS.get(type_) or found[type_], bool(many), bool(keyed))
            for many, keyed, type_, json_name, number in _FIELD.findall(body)
        }
    return found


_ALL: Final = read_messages("""
TypeMeta { string apiVersion = 1; string kind = 2; }
Unknown { TypeMeta type = 1; bytes raw = 2; }
IntOrString { bool is_text = 1; int64 integer = 2; string text = 3; }
OwnerReference {
  string kind = 1; string name = 3; string uid = 4; string apiVersion = 5;
  bool controller = 6; bool blockOwnerDeletion = 7;
}
ObjectMeta {
  string name = 1; string generateName = 2; string namespace = 3; string uid = 5;
  string resourceVersion = 6; int64 generation = 7;
  map<string, string> labels = 11; map<string, string> annotations = 12;
  repeated OwnerReference ownerReferences = 13; repeated string finalizers = 14;
}
ServicePort {
  string name = 1; string protocol = 2; int64 port = 3; IntOrString targetPort = 4;
  int64 nodePort = 5; string appProtocol = 6;
}
ServiceSpec {
  repeated ServicePort ports = 1; map<string, string> selector = 2; string clusterIP = 3; string type = 4;
  string sessionAffinity = 7; string externalName = 10;
}
LocalObjectReference { string name = 1; }
Preconditions { string uid = 1; string resourceVersion = 2; }
ResourceAttributes {
  string namespace = 1; string verb = 2; string group = 3; string version = 4;
  string resource = 5; string subresource = 6; string name = 7;
}
NonResourceAttributes { string path = 1; string verb = 2; }
SelfSubjectAccessReviewSpec {
  ResourceAttributes resourceAttributes = 1; NonResourceAttributes nonResourceAttributes = 2;
}
Namespace { ObjectMeta metadata = 1; }
ConfigMap {
  ObjectMeta metadata = 1; map<string, string> data = 2; map<string, bytes> binaryData = 3;
  bool immutable = 4;
}
Secret {
  ObjectMeta metadata = 1; map<string, bytes> data = 2; string type = 3; map<string, string> stringData = 4;
  bool immutable = 5;
}
Service { ObjectMeta metadata = 1; ServiceSpec spec = 2; }
ServiceAccount { ObjectMeta metadata = 1; repeated LocalObjectReference imagePullSecrets = 3; }
DeleteOptions {
  int64 gracePeriodSeconds = 1; Preconditions preconditions = 2; string propagationPolicy = 4;
  repeated string dryRun = 5;
}
SelfSubjectReview { ObjectMeta metadata = 1; }
SelfSubjectAccessReview { ObjectMeta metadata = 1; SelfSubjectAccessReviewSpec spec = 2; }
""")
_BODIES: Final = (
    *("Namespace", "ConfigMap", "Secret", "Service", "ServiceAccount", "DeleteOptions"),
    *("SelfSubjectReview", "SelfSubjectAccessReview"),
)
MESSAGES: Final = {name: _ALL[name] for name in _BODIES}
"""What a body may be."""


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
        envelope = _message(memoryview(body)[len(MAGIC) :], _ALL["Unknown"])
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
            entry = _message(_bytes(value), {1: Field("key", Scalar.TEXT), 2: Field("value", field.type)})
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
            either = _message(_bytes(value), _ALL["IntOrString"])
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
