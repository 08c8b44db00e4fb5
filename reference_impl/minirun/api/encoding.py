"""Stored objects as JSON bytes, made once a version.

A list of thousands and a write that a hundred watchers see both encode each object once: a resource version
names one state of one object, so its bytes can be kept.
"""

import msgspec

from minirun.model.meta import Resource

KEPT = 16_384


class Encoder:
    """The bytes of objects that are in the store or were."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}

    def __call__(self, resource: Resource) -> bytes:
        version = resource.metadata.resource_version
        found = self._bytes.get(version)
        if found is None:
            found = self._bytes[version] = msgspec.json.encode(resource)
            if len(self._bytes) > KEPT:
                del self._bytes[next(iter(self._bytes))]
        return found
