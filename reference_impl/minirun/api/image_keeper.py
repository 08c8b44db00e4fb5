"""The images room as the API sees it: builds, and what may go.

An image that a revision, an execution or an instance runs can't be removed. Counterpart: Cloud Run, which
keeps what its revisions run whatever becomes of the tag in Artifact Registry.
"""

import asyncio
from pathlib import Path

from minirun.images.builder import build as build_image
from minirun.images.bundle import BundleStore
from minirun.images.bundle import Image as Bundle
from minirun.images.engine_images import EngineImage, EngineImages
from minirun.images.references import parse_reference
from minirun.model.resources import Execution, Pod, Revision
from minirun.store.store import Event, Store


class ImageKeeper:
    """Lists, builds and removes images; see the module.

    With an engine (`containers`), a folder with a Dockerfile becomes one of its images. Bundles that nobody
    needs any more are removed in the background, never while a build runs.
    """

    def __init__(self, bundles: BundleStore, store: Store, containers: EngineImages | None = None) -> None:
        self._bundles, self._store, self._containers = bundles, store, containers
        self._builds = 0
        self._collecting: asyncio.Task[None] | None = None
        self._asked = False
        store.subscribe(self._on_event)

    def list(self) -> list[Bundle | EngineImage]:
        return [*self._built().values(), *self._bundles.list()]

    def remove(self, reference: str) -> None:
        """Removes a tag. Raises ValueError: it is needed."""
        if self._containers and str(parse_reference(reference)) in self._built():
            self._containers.remove(reference, self._in_use())
        else:
            self._bundles.remove(reference, self._in_use())

    def _built(self) -> dict[str, EngineImage]:
        return self._containers.built() if self._containers else {}

    async def build(self, folder: Path, reference: str) -> Bundle | EngineImage:
        if self._containers and (folder / "Dockerfile").is_file():
            return await self._containers.build(folder, reference)
        self._builds += 1
        try:
            await self.collected()
            return await build_image(self._bundles, folder, reference)
        finally:
            self._builds -= 1
            self.collect()  # the tag may have left an older bundle

    def collect(self) -> None:
        """Asks for the removal of bundles that no tag, revision or instance needs, and of dead builds."""
        self._asked = True
        if not self._builds and (self._collecting is None or self._collecting.done()):
            self._collecting = asyncio.create_task(self._collect(), name="garbage of images")

    async def collected(self) -> None:
        """Returns when no bundle is being removed."""
        if self._collecting is not None:
            await asyncio.wait({self._collecting})

    async def _collect(self) -> None:
        while self._asked and not self._builds:
            self._asked = False
            await asyncio.to_thread(self._bundles.collect_garbage, self._in_use())

    def _in_use(self) -> set[str]:
        """The digests that revisions and executions are pinned to, and those that instances run."""
        pinned = [each.status.container_statuses for each in self._store.select(Revision)]
        pinned += [each.status.container_statuses for each in self._store.select(Execution)]
        used = {status.image_digest for statuses in pinned for status in statuses}
        used |= {container.image for pod in self._store.select(Pod) for container in pod.spec.containers}
        return {image.rpartition("@")[2] for image in used}

    def _on_event(self, event: Event) -> None:
        if event.type == "DELETED" and isinstance(event.object, (Revision, Execution)):
            self.collect()
