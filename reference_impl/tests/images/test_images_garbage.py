"""Bundles that nobody needs are removed at the right moments, and never under a build."""

import asyncio
import os
from pathlib import Path

import pytest

from minirun.api.image_keeper import ImageKeeper
from minirun.images.bundle import BundleStore
from minirun.model.clock import SystemClock
from minirun.model.meta import ObjectMeta
from minirun.model.resources import ContainerStatus, Execution, ExecutionStatus, Revision, RevisionStatus
from minirun.store.store import Store


class Shelf:
    """Images over a store of objects, and a source folder to build them of."""

    def __init__(self, folder: Path) -> None:
        self.bundles = BundleStore(folder / "data")
        self.store = Store(SystemClock())
        self.images = ImageKeeper(self.bundles, self.store)
        self.source = folder / "source"
        self.source.mkdir()

    async def build(self, text: str, reference: str = "web") -> str:
        (self.source / "main.py").write_text(text)
        return (await self.images.build(self.source, reference)).pinned

    def pin(self, name: str, image: str, kind: type[Revision | Execution] = Revision) -> None:
        pinned = [ContainerStatus(name="c", image_digest=image)]
        meta = ObjectMeta(name=name, namespace="default")
        if kind is Revision:
            self.store.create(Revision(metadata=meta, status=RevisionStatus(container_statuses=pinned)))
        else:
            self.store.create(Execution(metadata=meta, status=ExecutionStatus(container_statuses=pinned)))

    async def kept(self) -> set[str]:
        await self.images.collected()
        return {path.name for path in (self.bundles.root / "bundles").iterdir()}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def digest(pinned: str) -> str:
    return pinned.rpartition(":")[2]


@pytest.mark.parametrize("kind", [Revision, Execution])
async def test_a_bundle_goes_when_its_tag_has_moved_and_its_last_user_is_deleted(
    shelf: Shelf, kind: type[Revision | Execution]
) -> None:
    old = await shelf.build("1")
    shelf.pin("web-00001", old, kind)
    new = await shelf.build("2")
    assert await shelf.kept() == {digest(old), digest(new)}
    shelf.store.delete(kind, "default", "web-00001")
    assert await shelf.kept() == {digest(new)}


async def test_an_untagged_bundle_that_no_revision_needs_goes_after_the_next_build(shelf: Shelf) -> None:
    await shelf.build("1")
    new = await shelf.build("2")
    assert await shelf.kept() == {digest(new)}


async def test_nothing_is_removed_while_a_build_runs(shelf: Shelf, tmp_path: Path) -> None:
    old = await shelf.build("1")
    shelf.pin("web-00001", old)
    pipe = tmp_path / "more-requirements"
    os.mkfifo(pipe)
    (shelf.source / "requirements.txt").write_text(f"-r {pipe}")
    building = asyncio.create_task(shelf.build("2"))
    with await asyncio.to_thread(pipe.open, "w"):  # opens when pip reads
        shelf.store.delete(Revision, "default", "web-00001")
        shelf.images.remove("web")
        (shelf.bundles.root / "bundles" / "0" / "app").mkdir(parents=True)
        assert await shelf.kept() == {"0"}
        assert list(shelf.bundles.root.glob("build-*"))
    new = await building
    assert await shelf.kept() == {digest(new)}
