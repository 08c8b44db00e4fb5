"""What the gateway itself answers a client of gRPC: a code and a text that the client understands."""

import asyncio
import socket

import grpc
import pytest
from gatewayworld import GET, HOST, World
from http2wire import Http2Wire, request_fields

from minirun.gateway.heads import Refusal, RequestHead

GRPC = ("content-type", "application/grpc")


async def refused(world: World, host: str = HOST) -> tuple[grpc.StatusCode, str]:
    """The code and the text of a call that is not answered by an instance."""
    address, port = world.addresses[socket.AF_INET]
    options = (("grpc.default_authority", host), ("grpc.enable_retries", 0))

    def call() -> tuple[grpc.StatusCode, str]:
        with grpc.insecure_channel(f"{address}:{port}", options) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/minirun.Sample/Greet")(b"me", timeout=20)
            return caught.value.code(), caught.value.details()

    return await asyncio.to_thread(call)


async def test_unknown_host_is_unimplemented(world: World) -> None:
    text = "no service answers for host 'nobody.here'; check the name, or deploy the service"
    assert await refused(world, "nobody.here") == (grpc.StatusCode.UNIMPLEMENTED, text)


@pytest.mark.parametrize("status", [503, 429])
async def test_full_queue_is_unavailable(world: World, status: int) -> None:
    await world.restart(container_concurrency=1, overflow_status=status)
    world.path.set_proxy_mode(False)
    world.instance.serve = world.instance.hand_over
    for _ in range(11):
        await (await world.connect()).send(GET)
    await world.until(lambda: world.path.waiting == 10)
    assert await refused(world) == (grpc.StatusCode.UNAVAILABLE, "pending request queue full")


async def test_no_answer_in_time_is_unavailable(world: World) -> None:
    await world.restart(response_start_timeout_seconds=0.05)
    world.ready()
    assert await refused(world) == (grpc.StatusCode.UNAVAILABLE, "request timeout")
    assert (await world.record()).status == 504


@pytest.mark.parametrize(
    ("status", "code"), [(401, grpc.StatusCode.UNAUTHENTICATED), (403, grpc.StatusCode.PERMISSION_DENIED)]
)
async def test_who_may_not_call_is_told_in_a_sentence_and_not_in_a_page(
    world: World, status: int, code: grpc.StatusCode
) -> None:
    page = Refusal(status, "<p>no</p>", (), "text/html", "100 % of callers need a token, «you» too.")
    await world.restart(admit=lambda head, peer: page)
    assert await refused(world) == (code, "100 % of callers need a token, «you» too.")


async def test_the_answer_is_one_head_in_both_versions_of_http(world: World) -> None:
    wire = await Http2Wire.connect(world)
    fields = request_fields("POST", "/a/B", GRPC)
    fields = [(name, b"nobody.here" if name == b":authority" else value) for name, value in fields]
    answer = await wire.ask(fields, b"\0\0\0\0\0")
    assert (answer.status, answer["grpc-status"], answer.body, answer.trailers) == (200, b"12", b"", [])
    client = await world.connect()
    old = await client.ask(
        b"POST / HTTP/1.1\r\nHost: nobody.here\r\nContent-Type: application/grpc+proto\r\n\r\n"
    )
    assert (old.status, old["Grpc-Status"], old.body) == (200, b"12", b"")


@pytest.mark.parametrize("kind", ["application/grpc-web", "application/json", "text/application/grpc"])
async def test_other_clients_are_told_as_before(world: World, kind: str) -> None:
    def admit(head: RequestHead, peer: str) -> Refusal:
        return Refusal(403, "no")

    await world.restart(admit=admit)
    client = await world.connect()
    answer = await client.ask(GET.replace(b"\r\n\r\n", f"\r\nContent-Type: {kind}\r\n\r\n".encode()))
    assert (answer.status, answer.body) == (403, b"no\n")
