"""What the body of a PATCH wants, by its media type: a function from the document that is there to the next.

`PATCHES` is the table. Server-side apply is no such function, since it goes by who owns what
(`api/writing.py`). Counterpart: kube-apiserver's patch handler.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from minirun.api.status import StatusError
from minirun.model.decoding import DecodingError, parse_json
from minirun.model.patches import (
    Operation,
    PatchError,
    PatchTooLargeError,
    json_patch,
    merge_patch,
    strategic_merge,
)
from minirun.model.resources import Kind

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

Document = dict[str, object]
Patch = Callable[[Document], object]


def read_merge(body: bytes) -> Patch:
    """An RFC 7396 merge patch."""
    patch = _object(body)
    return lambda document: merge_patch(document, patch)


def read_strategic(body: bytes) -> Patch:
    """A strategic merge patch; only kinds of Kubernetes' own have them."""
    patch = _object(body)
    return lambda document: strategic_merge(document, patch)


def read_operations(body: bytes) -> Patch:
    """An RFC 6902 list of operations."""
    try:
        operations = msgspec.json.decode(body, type=list[Operation])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StatusError(400, f"error decoding patch: {error}") from None

    def patch(document: Document) -> object:
        try:
            return json_patch(document, operations)
        except PatchTooLargeError as error:
            raise StatusError(413, str(error)) from None
        except PatchError as error:
            said = "the server rejected our request due to an error in our request"
            raise StatusError(422, f"{said}: {error}") from None

    return patch


PATCHES: Final[dict[str, Callable[[bytes], Patch]]] = {
    JSON_PATCH: read_operations,
    MERGE_PATCH: read_merge,
    STRATEGIC_PATCH: read_strategic,
}


def accepted_patches(kind: Kind) -> list[str]:
    """The media types of patches that a kind takes; kinds of a CRD have no strategic merge."""
    is_custom = "." in kind.group
    return [each for each in (*PATCHES, APPLY_PATCH) if not (is_custom and each == STRATEGIC_PATCH)]


def _object(body: bytes) -> Document:
    try:
        return parse_json(body)
    except DecodingError as error:
        raise StatusError(400, f"error decoding patch: {error}") from None
