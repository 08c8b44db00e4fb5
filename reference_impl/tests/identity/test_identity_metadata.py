"""What an instance learns from its metadata server, read by path, over a socket."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from minirun.identity.keys import key_of, make_pem
from minirun.identity.metadata import Facts, MetadataServer
from minirun.identity.tokens import ACCESS, Issuer
from minirun.model.clock import SystemClock

FACTS = Facts("demo", 123456789012, "europe-west1", "00ab", "me@demo.iam.gserviceaccount.com")
ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
URL = "http://other.example"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer(key_of(make_pem()), SystemClock())


@pytest.fixture
async def metadata(issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> Issuer:
        return issuer

    server = MetadataServer(FACTS, ready)
    address = await server.start()
    headers = {"Metadata-Flavor": "Google"}
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, trust_env=False) as client:
        yield client
    server.close()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "computeMetadata/\n"),
        ("/computeMetadata/v1/", "instance/\nproject/\nuniverse/\n"),
        ("/computeMetadata/v1/project/project-id", "demo"),
        ("/computeMetadata/v1/project/numeric-project-id", "123456789012"),
        ("/computeMetadata/v1/universe/universe-domain", "googleapis.com"),
        ("/computeMetadata/v1/instance/region", "projects/123456789012/regions/europe-west1"),
        ("/computeMetadata/v1/instance/zone", "projects/123456789012/zones/europe-west1-1"),
        ("/computeMetadata/v1/instance/id", "00ab"),
        ("/computeMetadata/v1/instance/service-accounts/", f"default/\n{FACTS.email}/\n"),
        (f"{ACCOUNT}/email", FACTS.email),
        (f"{ACCOUNT}/scopes", "https://www.googleapis.com/auth/cloud-platform"),
    ],
)
async def test_facts_are_read_by_path(metadata: httpx.AsyncClient, path: str, text: str) -> None:
    answer = await metadata.get(path)
    assert (answer.status_code, answer.text) == (200, text)
    assert answer.headers["metadata-flavor"] == "Google"


async def test_a_folder_is_read_as_json(metadata: httpx.AsyncClient) -> None:
    account = (await metadata.get(f"{ACCOUNT}/?recursive=true")).json()
    assert (account["email"], account["aliases"]) == (FACTS.email, ["default"])
    project = (await metadata.get("/computeMetadata/v1/project/?recursive=true")).json()
    assert project == {"numericProjectId": 123456789012, "projectId": "demo"}


async def test_tokens_are_those_of_the_service_account(metadata: httpx.AsyncClient, issuer: Issuer) -> None:
    identity = (await metadata.get(f"{ACCOUNT}/identity?audience={URL}&format=full")).text
    assert issuer.email_of(identity, [URL]) == FACTS.email
    assert json.loads(base64.urlsafe_b64decode(identity.split(".")[1] + "=="))["email_verified"] is True
    access = (await metadata.get(f"{ACCOUNT}/token?scopes=x")).json()
    assert issuer.email_of(access["access_token"], [ACCESS]) == FACTS.email
    assert (access["token_type"], access["expires_in"]) == ("Bearer", 3599)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/computeMetadata/v1/project/project-id", {"Metadata-Flavor": "Apple"}, 403),
        ("/computeMetadata/v1/project/project-id", {"X-Forwarded-For": "10.0.0.1"}, 403),
        ("/computeMetadata/v1/project/colour", {}, 404),
        ("/computeMetadata/v1/instance/service-accounts/other@b.c/token", {}, 404),
        (f"{ACCOUNT}/identity", {}, 400),
    ],
)
async def test_what_is_not_for_the_instance_is_refused(
    metadata: httpx.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    assert (await metadata.get(path, headers=headers)).status_code == status


async def test_nothing_can_be_written(metadata: httpx.AsyncClient) -> None:
    assert (await metadata.put("/computeMetadata/v1/project/project-id")).status_code == 405


async def test_an_endless_head_ends_the_connection(metadata: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(metadata.base_url.host, metadata.base_url.port)
    writer.write(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000)
    assert await reader.read() == b""
    writer.close()
