"""Images of a container engine beside the bundles: the engine's own win over a sample of the same name.

Local ones only: what is not there has to be pulled first, as a deploy should not wait for a registry. What
the engine does not have may be a bundle or a sample. A folder with a Dockerfile is built by the engine, any
other becomes a bundle. Counterparts: Knative's tag-to-digest resolver; `gcloud run deploy --source`, which
takes the Dockerfile or buildpacks.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from minirun.images.bundle import BundleStore
from minirun.images.bundle import Image as Bundle
from minirun.images.references import ImageNotFound, ImageNotRunnable, Reference, parse_reference
from minirun.images.source import BuildError


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image of the engine; its digest is that of its manifest or, where it has none, its id."""

    reference: str
    digest: str
    size_bytes: int
    command: tuple[str, ...]
    created: str
    note: str = ""

    @property
    def pinned(self) -> str:
        return str(Reference(parse_reference(self.reference).name, digest=self.digest))


class ImageEngine(Protocol):
    """What is asked of the engine."""

    def find_image(self, reference: str) -> tuple[str, int, Sequence[str], str]:
        """Digest, size in bytes, command and time of creation. Raises LookupError."""

    async def build(self, folder: Path, reference: str) -> str:
        """Builds by the Dockerfile; returns why it failed, in a few lines, or nothing."""

    def built_images(self) -> list[str]:
        """The references of what was built."""

    def remove_image(self, reference: str) -> None:
        """Removes a tag. Raises ValueError: it is in use."""


class EngineImages:
    """Finds images for a platform with a container engine."""

    def __init__(self, engine: ImageEngine, bundles: BundleStore) -> None:
        self._engine, self._bundles = engine, bundles

    def resolve(self, reference: str) -> EngineImage | Bundle:
        """Raises ValueError for a malformed reference, ImageNotFound: it is neither here nor there."""
        try:
            return self._load(reference)
        except LookupError:
            try:
                return self._bundles.resolve(reference)
            except ImageNotRunnable:
                raise ImageNotFound(
                    f"The Docker engine has no image {reference!r}; get it with `docker pull {reference}`."
                ) from None

    def built(self) -> dict[str, EngineImage]:
        """What was built with a Dockerfile, by its reference."""
        return {reference: self._load(reference) for reference in self._engine.built_images()}

    def remove(self, reference: str, in_use: Container[str]) -> None:
        """Removes a tag. Raises ValueError: a revision (`in_use`: digests) is pinned to it."""
        if self._load(reference).digest in in_use:
            raise ValueError(f"{reference!r} is in use by a revision; delete the revision first.")
        self._engine.remove_image(str(parse_reference(reference)))

    async def build(self, folder: Path, reference: str) -> EngineImage:
        """Builds a folder that has a Dockerfile. Raises BuildError with the last lines of the build."""
        if failure := await self._engine.build(folder, str(parse_reference(reference))):
            raise BuildError(f"the Dockerfile can't be built; its last lines:\n{failure}")
        return self._load(reference)

    def _load(self, reference: str) -> EngineImage:
        digest, size, command, created = self._engine.find_image(str(parse_reference(reference)))
        return EngineImage(reference, digest, size, tuple(command), created)
