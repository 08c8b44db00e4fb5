"""Who is kept out: web pages, DNS rebinding, and beyond loopback everyone without the token."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from minirun.api.guard import Credentials, Guard
from minirun.identity.account import OWNER


async def reached(request: Request) -> Response:
    return PlainTextResponse("reached")


def client(token: str = "", hosts: tuple[str, ...] = ()) -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/", reached, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])])
    transport = httpx.ASGITransport(Guard(app, Credentials(token), hosts))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8081",
        "LOCALHOST.:8081",
        "api.localhost",
        "127.0.0.1:8081",
        "127.8.9.1",
        "[::1]:8081",
        "kubernetes.default",
        "run.googleapis.com",
        "europe-west1-run.googleapis.com",
        "lab.example:8081",
    ],
)
async def test_names_of_this_server_are_answered(host: str) -> None:
    async with client(hosts=("Lab.example",)) as http:
        assert (await http.get("/", headers={"host": host})).text == "reached"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evilgoogleapis.com",
        "10.0.0.1",
        "[::2]:80",
        "0.0.0.0",
        "127.0.0.1@evil.example",
    ],
)
async def test_any_other_name_is_misdirected(host: str) -> None:
    async with client() as http:
        answer = await http.get("/", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["message"].startswith(f'this server is not "{host}"')


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1"]
)
async def test_pages_of_other_origins_are_refused_for_every_method(method: str, origin: str) -> None:
    async with client() as http:
        answer = await http.request(
            method, "/", headers={"origin": origin, "content-type": "application/json"}
        )
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_the_servers_own_origin_passes() -> None:
    async with client() as http:
        assert (await http.get("/", headers={"origin": "http://127.0.0.1:8081"})).text == "reached"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
)
async def test_a_form_can_not_write(method: str, media_type: str) -> None:
    async with client() as http:
        answer = await http.request(method, "/", content=b"{}", headers={"content-type": media_type})
    assert answer.status_code == 415


async def test_json_of_every_kind_can_write() -> None:
    async with client() as http:
        for media_type in ("application/json; charset=utf-8", "Application/Merge-Patch+JSON"):
            answer = await http.patch("/", content=b"{}", headers={"content-type": media_type})
            assert answer.text == "reached"
        assert (await http.delete("/")).text == "reached"
        assert (await http.post("/", content=b"{}")).text == "reached"  # some clients name no type


@pytest.mark.parametrize(
    "shown", [None, "Bearer wrong", "Basic c2VjcmV0", "secret", "Bearer", "Bearer sécret"]
)
async def test_without_the_token_nobody_is_answered(shown: str | None) -> None:
    headers = {} if shown is None else {"authorization": shown.encode()}
    async with client(token="secret") as http:
        answer = await http.get("/", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["reason"] == "Unauthorized"


async def test_an_access_token_of_the_owner_opens_as_the_token_does_and_of_nobody_else() -> None:
    callers = {"i.s.d": OWNER, "i.n.s": "instance@b.c"}
    app = Guard(PlainTextResponse("reached"), Credentials("secret", callers.get))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as http:
        assert (await http.get("/", headers={"authorization": "Bearer i.s.d"})).text == "reached"
        for other in ("o.t.r", "i.n.s"):
            assert (await http.get("/", headers={"authorization": f"Bearer {other}"})).status_code == 401


async def test_the_token_endpoint_alone_takes_a_form_and_needs_no_token() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    app = Guard(PlainTextResponse("reached"), Credentials("secret"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as http:
        assert (await http.post("/token", headers=form)).text == "reached"
        assert (await http.put("/api/v1/namespaces/token", headers=form)).status_code == 401
        assert (
            await http.post("/token", headers=form | {"origin": "http://evil.example"})
        ).status_code == 403


async def test_the_token_opens() -> None:
    async with client(token="secret") as http:
        assert (await http.get("/", headers={"authorization": "bearer secret"})).text == "reached"
