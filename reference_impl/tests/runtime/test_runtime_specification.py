"""What the Docker engine is told of a container."""

from dataclasses import replace
from pathlib import Path

import pytest

from minirun.model.resources import Capabilities, SecurityContext
from minirun.runtime.base import InstanceSpec, Mount, Volume, VolumeFile
from minirun.runtime.docker.specification import Place, container_config

PLACE = Place("sha256:1234", None, "runc", "sandbox", Path("/volumes"), {"dev.minirun.pod": "pod"})
SPEC = InstanceSpec("default", "pod", "uid", "web", "web", "web-00001", "web@sha256:1234")


def test_what_the_instance_does_not_say_is_left_to_the_image():
    config = container_config(SPEC, PLACE)
    assert "Entrypoint" not in config
    assert "User" not in config
    assert (config["Image"], config["Cmd"], config["WorkingDir"]) == ("sha256:1234", [], "")
    contract = {"PORT=8080", "K_SERVICE=web", "K_CONFIGURATION=web", "K_REVISION=web-00001"}
    assert set(config["Env"]) == contract


def test_the_command_replaces_the_images_and_names_variables():
    spec = replace(SPEC, command=("run", "$(WHO)"), args=("--port=$(PORT)",), env=(("WHO", "me"),), port=3000)
    config = container_config(spec, PLACE)
    assert (config["Entrypoint"], config["Cmd"]) == (["run", "me"], ["--port=3000"])


def test_limits_user_and_capabilities_are_the_instances():
    security = SecurityContext(
        run_as_user=1000,
        run_as_group=2000,
        read_only_root_filesystem=True,
        capabilities=Capabilities(add=["NET_ADMIN"], drop=["CHOWN"]),
    )
    spec = replace(SPEC, cpu_limit_milli=500, memory_limit_bytes=1 << 20, security=security)
    config = container_config(spec, PLACE)
    host = config["HostConfig"]
    assert config["User"] == "1000:2000"
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (500_000_000, 1 << 20, 1 << 20)
    assert host["ReadonlyRootfs"]
    assert (host["CapAdd"], host["CapDrop"][-1]) == (["NET_ADMIN"], "CHOWN")
    assert "no-new-privileges" in host["SecurityOpt"]


def test_nothing_is_published_and_the_network_is_the_sandboxs():
    config = container_config(SPEC, PLACE)
    assert config["HostConfig"]["NetworkMode"] == "container:sandbox"
    assert "PortBindings" not in config["HostConfig"]


def test_volumes_are_mounted_and_those_with_files_only_to_be_read():
    volumes = (Volume("secret", (VolumeFile("key", b"k", 0o600),)), Volume("scratch"))
    mounts = (Mount("/secret", "secret"), Mount("/scratch", "scratch", "part"))
    config = container_config(replace(SPEC, volumes=volumes, mounts=mounts), PLACE)
    seen = [(m["Source"], m["Target"], m["ReadOnly"]) for m in config["HostConfig"]["Mounts"]]
    assert seen == [("/volumes/secret", "/secret", True), ("/volumes/scratch/part", "/scratch", False)]
    with pytest.raises(ValueError, match="leads out of its volume"):
        container_config(replace(SPEC, volumes=volumes, mounts=(Mount("/x", "scratch", "../.."),)), PLACE)
