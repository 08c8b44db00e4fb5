"""Fixtures of the end-to-end tests: a real platform each."""

import signal
from collections.abc import Iterator
from pathlib import Path

import dockerengine
import pytest
from liveplatform import Platform


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Platform]:
    """A data directory (its path has a space) with no platform on it yet; what runs is ended afterwards."""
    data_dir = tmp_path / "data dir"
    data_dir.mkdir()
    platform = Platform(data_dir)
    yield platform
    if platform.process is not None:
        platform.stop(signal.SIGTERM)
    platform.api.close()
    platform.web.close()
    left = platform.instance_processes()
    assert not left, left


@pytest.fixture
def platform(machine: Platform) -> Platform:
    """A running platform."""
    machine.start()
    return machine


@pytest.fixture(params=["process", "docker"])
def any_platform(machine: Platform, request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A running platform of each runtime in turn; no container is left of it."""
    if request.param == "docker":
        dockerengine.need()
    machine.start("--runtime", request.param)
    yield machine
    machine.stop()
    assert request.param != "docker" or not dockerengine.containers_of(machine.data_dir)


@pytest.fixture
def docker_platform(machine: Platform) -> Iterator[Platform]:
    """One whose instances are containers."""
    dockerengine.need()
    machine.start("--runtime", "docker")
    yield machine
    machine.stop()
    assert not dockerengine.containers_of(machine.data_dir)
