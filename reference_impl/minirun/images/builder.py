"""Makes a bundle of a source folder: copy, install what requirements.txt asks for, hand over to the store.

Counterpart: `gcloud run deploy --source`, that is Cloud Build with Google Cloud's buildpacks.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from minirun.images.bundle import DEPENDENCIES, BundleStore, Image
from minirun.images.references import parse_reference
from minirun.images.source import BuildError, find_command, list_files

LAST_LINES = 10


async def build(store: BundleStore, folder: Path, reference: str) -> Image:
    """Builds `folder` as `reference` (`name` or `name:tag`).

    Raises BuildError (no start command, a link that leaves the folder, pip failed) or ValueError (reference).
    Whatever happens, nothing half-done stays behind.
    """
    if parse_reference(reference).digest:
        raise ValueError(f"{reference!r} has a digest, which is the content's own; give a name, or name:tag.")
    command = await asyncio.to_thread(find_command, folder)
    store.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.root, prefix="build-", ignore_cleanup_errors=True) as place:
        staged = Path(place, "bundle")
        await asyncio.to_thread(copy_source, folder, staged / "app")
        if (staged / "app" / "requirements.txt").is_file():
            await install(staged / "app")
        return await asyncio.to_thread(store.add, staged, command, reference)


def copy_source(folder: Path, target: Path) -> None:
    """Copies what belongs into the bundle."""
    target.mkdir(parents=True)
    for path in list_files(folder):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / path, target / path, follow_symlinks=False)


async def install(app: Path) -> None:
    """Installs requirements.txt into the bundle, with pip in a process of its own."""
    interpreter = getattr(sys, "_base_executable", sys.executable)  # what the process runtime runs apps with
    pip = ("-m", "pip", "--python", interpreter, "--disable-pip-version-check", "--no-input", "--quiet")
    what = ("install", "--no-compile", "--target", str(app / DEPENDENCIES), "-r", "requirements.txt")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *pip,
        *what,
        cwd=app,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGKILL)  # with those that pip has started
        await process.wait()
        raise
    if process.returncode:
        last = "\n".join(output.decode("utf-8", "replace").splitlines()[-LAST_LINES:])
        raise BuildError(f"pip could not install requirements.txt; its last lines:\n{last}")
