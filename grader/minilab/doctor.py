"""Is this machine fit for the workshop? One table of questions, each with the one command that mends it.

What lab work needs is told apart from what only some labs or instructors want. Nothing is changed by asking.
"""

import importlib.metadata
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement

from minilab.labs import LABS, MY, ROOT, Lab, all_labs

LEAST_FREE_BYTES = 500_000_000
PORTS = {8080: "--listen", 8081: "--api"}
DOCKER_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: it is fine, or what mends it, and whether lab work needs it."""

    name: str
    fine: bool
    text: str
    mend: str = ""
    needed: bool = True


def examine(judge: Callable[[Lab], list[str]]) -> Iterator[Finding]:
    """Look at everything, one finding after the other.

    judge: the checks of a lab that the reference fails on this machine, by name.
    """
    yield python()
    yield environment()
    yield from packages()
    yield workshop()
    yield disk()
    yield writable()
    for port, flag in PORTS.items():
        yield free_port(port, flag)
    if sys.platform == "win32":
        mend = "wsl --install"
        yield Finding("Windows", False, "checks run here; `minirun up` needs WSL2", mend, needed=False)
    for extra, modules in {"labs": ("jupyterlab", "matplotlib"), "grader": ("testcontainers",)}.items():
        yield extra_of(extra, modules)
    yield program("docker", ("docker", "info"), "install Docker Engine or Docker Desktop, and start it")
    yield program("runsc", ("runsc", "--version"), "https://gvisor.dev/docs/user_guide/install/")
    for lab in all_labs():
        failed = judge(lab)
        said = f"fails {', '.join(failed)}" if failed else "passes the public checks on this machine"
        yield Finding(f"reference, lab {lab.number}", not failed, said, "git status; git checkout -- .")


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    mend = "install Python 3.11 or newer, then: make PYTHON=python3.12 demo"
    return Finding("Python", sys.version_info >= (3, 11), f"{version} at {sys.executable}", mend)


def environment() -> Finding:
    inside = sys.prefix != sys.base_prefix
    said = f"virtual environment {sys.prefix}" if inside else "not in a virtual environment"
    return Finding("environment", inside, said, "make demo && . .venv/bin/activate", needed=False)


def packages() -> Iterator[Finding]:
    """The packages that minirun is declared to need, the extras aside."""
    needed = [Requirement(text) for text in importlib.metadata.requires("minirun") or []]
    names = [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    missing = [name for name in names if not _installed(name)]
    said = f"missing: {', '.join(missing)}" if missing else f"all {len(names)} are there"
    yield Finding("packages", not missing, said, "python -m pip install -c constraints.txt -e .")


def workshop() -> Finding:
    missing = [lab.name for lab in all_labs() if not lab.starter.is_dir()]
    said = f"no folder of {', '.join(missing)} in {LABS}" if missing else f"{len(all_labs())} labs in {ROOT}"
    return Finding("labs", not missing, said, "git checkout -- labs")


def disk() -> Finding:
    free = shutil.disk_usage(ROOT).free
    said = f"{free / 1e9:.1f} GB free"
    return Finding(
        "disk", free >= LEAST_FREE_BYTES, said, f"make room: {LEAST_FREE_BYTES / 1e9:g} GB are enough"
    )


def writable() -> Finding:
    """Whether `my/` can be written."""
    place = MY if MY.is_dir() else ROOT
    try:
        with tempfile.TemporaryFile(dir=place):
            return Finding("your folder", True, f"{MY} can be written")
    except OSError as error:
        return Finding("your folder", False, f"{place}: {error.strerror}", f"make {place} writable for you")


def free_port(port: int, flag: str) -> Finding:
    """Whether nobody listens on a port of the platform."""
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    said = "taken; by a minirun that is up already?" if taken else "free"
    return Finding(f"port {port}", not taken, said, f"lab run N {flag} 127.0.0.1:1{port}", needed=False)


def extra_of(extra: str, modules: tuple[str, ...]) -> Finding:
    missing = [name for name in modules if not _installed(name)]
    said = f"{', '.join(missing)} not installed" if missing else "installed"
    mend = f"python -m pip install -c constraints.txt -e '.[{extra}]'"
    return Finding(f"extra {extra}", not missing, said, mend, needed=False)


def program(name: str, command: tuple[str, ...], mend: str) -> Finding:
    """Whether a program is there and answers."""
    path = shutil.which(name)
    if path is None:
        return Finding(name, False, "not installed", mend, needed=False)
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=DOCKER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return Finding(name, False, f"{path} does not answer", mend, needed=False)
    said = path if done.returncode == 0 else f"{path} is there, but `{' '.join(command)}` fails"
    return Finding(name, done.returncode == 0, said, mend, needed=False)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
