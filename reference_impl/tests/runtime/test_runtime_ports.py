"""Ports of sidecars: the declared one for the first instance, another one for the second."""

import socket
from random import Random

import pytest

from minirun.runtime.ports import Ports, redirect

SIDE = """
import os, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("side at", os.environ["PORT"], flush=True)
while True:
    server.accept()[0].close()
"""
WEB = """
import os, sys
print("web calls", os.environ["BACKEND"], sys.argv[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("http://localhost:9000/x?y=127.0.0.1:9000", "http://localhost:5/x?y=127.0.0.1:5"),
        ("localhost:9001 localhost:90001 9000", "localhost:9001 localhost:90001 9000"),
        ("my.localhost:9000 notlocalhost:9000 db:9000", "my.localhost:9000 notlocalhost:9000 db:9000"),
    ],
)
def test_only_the_addresses_of_sidecars_are_changed(text: str, changed: str) -> None:
    assert redirect(text, {9000: 5}) == changed


def test_an_instance_keeps_its_sidecars_ports_until_it_is_forgotten() -> None:
    ports = Ports(Random(1))
    with ports.claim_any() as free:
        declared = free.getsockname()[1]
    assert ports.of_sidecars("a", [declared]) == {declared: declared}
    second = ports.of_sidecars("b", [declared])[declared]
    assert second != declared
    assert ports.of_sidecars("a", [declared]) == {declared: declared}
    ports.forget("a")
    assert ports.of_sidecars("b", [declared]) == {declared: second}
    assert ports.of_sidecars("c", [declared]) == {declared: declared}
    ports.close()
    with socket.socket(type=socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", declared))


async def test_two_instances_with_the_same_sidecar_run_at_once_and_each_calls_its_own(bench):
    with bench.runtime._ports.claim_any() as free:
        declared = free.getsockname()[1]
    told = set()
    for uid in ("one", "two"):
        shared = {"uid": uid, "sidecar_ports": (declared,)}
        env = (("PORT", str(declared)),)
        side = bench.start(SIDE, sidecar=True, port=declared, env=env, container="side", **shared)
        port = await side.line("side at ")
        backend = (("BACKEND", f"http://localhost:{declared}/"),)
        web = bench.start(WEB, env=backend, args=(f"127.0.0.1:{declared}",), container="web", **shared)
        assert await web.line("web calls ") == f"http://localhost:{port}/ 127.0.0.1:{port}"
        told.add(port)
    assert len(told) == 2
    assert str(declared) in told
