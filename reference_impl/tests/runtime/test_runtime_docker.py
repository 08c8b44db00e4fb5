"""Instances as containers: both execution environments, what is shared, what is limited, what stays."""

import asyncio

import pytest
from dockerengine import containers_of, has_gvisor

from minirun.runtime.base import Mount, Stage, Volume, VolumeFile
from minirun.runtime.docker.engine import Engine
from minirun.runtime.docker.pause import program
from minirun.runtime.docker.runtime import DockerRuntime

pytestmark = pytest.mark.runtime

SERVE = """
import os, socket, sys
def serve(port=int(os.environ["PORT"])):
    server = socket.create_server(("", port))
    while True:
        server.accept()[0].close()
"""


def test_the_program_of_a_sandbox_is_an_elf_file_for_the_machine():
    assert program("x86_64").startswith(b"\x7fELF")
    assert len(program("aarch64")) == 120 + 32
    with pytest.raises(ValueError, match="riscv64"):
        program("riscv64")


async def test_a_container_is_ready_once_it_listens_at_its_own_port_and_address(docker_bench):
    observed = docker_bench.start("hello", port=3000)
    state = await observed.ready()
    assert state.port == 3000
    reader, writer = await asyncio.open_connection(state.host, state.port)
    writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"Hello World!" in await reader.read()
    writer.close()


async def test_gen1_has_a_kernel_of_its_own_and_gen2_has_this_machines(docker_bench):
    if not has_gvisor():
        pytest.skip("the Docker engine has no runtime runsc")
    source = SERVE + 'print("kernel", os.uname().release, flush=True)\nserve()'
    first = docker_bench.start(source, execution_environment="gen1", uid="a")
    second = docker_bench.start(source, execution_environment="gen2", uid="b")
    await first.ready()
    await second.ready()
    assert await first.line("kernel ") == "4.4.0"
    assert await second.line("kernel ") != "4.4.0"


async def test_containers_of_an_instance_share_localhost_and_volumes_but_no_files(docker_bench):
    shared = {"volumes": (Volume("scratch"),), "mounts": (Mount("/scratch", "scratch"),), "uid": "one"}
    sidecar = docker_bench.start(
        SERVE + 'open("/scratch/note", "w").write("hi")\nopen("/tmp/own", "w")\nserve(9000)',
        sidecar=True,
        port=9000,
        **shared,
    )
    await sidecar.ready()
    asks = """
import time
while True:
    try:
        socket.create_connection(("localhost", 9000)).close()
        break
    except OSError:
        time.sleep(0.01)
print("note", open("/scratch/note").read(), os.path.exists("/tmp/own"), flush=True)
serve()
"""
    main = docker_bench.start(SERVE + asks, sidecar_ports=(9000,), **shared)
    assert await main.line("note ") == "hi False"
    assert (await main.ready()).host == sidecar.instance.state.host


async def test_secrets_are_files_that_can_not_be_written(docker_bench):
    source = """
print("secret", open("/secrets/password").read())
try:
    open("/secrets/password", "w")
except OSError as error:
    print("refused", error.strerror, flush=True)
"""
    files = (VolumeFile("password", b"s3cret", 0o644),)
    fields = {"volumes": (Volume("v", files),), "mounts": (Mount("/secrets", "v"),), "runs_once": True}
    observed = docker_bench.start(source, **fields)
    assert await observed.line("secret ") == "s3cret"
    assert await observed.line("refused ") == "Read-only file system"


async def test_more_memory_than_the_limit_ends_the_container_as_oom_killed(docker_bench):
    observed = docker_bench.start(
        "x = bytearray(200 << 20)\nprint(len(x))", memory_limit_bytes=32 << 20, runs_once=True
    )
    state = await observed.state(lambda state: state.stage is Stage.GONE)
    assert (state.reason, state.exit_code) == ("OOMKilled", 137)


async def test_an_image_that_is_not_there_and_a_command_that_can_not_run_are_sentences(docker_bench):
    missing = docker_bench.start("hello", image="nowhere@sha256:" + "0" * 64)
    state = await missing.state(lambda state: state.reason != "")
    assert (state.reason, state.message[:26]) == ("ContainerMissing", "The Docker engine has no i")
    wrong = docker_bench.start("hello", command=("no-such-program",))
    state = await wrong.state(lambda state: state.reason != "")
    assert state.reason == "StartError"
    assert "no-such-program" in state.message


async def test_an_environment_that_is_none_is_a_sentence(docker_bench):
    observed = docker_bench.start("hello", execution_environment="gen3")
    state = await observed.state(lambda state: state.reason != "")
    assert state.message == "Execution environment 'gen3' is given; there are gen1 and gen2."


async def test_nothing_is_left_of_an_instance_that_is_forgotten(docker_bench):
    observed = docker_bench.start("hello", volumes=(Volume("v"),), mounts=(Mount("/v", "v"),))
    await observed.ready()
    volumes = docker_bench.folder / "data" / "runtime" / "volumes"
    assert len(list(volumes.iterdir())) == 1
    await observed.instance.stop()
    docker_bench.runtime.forget(observed.instance.spec.uid)
    await docker_bench.runtime.close()
    assert containers_of(docker_bench.folder / "data") == []
    assert not volumes.exists()


async def test_what_a_dead_platform_left_is_found_by_its_label_and_nothing_else_is(docker_bench, tmp_path):
    await docker_bench.start("hello").ready()
    left = containers_of(docker_bench.folder / "data")
    assert len(left) >= len(("the container", "its sandbox"))
    other = DockerRuntime(Engine.connect(), tmp_path / "other", docker_bench.bundles.__getitem__)
    assert await other.remove_leftovers(()) == 0
    await other.close()
    again = DockerRuntime(Engine.connect(), docker_bench.folder / "data", docker_bench.bundles.__getitem__)
    assert await again.remove_leftovers(()) >= len(left)
    assert not {*left} & {*containers_of(docker_bench.folder / "data")}
    await again.close()
