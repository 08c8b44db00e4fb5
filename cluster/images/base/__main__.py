"""Makes a base image with Python from what is on this machine: for rooms without a container registry.

    python cluster/images/base minirun/base:py311

It holds the CPython that runs this, its standard library and the shared libraries that they need, and nothing
else: no shell, no package manager. It takes a few seconds and no network. Linux with glibc only; everywhere
else, and wherever a registry can be reached, `docker pull python:3.11-slim` is the better base.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PREFIX = Path(os.path.realpath(sys.base_prefix))
NOT_NEEDED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages"}
NAME_SERVICE = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")  # loaded by name, so ldd is silent
WHEELS = (
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libm.so.6",
    "libgcc_s.so.1",
    "libstdc++.so.6",
)
"""What manylinux wheels take for granted (PEP 599), though this Python itself may need none of it."""
LIBRARY = re.compile(r"(?:=>\s+)?(/\S+) \(0x")
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
CHANGES = ["ENV PATH=/usr/local/bin:/usr/bin:/bin", "ENV PYTHONHOME=/usr/local", 'CMD ["python3"]']


def python_files() -> Iterator[tuple[str, Path]]:
    """The interpreter and its standard library: the place in the image, and the file here."""
    yield f"usr/local/bin/{VERSION}", Path(os.path.realpath(PREFIX / "bin" / VERSION))
    library = Path(sysconfig.get_path("stdlib"))
    for folder, folders, names in os.walk(library):
        folders[:] = [
            name for name in folders if name not in NOT_NEEDED and not name.startswith(("config-", "__py"))
        ]
        for name in names:
            if not name.endswith((".pyc", ".a")) and not name.startswith(
                ("_test", "_tkinter", "_ctypes_test", "xx")
            ):
                path = Path(folder) / name
                yield f"usr/local/lib/{VERSION}/{path.relative_to(library)}", path


def libraries(binaries: list[Path]) -> Iterator[tuple[str, Path]]:
    """The shared libraries that the binaries need, as the loader finds them here."""
    found: set[str] = set()
    for binary in binaries:
        listed = subprocess.run(["ldd", binary], check=False, capture_output=True, text=True).stdout
        found.update(LIBRARY.findall(listed))
    place = next((Path(path).parent for path in found if Path(path).name.startswith("libc.so")), Path("/lib"))
    found.update(str(place / name) for name in (*NAME_SERVICE, *WHEELS) if (place / name).exists())
    for path in sorted(found):
        # One that lies with a private Python goes where everybody's loader looks.
        inside = str(place / Path(path).name) if Path(path).is_relative_to(PREFIX) else path
        yield inside.lstrip("/"), Path(os.path.realpath(path))


def stripped(path: Path, folder: Path) -> Path:
    """A binary without its debug information, if there is a tool for that: a fourth of the size."""
    if shutil.which("strip") is None:
        return path
    copy = folder / re.sub(r"\W", "_", str(path))
    shutil.copy2(path, copy)
    done = subprocess.run(["strip", "--strip-unneeded", copy], check=False, capture_output=True)
    return copy if done.returncode == 0 else path


def archive() -> bytes:
    """The image's file system as a tar."""
    files = dict(python_files())
    binaries = [path for place, path in files.items() if ".so" in Path(place).name or place.endswith(VERSION)]
    files |= dict(libraries(binaries))
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar, tempfile.TemporaryDirectory() as folder:
        for place, mode in (("tmp", 0o1777), ("etc", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755)):
            entry = tarfile.TarInfo(place)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for place, text in TEXTS.items():
            entry = tarfile.TarInfo(place)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
        for place, path in sorted(files.items()):
            binary = ".so" in Path(place).name or place.endswith(VERSION)
            source = stripped(path, Path(folder)) if binary else path
            entry = tarfile.TarInfo(place)
            entry.size, entry.mode = source.stat().st_size, 0o755 if binary else 0o644
            with source.open("rb") as opened:
                tar.addfile(entry, opened)
        for name in ("python3", "python"):
            entry = tarfile.TarInfo(f"usr/local/bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, VERSION
            tar.addfile(entry)
    return content.getvalue()


def main() -> None:
    if len(sys.argv) != 2 or sys.platform != "linux":
        sys.exit(f"{sys.argv[1:]} given; on Linux, give the image's name, as in minirun/base:py311")
    repository, _, tag = sys.argv[1].partition(":")
    content = archive()
    engine = docker.from_env()
    engine.api.import_image_from_data(content, repository, tag or "latest", changes=CHANGES)
    sys.stdout.write(f"made {sys.argv[1]} ({len(content) / 1e6:.0f} MB)\n")


if __name__ == "__main__":
    main()
