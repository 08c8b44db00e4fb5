"""Documents of one API made from those of another by tables: the engine, and how single values are written.

A row says where a value is in v2, where in v1, and how it is written there (`Codec`); a table is read in
both directions. Values that are v2's defaults are left out, as protobuf does. Pure. The tables of Cloud
Run's two APIs are in `mapping_services.py` and `mapping_jobs.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from minirun.model.labels import RUN

Document = dict[str, Any]  # JSON of an API object
Path = tuple[str, ...]

SYSTEM_SPACES: Final = (
    RUN,
    "cloud.googleapis.com/",
    "serving.knative.dev/",
    "autoscaling.knative.dev/",
)
"""Labels and annotations that have fields of their own in v2; clients may not set them there as such."""


class Codec(NamedTuple):
    """How a value is written in v1 and how in v2; None is nothing. `table`: of what is inside it."""

    to_v1: Callable[[Any], Any]
    to_v2: Callable[[Any], Any]
    table: tuple["Row", ...] = ()


class Row(NamedTuple):
    """`keeps_zero`: a value that is there says something even when it is 0 (protobuf's field presence)."""

    v2: Path
    v1: Path
    codec: Codec
    keeps_zero: bool = False


Table = tuple[Row, ...]


def dig(document: Any, path: Path) -> Any:
    """The value at a path, or None."""
    for name in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document


def put(document: Document, path: Path, value: Any, *, keeps_zero: bool = False) -> None:
    """Sets the value at a path; objects merge. Nothing and what is empty leave no trace."""
    if value is None or value is False or (value in ("", 0, [], {}) and not (keeps_zero and value == 0)):
        return
    *parents, last = path
    for name in parents:
        document = document.setdefault(name, {})
    if isinstance(value, dict) and isinstance(document.get(last), dict):
        document[last].update(value)
    else:
        document[last] = dict(value) if isinstance(value, dict) else value  # the client's own stays its own


class BadValueError(ValueError):
    """What a client wrote at a path of v2 can't be read."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path


def to_v1(table: Table, v2: Document) -> Document:
    """The v1 form of a v2 document. Raises BadValueError."""
    v1: Document = {}
    for row in table:
        if (value := dig(v2, row.v2)) is None:
            continue
        try:
            put(v1, row.v1, row.codec.to_v1(value), keeps_zero=row.keeps_zero)
        except BadValueError as error:
            raise BadValueError(".".join((*row.v2, error.path)), str(error)) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadValueError(".".join(row.v2), f"It has the wrong type or value: {error}") from None
    return v1


def to_v2(table: Table, v1: Document) -> Document:
    """The v2 form of a v1 document."""
    v2: Document = {}
    for row in table:
        if (value := dig(v1, row.v1)) is not None:
            put(v2, row.v2, row.codec.to_v2(value), keeps_zero=row.keeps_zero)
    return v2


def path_to_v2(table: Table, path: str) -> str:
    """Where v2 has what v1 has at a path like `spec.template.spec.containers[0].image`."""
    found = [(".".join(row.v1), row) for row in table]
    found = [(v1, row) for v1, row in found if path == v1 or path.startswith((f"{v1}.", f"{v1}["))]
    if not found:
        return path
    v1, row = max(found, key=lambda each: len(each[0]))
    index, dot, inside = path.removeprefix(v1).partition(".")
    return ".".join(row.v2) + index + dot + path_to_v2(row.codec.table, inside)


# --- how values are written ----------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _duration_seconds(text: str) -> int:
    number = text.removesuffix("s")
    if not number.replace(".", "", 1).isdigit():
        raise ValueError(f"'{text}' is no duration like 3.5s")
    return int(float(number))


def _whole(text: Any) -> int | None:
    return int(text) if str(text).lstrip("-").isdecimal() else None


SAME: Final = Codec(_same, _same)
FLAG: Final = Codec(lambda on: "true" if on else None, lambda text: str(text).lower() == "true")
NUMBER: Final = Codec(str, _whole)
JSON: Final = Codec(lambda value: msgspec.json.encode(value).decode(), _json)
DURATION: Final = Codec(_duration_seconds, lambda seconds: f"{seconds}s")


def is_system(key: str) -> bool:
    """Whether a label or an annotation has a field of its own in v2."""
    return key.startswith(SYSTEM_SPACES)


USERS: Final = Codec(_same, lambda pairs: {k: v for k, v in pairs.items() if not is_system(k)})


def enum(prefix: str, values: Mapping[int, tuple[str, str]]) -> Codec:
    """An enum of v2, which clients send as a number or as a name.

    Args:
        prefix: of every name in v2.
        values: by number, the name in v2 without prefix and the text in v1.
    """
    by_name = {prefix + name: text for name, text in values.values()}
    by_number = {number: text for number, (_, text) in values.items()}
    by_text = {text.lower(): prefix + name for name, text in values.values()}

    def known(said: Any) -> str | None:
        if said == 0 or str(said).endswith("UNSPECIFIED"):
            return None
        found = by_number.get(said) if isinstance(said, int) else by_name.get(said)
        if found is None:
            raise ValueError(f"{said} is none of {', '.join(by_name)}")
        return found

    return Codec(known, lambda text: by_text.get(str(text).lower()))


def nested(table: Table) -> Codec:
    """An object with a table of its own."""
    return Codec(lambda v2: to_v1(table, v2), lambda v1: to_v2(table, v1), table)


def each(codec: Codec) -> Codec:
    """A list."""
    return Codec(
        lambda items: [codec.to_v1(item) for item in items],
        lambda items: [codec.to_v2(item) for item in items],
        codec.table,
    )


def only(*names: str) -> Codec:
    """An object of which v2 has these members; v1's others are left out there."""

    def pick(value: Document) -> Document | None:
        return {name: value[name] for name in names if value.get(name) not in (None, "", 0)}

    return Codec(_same, pick)


def rows(*names: str) -> Table:
    """Members that are the same in both."""
    return tuple(Row((name,), (name,), SAME) for name in names)
