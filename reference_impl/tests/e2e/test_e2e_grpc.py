"""gRPC through the platform: the sample is built, deployed with a port named h2c, and called by grpcio."""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest
from liveplatform import SERVING, Platform, manifest, running

import minirun

SAMPLE = Path(minirun.__file__).parent / "samples" / "grpc"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform on which the sample is deployed, with one request at a time."""
    with running(tmp_path_factory.mktemp("grpc") / "data") as platform:
        built = platform.minirun("build", str(SAMPLE), "-t", "grpc", check=False)
        if built.returncode and "pip" in built.stderr:
            pytest.skip(f"grpcio can't be installed into an image here: {built.stderr[-200:]}")
        service = manifest("grpc", "grpc", **{"autoscaling.knative.dev/max-scale": "1"})
        spec = service["spec"]["template"]["spec"]
        spec["containerConcurrency"] = 1
        spec["containers"][0] |= {"ports": [{"name": "h2c", "containerPort": 8080}]}
        spec["containers"][0] |= {"readinessProbe": {"grpc": {"port": 8080}}}
        platform.api.post(f"{SERVING}/services", json=service).raise_for_status()
        yield platform


@pytest.fixture(scope="module")
def channel(live: Platform) -> Iterator[grpc.Channel]:
    options = (("grpc.default_authority", "grpc.default.localhost"),)

    def is_ready() -> bool:
        service = live.api.get(f"{SERVING}/services/grpc").json()
        return any(c["type"] == "Ready" and c["status"] == "True" for c in service["status"]["conditions"])

    live.wait_until(is_ready, 60, "the service to be ready")
    with grpc.insecure_channel(f"127.0.0.1:{live.port}", options) as channel:
        yield channel


def test_all_four_kinds_of_call_are_answered(channel: grpc.Channel) -> None:
    answer, call = channel.unary_unary("/minirun.Sample/Greet").with_call(b"me", timeout=20)
    assert answer == b"Hello me!"
    assert ("greeted", "me") in list(call.trailing_metadata())
    assert list(channel.unary_stream("/minirun.Sample/Count")(b"3", timeout=20)) == [b"1", b"2", b"3"]
    numbers = (str(number).encode() for number in range(100))
    assert channel.stream_unary("/minirun.Sample/Add")(numbers, timeout=20) == b"4950"
    words: SimpleQueue[bytes | None] = SimpleQueue()
    answers = channel.stream_stream("/minirun.Sample/Echo")(iter(words.get, None), timeout=20)
    for word in (b"a", b"b", b"c"):  # the next one is said only when the last one was answered
        words.put(word)
        assert next(answers) == word.upper()
    words.put(None)
    assert list(answers) == []


def test_a_large_message_passes_both_ways(channel: grpc.Channel) -> None:
    message = b"x" * 3_000_000
    answers = channel.stream_stream("/minirun.Sample/Echo")(iter([message]), timeout=20)
    assert list(answers) == [message.upper()]


def test_an_error_without_an_answer_arrives_with_its_status_and_text(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/minirun.Sample/Greet")(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the message is empty; send a name"
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/minirun.Sample/Nothing")(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_and_a_cancel_end_the_call_and_free_the_only_slot(channel: grpc.Channel) -> None:
    count, greet = channel.unary_stream("/minirun.Sample/Count"), channel.unary_unary("/minirun.Sample/Greet")
    with pytest.raises(grpc.RpcError) as caught:
        list(count(b"100000", timeout=0.3))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert greet(b"you", timeout=20) == b"Hello you!"
    call = count(b"100000", timeout=60)
    assert next(call) == b"1"
    call.cancel()
    assert call.code() is grpc.StatusCode.CANCELLED
    assert greet(b"you", timeout=20) == b"Hello you!"


def test_a_host_that_no_service_has_is_unimplemented_as_grpc_maps_404(live: Platform) -> None:
    options = (("grpc.default_authority", "nobody.default.localhost"),)
    with grpc.insecure_channel(f"127.0.0.1:{live.port}", options) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/minirun.Sample/Greet")(b"me", timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
