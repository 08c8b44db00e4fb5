"""Volumes for plain processes: real folders, seen under a root of the container's own.

A process can't mount anything at `/secrets`, for it shares its file system with everybody. So what is mounted
there is found at `$MINIRUN_MOUNTS/secrets`, and an app that puts that variable before its paths
(`os.environ.get("MINIRUN_MOUNTS", "") + "/secrets/password"`) works here and, where the variable is not set,
on Cloud Run and Knative. Containers of one instance share its volumes, which live as long as it does.
`readOnly` and `sizeLimit` are not kept. Counterpart: the kubelet's volume manager.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from minirun.runtime.base import Mount, Volume

VARIABLE: Final = "MINIRUN_MOUNTS"


def write_volumes(folder: Path, volumes: Iterable[Volume], mounts: Iterable[Mount]) -> None:
    """Writes the files of `volumes` into `folder`, and makes there what `mounts` want and is not there.

    Files that are there are replaced as a whole; what apps have written stays. Whatever user an app runs as,
    it may write: the folder is to be one that strangers do not reach.

    Raises:
        ValueError: a path leads out of its volume; one sentence.
    """
    for volume in volumes:
        place = folder / volume.name
        _make_open_folder(place)
        for file in volume.files:
            target = inside(place, file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            new = target.with_name(f".{target.name}.new")
            new.write_bytes(file.content)
            new.chmod(file.mode)
            new.replace(target)
    for mount in mounts:
        _make_open_folder(inside(folder / mount.volume, mount.sub_path))


def _make_open_folder(path: Path) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o777)


def lay_out(folder: Path, root: Path, volumes: Iterable[Volume], mounts: Sequence[Mount]) -> None:
    """Writes the volumes, and links to them where `mounts` want them under `root`; see `write_volumes`."""
    write_volumes(folder, volumes, mounts)
    for mount in sorted(mounts, key=lambda mount: mount.path):
        target = inside(folder / mount.volume, mount.sub_path)
        link = root / os.path.normpath(mount.path).lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def inside(folder: Path, path: str) -> Path:
    """`path` in a volume's folder. Raises ValueError: it leads out of it."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"the path {path!r} leads out of its volume; give a relative one without '..'")
    return folder / relative
