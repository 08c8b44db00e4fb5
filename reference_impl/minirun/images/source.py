"""A folder of source: what starts it, which files belong to it, and their digest.

Counterpart: the detection step of Google Cloud's buildpacks, and the digest of an OCI manifest.
"""

import hashlib
import json
import os
import shlex
import tomllib
from pathlib import Path

IGNORED = {".git", "__pycache__", ".venv", "venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
DEFAULT_SCRIPTS = ("main.py", "app.py", "server.py")


class BuildError(Exception):
    """The folder can't become an image; the message says why in a sentence."""


def find_command(folder: Path) -> tuple[str, ...]:
    """The start command of a source folder: `web:` in Procfile, `command` in minirun.toml, or a usual script.

    Raises BuildError when there is none. (Procfile and default names are those of Google Cloud's buildpacks.)
    """
    if not folder.is_dir():
        raise BuildError(f"{folder} is not a folder; give the folder with the source.")
    if (folder / "Procfile").is_file():
        for line in (folder / "Procfile").read_text().splitlines():
            kind, _, command = line.partition(":")
            if kind.strip() == "web" and command.strip():
                return tuple(shlex.split(command))
        raise BuildError(f"{folder / 'Procfile'} has no line `web: COMMAND`; add one.")
    if (folder / "minirun.toml").is_file():
        try:
            given = tomllib.loads((folder / "minirun.toml").read_text()).get("command")
        except tomllib.TOMLDecodeError as error:
            raise BuildError(f"{folder / 'minirun.toml'} is not TOML: {error}.") from error
        words = shlex.split(given) if isinstance(given, str) else given
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            return tuple(words)
        raise BuildError(f'{folder / "minirun.toml"} has no command; write command = "python main.py".')
    for script in DEFAULT_SCRIPTS:
        if (folder / script).is_file():
            return ("python", script)
    raise BuildError(
        f"{folder} has no Procfile, minirun.toml, main.py, app.py or server.py; "
        "write a Procfile with the line `web: COMMAND`."
    )


def list_files(folder: Path) -> list[Path]:
    """The files of a bundle, relative and sorted. Raises BuildError for a link that leads outside."""
    found = []
    root = folder.resolve()
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise BuildError(f"{path} is a symbolic link that leaves the folder; copy what it points to.")
        links = {name for name in folders if Path(place, name).is_symlink()}
        folders[:] = sorted(set(folders) - IGNORED - links)
        found += [Path(place, name).relative_to(folder) for name in {*names, *links} - IGNORED]
    found = [path for path in found if (folder / path).is_symlink() or (folder / path).is_file()]
    return sorted(found, key=lambda path: path.as_posix())


def digest_of(folder: Path, command: tuple[str, ...]) -> tuple[str, int]:
    """`sha256:...` over command, paths, modes and contents; and the size in bytes. Times do not count."""
    total = hashlib.sha256(json.dumps(command).encode())
    size = 0
    for path in list_files(folder):
        full = folder / path
        if full.is_symlink():
            kind, data = "link", os.readlink(full).encode()
        else:
            kind, data = ("run" if os.access(full, os.X_OK) else "file"), full.read_bytes()
        size += len(data)
        total.update(f"\n{kind} {path.as_posix()} {hashlib.sha256(data).hexdigest()}".encode())
    return f"sha256:{total.hexdigest()}", size
