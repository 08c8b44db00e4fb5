"""The Docker engine of this machine, for tests: whether it is there, and what it has of a data directory."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from minirun.runtime.docker.engine import LABEL, Engine
from minirun.runtime.docker.runtime import BASE_IMAGES, mark_of

CLUSTER = Path(__file__).parents[3] / "cluster"


@functools.cache
def why_not() -> str:
    """Why there can be no containers here; empty if there can. Makes the base image, if there is none."""
    try:
        engine = Engine.connect()
    except ValueError as error:
        return str(error)
    if not any(engine.client.images(name) for name in BASE_IMAGES):
        subprocess.run([sys.executable, CLUSTER / "images" / "base", BASE_IMAGES[0]], check=True)
    engine.close()
    return ""


def need() -> None:
    """Skips the test where there can be no containers."""
    if reason := why_not():
        pytest.skip(reason)


def has_gvisor() -> bool:
    """Whether the engine has the runtime of execution environment gen1."""
    engine = Engine.connect()
    found = "runsc" in engine.client.info()["Runtimes"]
    engine.close()
    return found


def containers_of(data_dir: Path) -> list[str]:
    """The ids of all containers of a data directory, sandboxes included."""
    engine = Engine.connect()
    found = engine.client.containers(all=True, filters={"label": f"{LABEL}={mark_of(data_dir)}"})
    engine.close()
    return [each["Id"] for each in found]
