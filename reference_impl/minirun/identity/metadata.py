"""The metadata server of one instance: what it may know about itself, and tokens of its service account.

What is fixed is a tree, read by path; tokens are leaves that are made when they are read. Every request and
every answer has the header `Metadata-Flavor: Google`, which a page or a forwarded request can't send by
accident. Counterpart: http://metadata.google.internal in Cloud Run (container contract).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from minirun.identity.tokens import LIFETIME_SECONDS, Issuer

SCOPES: Final = ["https://www.googleapis.com/auth/cloud-platform"]
ROOT: Final = "/computeMetadata/v1"
HEAD_LIMIT: Final = 16 * 1024

Tree = Mapping[str, "Tree | str | int | list[str]"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What an instance may know: ids of its project and itself, its region, its service account's e-mail."""

    project: str
    project_number: int
    region: str
    instance_id: str
    email: str

    def tree(self) -> Tree:
        """The fixed part, below `/computeMetadata/v1`."""
        account: Tree = {"aliases": ["default"], "email": self.email, "scopes": SCOPES}
        place = f"projects/{self.project_number}"
        return {
            "instance": {
                "id": self.instance_id,
                "region": f"{place}/regions/{self.region}",
                "service-accounts": {"default": account, self.email: account},
                "zone": f"{place}/zones/{self.region}-1",
            },
            "project": {"numeric-project-id": self.project_number, "project-id": self.project},
            "universe": {"universe-domain": "googleapis.com"},
        }


class Answer(NamedTuple):
    """Status, body and media type of an answer."""

    status: int
    body: str
    media_type: str = "application/text"

    def encode(self) -> bytes:
        body = self.body.encode()
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\nMetadata-Flavor: Google\r\n"
            f"Server: Metadata Server for Serverless\r\nContent-Type: {self.media_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


NOT_FOUND: Final = Answer(404, "404 page not found\n")


def refusal(method: str, headers: Mapping[str, str]) -> Answer | None:
    """Why a request is refused, or None; `headers` have lower-case names."""
    if method != "GET":
        return Answer(405, "the metadata server is read with GET\n")
    if headers.get("metadata-flavor", "").lower() != "google":
        return Answer(403, "Missing Metadata-Flavor:Google header.\n")
    if "x-forwarded-for" in headers:
        return Answer(403, "Requests that were forwarded (X-Forwarded-For) are refused.\n")
    return None


def token(facts: Facts, issuer: Issuer, path: str, query: Mapping[str, list[str]]) -> Answer | None:
    """The answer for a path to a token of the instance's account; None for any other path.

    Args:
        query: `audience` says who an ID token (`identity`) is for.
    """
    folder, _, leaf = path.rpartition("/")
    if folder not in (f"{ROOT}/instance/service-accounts/{name}" for name in ("default", facts.email)):
        return None
    if leaf == "token":
        made = issuer.access_token(facts.email)
        answer = {"access_token": made, "expires_in": LIFETIME_SECONDS - 1, "token_type": "Bearer"}
        return Answer(200, json.dumps(answer), "application/json")
    if leaf == "identity":
        audience = query.get("audience", [""])[0]
        if not audience:
            return Answer(400, "non-empty audience parameter required\n")
        return Answer(200, issuer.id_token(facts.email, audience))
    return None


def read(facts: Facts, path: str, recursive: bool) -> Answer:
    """The answer for a path of the tree: a value, a list of names, or with `recursive` all as JSON."""
    node: object = {"computeMetadata": {"v1": facts.tree()}}
    for name in filter(None, path.split("/")):
        if not isinstance(node, Mapping) or name not in node:
            return NOT_FOUND
        node = node[name]
    if recursive:
        return Answer(200, json.dumps(_camel_case(node)), "application/json")
    if isinstance(node, Mapping):
        names = (f"{name}/" if isinstance(below, Mapping) else name for name, below in node.items())
        return Answer(200, "".join(f"{name}\n" for name in names))
    return Answer(200, "\n".join(node) if isinstance(node, list) else str(node))


def _camel_case(node: object) -> object:
    """As the metadata server writes JSON: numericProjectId for numeric-project-id."""
    if not isinstance(node, Mapping):
        return node
    words = {name: name.split("-") if "@" not in name else [name] for name in node}
    return {
        first + "".join(word.capitalize() for word in rest): _camel_case(node[name])
        for name, (first, *rest) in words.items()
    }


class MetadataServer:
    """Answers one instance on a port of its own.

    Args:
        facts: about the instance.
        issuer: gives the issuer, which may take a moment the first time.
    """

    def __init__(self, facts: Facts, issuer: Callable[[], Awaitable[Issuer]]) -> None:
        self._facts, self._issuer = facts, issuer
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1") -> str:
        """Listens on a free port of `host`, and returns the address: `HOST:PORT`."""
        self._server = await asyncio.start_server(self._talk, host, 0, limit=HEAD_LIMIT)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Listens no longer; open connections end with the instance."""
        if self._server is not None:
            self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                answer = await self._answer(head)
                writer.write(answer.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str) -> Answer:
        line, *fields = head.split("\r\n")
        method, _, target = line.rpartition(" ")[0].partition(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        refused = refusal(method, headers)
        if refused:
            return refused
        url = urlsplit(target)
        query = parse_qs(url.query)
        if url.path.endswith(("/token", "/identity")):
            found = token(self._facts, await self._issuer(), url.path, query)
            return found or NOT_FOUND
        return read(self._facts, url.path, query.get("recursive", [""])[0].lower() == "true")
