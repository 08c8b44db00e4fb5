"""Images of a container engine beside the bundles: the engine's own win over a sample of the same name.

Local ones only: what is not there has to be pulled first, as a deploy should not wait for a registry. What
the engine does not have may be a bundle or a sample. Counterpart: the tag-to-digest resolver of Knative.
"""

from collections.abc import Callable
from dataclasses import dataclass

from minirun.images.bundle import BundleStore
from minirun.images.bundle import Image as Bundle
from minirun.images.references import ImageNotFound, ImageNotRunnable, Reference, parse_reference


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image that a revision may run: `pinned` names its manifest or, where it has none, its id."""

    pinned: str
    note: str = ""


class EngineImages:
    """Finds images for a platform with a container engine.

    Args:
        find: gives the digest of a local image by its reference, or raises LookupError.
    """

    def __init__(self, find: Callable[[str], str], bundles: BundleStore) -> None:
        self._find, self._bundles = find, bundles

    def resolve(self, reference: str) -> "EngineImage | Bundle":
        """Raises ValueError for a malformed reference, ImageNotFound: it is neither here nor there."""
        wanted = parse_reference(reference)
        try:
            return EngineImage(str(Reference(wanted.name, digest=self._find(str(wanted)))))
        except LookupError:
            try:
                return self._bundles.resolve(reference)
            except ImageNotRunnable:
                raise ImageNotFound(
                    f"The Docker engine has no image {reference!r}; get it with `docker pull {reference}`."
                ) from None
