"""The narrow wire between a driver and what it grades: JSON, with its length before it.

A message is four bytes of length, most significant first, and that many bytes of JSON. Never pickle: the
other end is a stranger.
"""

import json
from typing import Any, BinaryIO  # Any: JSON of many shapes

MAX_MESSAGE_BYTES = 1_000_000
HEAD_BYTES = 4


class WireError(Exception):
    """What came is no message: too long, not JSON, or cut off."""


def encode(message: Any) -> bytes:
    """One message as bytes. Raises TypeError or ValueError if it is not plain data."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(HEAD_BYTES) + body


def decode(body: bytes) -> Any:
    """A message's JSON; WireError if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None


def body_length(head: bytes) -> int:
    """The length that a head announces; WireError above the limit, or where the stream ended."""
    length = int.from_bytes(head)
    if len(head) < HEAD_BYTES:
        raise WireError("it ended in the middle of a message" if head else "it ended")
    if length > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {length} bytes; {MAX_MESSAGE_BYTES} are allowed")
    return length


def read(stream: BinaryIO) -> Any | None:
    """The next message of a stream, None at its end."""
    head = stream.read(HEAD_BYTES)
    return decode(stream.read(body_length(head))) if head else None
