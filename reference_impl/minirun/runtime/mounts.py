"""Volumes for plain processes: real folders, seen under a root of the container's own.

A process can't mount anything at `/secrets`, for it shares its file system with everybody. So what is mounted
there is found at `$MINIRUN_MOUNTS/secrets`, and an app that puts that variable before its paths
(`os.environ.get("MINIRUN_MOUNTS", "") + "/secrets/password"`) works here and, where the variable is not set,
on Cloud Run and Knative. Containers of one instance share its volumes, which live as long as it does.
`readOnly` and `sizeLimit` are not kept. Counterpart: the kubelet's volume manager.
"""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from minirun.runtime.base import Mount, Volume

VARIABLE: Final = "MINIRUN_MOUNTS"


def lay_out(folder: Path, root: Path, volumes: Iterable[Volume], mounts: Iterable[Mount]) -> None:
    """Writes the files of `volumes` into `folder`, and links to them where `mounts` want them under `root`.

    Files that are there are replaced as a whole; what apps have written stays.

    Raises:
        ValueError: a path leads out of its volume; one sentence.
    """
    for volume in volumes:
        place = folder / volume.name
        place.mkdir(parents=True, exist_ok=True)
        for file in volume.files:
            target = _inside(place, file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            new = target.with_name(f".{target.name}.new")
            new.write_bytes(file.content)
            new.chmod(file.mode)
            new.replace(target)
    for mount in sorted(mounts, key=lambda mount: mount.path):
        target = _inside(folder / mount.volume, mount.sub_path)
        if not target.exists():
            target.mkdir(parents=True)
        link = root / os.path.normpath(mount.path).lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _inside(folder: Path, path: str) -> Path:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"the path {path!r} leads out of its volume; give a relative one without '..'")
    return folder / relative
