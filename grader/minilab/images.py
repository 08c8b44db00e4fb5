"""The images that labs are graded in: the platform with a lab's modules as their starters, and the driver.

Such an image holds no answer of its lab and nothing that judges. Its dependencies are wheels for Linux that
pip fetches here, so that nothing is installed while it is built, and the build needs no network.
"""

import hashlib
import importlib.metadata
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import docker

from minilab.building import starter_of
from minilab.container import client
from minilab.labs import ANSWERS, REFERENCE, ROOT, Lab, LabError

IMAGES = ROOT / "grader" / "images"
DIGEST_LABEL = "dev.minirun.minilab.digest"
NOT_IN_CONTAINERS = ("pytest",)  # what only the judge needs
DRIVER = ("__init__.py", "wire.py", "driver.py", "drives/__init__.py", "drives/live.py")
PLATFORMS = {"x86_64": "manylinux2014_x86_64", "amd64": "manylinux2014_x86_64"}
PLATFORMS |= {"aarch64": "manylinux2014_aarch64", "arm64": "manylinux2014_aarch64"}

Tell = Callable[[str], None]


def lab_files(lab: Lab) -> dict[str, bytes]:
    """The lab's layer: the platform with starters in place of the lab's modules, and the driver."""
    files: dict[str, bytes] = {}
    for path in sorted(REFERENCE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            files[f"minirun/{path.relative_to(REFERENCE).as_posix()}"] = path.read_bytes()
    for file in lab.files:
        if file != ANSWERS:
            files[f"minirun/{file}"] = starter_of(lab, file).encode()
    here = Path(__file__).parent
    for name in (*DRIVER, f"drives/{lab.id}.py"):
        files[f"minilab/{name}"] = (here / name).read_bytes()
    return files


def digest_of(files: dict[str, bytes]) -> str:
    """What names a set of files by its content."""
    content = hashlib.sha256()
    for name in sorted(files):
        content.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return content.hexdigest()[:16]


def ensure(lab: Lab, base: str, tell: Tell) -> tuple[str, str]:
    """The lab's image, built if it is missing or no longer what the sources make; returns name and digest.

    base: an image with Python, of the same minor version as this one; it must be there. Raises LabError.
    """
    engine = client()
    try:
        base_id = engine.images.get(base).id
    except docker.errors.ImageNotFound:
        raise LabError(
            f"the base image {base} is not there, and nothing is pulled unasked: `docker pull {base}`, or "
            "without a registry `python cluster/images/base minirun/base:py311` and --base minirun/base:py311"
        ) from None
    packages = _ensure_packages(engine, base, str(base_id), tell)
    files = lab_files(lab)
    files["Dockerfile"] = (IMAGES / "lab.Dockerfile").read_bytes()
    name = f"minirun/grade-{lab.id}:latest"
    digest = digest_of({**files, "packages": packages.encode()})
    _build(engine, name, digest, files, {"PACKAGES": packages}, tell)
    return name, digest


def _ensure_packages(engine: docker.DockerClient, base: str, base_id: str, tell: Tell) -> str:
    """The image with the platform's dependencies, which all labs share; returns its name."""
    wanted = [
        requirement
        for requirement in importlib.metadata.requires("minirun") or []
        if "extra ==" not in requirement and not requirement.startswith(NOT_IN_CONTAINERS)
    ]
    constraints = (ROOT / "constraints.txt").read_bytes()
    dockerfile = (IMAGES / "packages.Dockerfile").read_bytes()
    digest = digest_of(
        {"a": "\n".join(wanted).encode(), "b": constraints, "c": dockerfile, "d": base_id.encode()}
    )
    name = f"minirun/grade-packages:{digest}"
    try:
        engine.images.get(name)
    except docker.errors.ImageNotFound:
        with tempfile.TemporaryDirectory(prefix="minilab-") as folder:
            tell(f"fetching {len(wanted)} packages for the containers ...")
            _fetch(wanted, Path(folder) / "packages")
            files = {
                f"packages/{path.relative_to(Path(folder) / 'packages').as_posix()}": path.read_bytes()
                for path in sorted((Path(folder) / "packages").rglob("*"))
                if path.is_file()
            }
        _build(engine, name, digest, {**files, "Dockerfile": dockerfile}, {"BASE": base}, tell)
    return name


def _fetch(wanted: list[str], folder: Path) -> None:
    """Installs wheels for the containers' Linux into a folder; LabError if that fails."""
    machine = PLATFORMS.get(platform.machine().lower())
    if machine is None:
        raise LabError(f"containers for {platform.machine()} are not known; known are {', '.join(PLATFORMS)}")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-compile",
    ]
    command += ["--only-binary=:all:", "--platform", machine, "--python-version", version]
    command += ["--constraint", str(ROOT / "constraints.txt"), "--target", str(folder), *wanted]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"pip could not fetch the containers' packages: {done.stderr.strip()[-500:]}")
    shutil.rmtree(folder / "bin", ignore_errors=True)


def _build(
    engine: docker.DockerClient,
    name: str,
    digest: str,
    files: dict[str, bytes],
    args: dict[str, str],
    tell: Tell,
) -> None:
    """Build an image unless there is one of this digest; LabError with the builder's last words."""
    try:
        if engine.images.get(name).labels.get(DIGEST_LABEL) == digest:
            return
    except docker.errors.ImageNotFound:
        pass
    began = time.monotonic()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    context.seek(0)
    try:
        engine.images.build(
            fileobj=context, custom_context=True, tag=name, buildargs=args, network_mode="none", rm=True,
            labels={DIGEST_LABEL: digest}, pull=False,
        )  # fmt: skip
    except docker.errors.BuildError as error:
        words = "".join(str(line.get("stream", line.get("error", ""))) for line in error.build_log)
        raise LabError(f"{name} could not be built: {words.strip()[-800:]}") from None
    tell(f"built {name} in {time.monotonic() - began:.1f} s")
