"""Images are pinned once: all that is made of a revision or an execution runs the same bits.

Counterpart: the digest resolver of pkg/reconciler/revision in knative/serving.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from minirun.model.resources import Container, ContainerStatus

IMAGE_RETRY_SECONDS = 10.0


class ResolvedImage(Protocol):
    """`pinned` names the content for good: `name@sha256:...`; `note` is what users should know of it."""

    @property
    def pinned(self) -> str: ...
    @property
    def note(self) -> str: ...


class Images(Protocol):
    """Finds images; raises LookupError or ValueError with a sentence when it can't."""

    def resolve(self, reference: str) -> ResolvedImage: ...


@dataclass(frozen=True, slots=True)
class AnyImage:
    """An image of a simulation: there is nothing in it."""

    pinned: str
    note: str = ""


class AnyImages:
    """Every image exists; for runtimes that do not look into one."""

    def resolve(self, reference: str) -> AnyImage:
        return AnyImage(f"{reference}@sha256:{hashlib.sha256(reference.encode()).hexdigest()}")


class MissingImageError(Exception):
    """There is no `image`, or it can't be found; the message says why."""

    def __init__(self, image: str, why: str) -> None:
        super().__init__(why)
        self.image = image


def pin_images(
    images: Images, containers: Iterable[Container], pinned: Iterable[ContainerStatus]
) -> tuple[list[ContainerStatus], list[str]]:
    """The digest of each container's image, known (`pinned`) or found now, and the notes of those found.

    Raises:
        MissingImageError
    """
    known = {status.name: status for status in pinned}
    notes: list[str] = []
    for container in containers:
        if container.name not in known:
            try:
                image = images.resolve(container.image)
            except (LookupError, ValueError) as error:
                raise MissingImageError(container.image, str(error)) from None
            known[container.name] = ContainerStatus(name=container.name, image_digest=image.pinned)
            notes += filter(None, [image.note])
    return list(known.values()), notes
