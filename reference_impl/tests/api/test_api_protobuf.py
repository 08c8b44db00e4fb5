"""Bodies in Kubernetes' protobuf, made byte by byte as Go clients make them."""

import contextlib
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun.api.protobuf import MAGIC, MESSAGES, PROTOBUF, decode
from minirun.api.status import StatusError
from minirun.model.resources import ConfigMap, Secret
from minirun.store.store import Store

HEADERS = {"content-type": PROTOBUF, "accept": f"{PROTOBUF},application/json"}


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(*fields: tuple[int, Any]) -> bytes:
    """Fields by number; a number is a varint, bytes and text are length-delimited."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


def envelope(api_version: str, kind: str, *fields: tuple[int, Any]) -> bytes:
    unknown = (1, message((1, api_version), (2, kind))), (2, message(*fields)), (3, ""), (4, "")
    return MAGIC + message(*unknown)


def entry(key: str, value: str | bytes) -> bytes:
    return message((1, key), (2, value))


async def test_kubectl_create_configmap_and_secret(client: httpx.AsyncClient, store: Store) -> None:
    # creationTimestamp (8) and managedFields (17) are sent too, and mean nothing.
    meta = message(
        (1, "made"), (3, "default"), (8, message((1, 0))), (11, entry("app", "x")), (17, b"\x0a\x00")
    )
    map_ = envelope(
        "v1",
        "ConfigMap",
        (1, meta),
        (2, entry("a", "b")),
        (2, entry("empty", "")),
        (3, entry("bin", b"\xff")),
    )
    answer = await client.post("/api/v1/namespaces/default/configmaps", content=map_, headers=HEADERS)
    assert answer.status_code == 201, answer.text
    stored = store.get(ConfigMap, "default", "made")
    assert stored.data == {"a": "b", "empty": ""}
    assert stored.binary_data == {"bin": b"\xff"}
    assert stored.metadata.labels == {"app": "x"}
    secret = envelope("v1", "Secret", (1, meta), (2, entry("a", b"\0")), (3, "Opaque"), (4, entry("b", "t")))
    answer = await client.post("/api/v1/namespaces/default/secrets", content=secret, headers=HEADERS)
    assert answer.status_code == 201, answer.text
    assert store.get(Secret, "default", "made").data == {"a": b"\0", "b": b"t"}


async def test_delete_options_come_as_protobuf(client: httpx.AsyncClient, store: Store) -> None:
    await client.post("/api/v1/namespaces/default/configmaps", json={"metadata": {"name": "kept"}})
    address = "/api/v1/namespaces/default/configmaps/kept"
    tried = envelope("v1", "DeleteOptions", (1, 30), (4, "Background"), (5, "All"))
    await client.request("DELETE", address, content=tried, headers=HEADERS)
    assert store.find(ConfigMap, "default", "kept") is not None
    wrong = envelope("v1", "DeleteOptions", (2, message((1, "other-uid"))))
    assert (await client.request("DELETE", address, content=wrong, headers=HEADERS)).status_code == 409
    done = envelope("v1", "DeleteOptions", (1, -1))
    assert (await client.request("DELETE", address, content=done, headers=HEADERS)).status_code == 200
    assert store.find(ConfigMap, "default", "kept") is None


async def test_can_i_comes_as_protobuf(client: httpx.AsyncClient) -> None:
    wanted = message((1, "default"), (2, "create"), (3, "serving.knative.dev"), (5, "services"))
    body = envelope("authorization.k8s.io/v1", "SelfSubjectAccessReview", (2, message((1, wanted))))
    address = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = await client.post(address, content=body, headers=HEADERS)
    assert answer.json()["spec"]["resourceAttributes"]["group"] == "serving.knative.dev"


def test_the_ports_of_a_service_are_numbers_or_names() -> None:
    ports = (
        (1, message((2, "TCP"), (3, 80), (4, message((1, 0), (2, 8080))))),
        (1, message((4, message((1, 1), (3, "web"))))),
    )
    spec = decode(envelope("v1", "Service", (2, message(*ports, (4, "ClusterIP")))))["spec"]
    assert spec == {
        "ports": [{"protocol": "TCP", "port": 80, "targetPort": 8080}, {"targetPort": "web"}],
        "type": "ClusterIP",
    }


def test_an_owner_is_read() -> None:
    owner = message((1, "Pod"), (3, "p"), (4, "u"), (5, "v1"), (6, 1))
    metadata = decode(envelope("v1", "Namespace", (1, message((1, "n"), (7, 300), (13, owner)))))["metadata"]
    wanted = {"kind": "Pod", "name": "p", "uid": "u", "apiVersion": "v1", "controller": True}
    assert metadata == {"name": "n", "generation": 300, "ownerReferences": [wanted]}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{}", 400),
        (MAGIC + b"\x0a\xff", 400),
        (MAGIC + b"\xff" * 11, 400),
        (envelope("v1", "Namespace", (1, 7)), 400),
        (
            envelope(
                "v1",
                "Namespace",
                (1, message((1, b"\xff"))),
            ),
            400,
        ),
        (envelope("v1", "Pod"), 415),
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes, code: int) -> None:
    with pytest.raises(StatusError) as refused:
        decode(body)
    assert refused.value.code == code


@given(st.sampled_from(sorted(MESSAGES)), st.binary())
def test_any_bytes_are_read_or_refused(kind: str, data: bytes) -> None:
    with contextlib.suppress(StatusError):
        assert decode(MAGIC + message((1, message((1, "v1"), (2, kind))), (2, data)))["kind"] == kind
    with contextlib.suppress(StatusError):
        decode(MAGIC + data)
