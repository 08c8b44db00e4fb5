"""The store of bundles: folders named by the digest of all that is in them, and tags that point to them.

`DATA_DIR/images/bundles/DIGEST/` is a bundle (`app/` and `image.json`), written once under another name and
then renamed, so that there is never half of one; `DATA_DIR/images/tags.json` has the tags. The samples are
bundles that need no store: they are run where they lie. Counterpart: an OCI image layout, with a folder in
place of layers.
"""

import json
import shutil
import threading
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from minirun.images.references import (
    STAND_INS,
    ImageNotFound,
    ImageNotRunnable,
    Reference,
    parse_reference,
)
from minirun.images.source import digest_of, find_command
from minirun.model.meta import rfc3339

SAMPLES = Path(__file__).parent.parent / "samples"
DEPENDENCIES = ".packages"
NOT_RUNNABLE = "the process runtime runs bundles; build one with `minirun build`, or use --runtime docker"


@dataclass(frozen=True, slots=True)
class Image:
    """Something that can be run. `reference` is as asked for, `pinned` names just this content for good."""

    reference: str
    digest: str
    size_bytes: int
    command: tuple[str, ...]
    created: str
    folder: Path
    note: str = ""
    env: tuple[tuple[str, str], ...] = ()

    @property
    def pinned(self) -> str:
        return str(Reference(parse_reference(self.reference).name, digest=self.digest))


def sample_names() -> list[str]:
    """The samples that run as they come with the package; one with a requirements.txt is to be built."""
    folders = (path for path in SAMPLES.iterdir() if (path / "main.py").is_file())
    return sorted(path.name for path in folders if not (path / "requirements.txt").exists())


@cache
def sample(name: str) -> Image:
    """One of them."""
    folder = SAMPLES / name
    command = find_command(folder)
    return Image(name, *digest_of(folder, command), command, "", folder)


class BundleStore:
    """The images of one data directory, and the samples."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "images"
        self._bundles = self.root / "bundles"
        self._tags = self.root / "tags.json"
        self._changing = threading.Lock()

    def add(self, staged: Path, command: tuple[str, ...], reference: str) -> Image:
        """Takes over the folder `staged` as the bundle `reference`; called by any number of threads."""
        digest, size = digest_of(staged / "app", command)
        created = rfc3339(time.time_ns())
        config = {"digest": digest, "size_bytes": size, "command": command, "created": created}
        (staged / "image.json").write_text(json.dumps(config))
        home = self._home(digest)
        with self._changing:
            if not home.exists():
                self._bundles.mkdir(parents=True, exist_ok=True)
                staged.rename(home)
            self._write_tags(self._read_tags() | {str(parse_reference(reference)): digest})
        return self._load(reference, digest)

    def resolve(self, reference: str) -> Image:
        """The image that a tag or digest names.

        Raises ValueError for a malformed reference, ImageNotRunnable for a registry's image, ImageNotFound.
        """
        wanted = parse_reference(reference)
        if stand_in := STAND_INS.get(wanted.name):
            note = f"the sample {stand_in!r} runs in place of {wanted.name}"
            return replace(sample(stand_in), reference=reference, note=note)
        digest = wanted.digest or self._read_tags().get(str(wanted), "")
        if digest and self._home(digest).exists():
            return self._load(reference, digest)
        name = wanted.name.removeprefix("samples/")
        if name in sample_names() and wanted.tag == "latest" and wanted.digest in ("", sample(name).digest):
            return replace(sample(name), reference=reference)
        if wanted.in_registry:
            raise ImageNotRunnable(NOT_RUNNABLE)
        here = ", ".join([*self._read_tags(), *sample_names()])
        raise ImageNotFound(f"There is no image {reference!r}, only {here}; make one with `minirun build`.")

    def list(self) -> list[Image]:
        """All images: those built, by name, then the samples."""
        built = [self._load(reference, digest) for reference, digest in sorted(self._read_tags().items())]
        return built + [sample(name) for name in sample_names()]

    def remove(self, reference: str, in_use: Container[str] = ()) -> None:
        """Removes a tag (or all tags of a digest), and the bundle with the last of them.

        `in_use` holds the digests that revisions are pinned to: such a bundle stays, with a ValueError. A
        sample can't be removed (ValueError); what isn't there is an ImageNotFound.
        """
        image = self.resolve(reference)
        if image.folder.is_relative_to(SAMPLES):
            raise ValueError(f"{reference!r} is a sample, which stays; name an image that was built.")
        wanted = parse_reference(reference)
        with self._changing:
            tags = self._read_tags().items()
            left = {tag: digest for tag, digest in tags if tag != str(wanted) and digest != wanted.digest}
            if image.digest not in left.values() and image.digest in in_use:
                raise ValueError(f"{reference!r} is in use by a revision; delete the revision first.")
            self._write_tags(left)
            if image.digest not in left.values():
                shutil.rmtree(self._home(image.digest))

    def collect_garbage(self, in_use: Container[str] = ()) -> int:
        """Removes the bundles that no tag and no revision (`in_use`: digests) needs, and what builds left.

        Returns how many bundles. Not to be called while a build runs.
        """
        tagged = set(self._read_tags().values())
        unused = [
            home
            for home in self._bundles.glob("*")
            if (digest := f"sha256:{home.name}") not in tagged and digest not in in_use
        ]
        for home in (*unused, *self.root.glob("build-*")):
            shutil.rmtree(home, ignore_errors=True)
        return len(unused)

    def _home(self, digest: str) -> Path:
        return self._bundles / digest.removeprefix("sha256:")

    def _load(self, reference: str, digest: str) -> Image:
        home = self._home(digest)
        config = json.loads((home / "image.json").read_text())
        packages = home / "app" / DEPENDENCIES
        env = (("PYTHONPATH", str(packages)), ("PATH", str(packages / "bin"))) if packages.is_dir() else ()
        command = tuple(config["command"])
        return Image(
            reference, digest, config["size_bytes"], command, config["created"], home / "app", env=env
        )

    def _read_tags(self) -> dict[str, str]:
        try:
            tags: dict[str, str] = json.loads(self._tags.read_text())
        except FileNotFoundError:
            return {}
        return tags

    def _write_tags(self, tags: Mapping[str, str]) -> None:
        new = self._tags.with_suffix(".new")
        new.write_text(json.dumps(tags, sort_keys=True))
        new.replace(self._tags)
