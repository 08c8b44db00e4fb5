"""Who may talk to the API: clients on this machine, and beyond it holders of the token; never a web page.

A page in the user's browser can send requests to 127.0.0.1. Three checks keep it out: the Host header must
name this server (against DNS rebinding), an Origin header must be the server's own, and the body of a write
must be of a JSON type, or of none as some clients have it; no HTML form can send that. There are no CORS
headers.
"""

import hmac
import ipaddress
from collections.abc import Callable, Collection
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from minirun.api.google import is_google, refusal_response
from minirun.api.requests import CALLER
from minirun.api.status import StatusError, unsupported_media_type
from minirun.identity.account import OWNER
from minirun.identity.certificates import NAMES
from minirun.identity.invoker import bearer

OPEN = ("/token", "/oauth2/v3/certs")  # what is asked there is signed, or public
WRITES = ("POST", "PUT", "PATCH")
JSON_TYPES = (
    "application/json",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/vnd.kubernetes.protobuf",
)


class Credentials(NamedTuple):
    """What callers may show.

    `token` is the bearer token that everybody must show who shows none of the owner's own; empty where only
    this machine can reach the API. `owner_of` says whose a token of our own issuer is, or None.
    """

    token: str = ""
    owner_of: Callable[[str], str | None] = lambda token: None

    def caller(self, authorization: str) -> str | None:
        """Who shows an Authorization header, as far as it says; None is nobody in particular."""
        shown = bearer(authorization)
        return self.owner_of(shown) if shown.count(".") == 2 else None

    def refusal(self, authorization: str, caller: str | None) -> StatusError | None:
        """Why such a caller is refused, or None."""
        shown = bearer(authorization).encode()
        if not self.token or caller == OWNER or hmac.compare_digest(shown, self.token.encode()):
            return None
        return StatusError(401, "Unauthorized: send Authorization: Bearer TOKEN")


class Guard:
    """ASGI middleware with the checks.

    Args:
        app: what is guarded; it finds the caller in the scope.
        credentials: what callers must show.
        hosts: names of this server besides loopback names and `*.googleapis.com`.
    """

    def __init__(self, app: ASGIApp, credentials: Credentials, hosts: Collection[str] = ()) -> None:
        self._app, self._credentials = app, credentials
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        if (caller := self._credentials.caller(headers.get("authorization", ""))) is not None:
            scope[CALLER] = caller
        refusal = self._refusal(scope, headers, caller)
        if refusal is None:
            return await self._app(scope, receive, send)
        in_googles_form = is_google(headers.get("host", "")) or scope["path"].startswith("/v2/")
        answered = refusal_response(refusal) if in_googles_form else refusal.response()
        return await answered(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers, caller: str | None) -> StatusError | None:
        """Why a request is refused, or None."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            message = f'this server is not "{host}"; use localhost, 127.0.0.1 or the name given with --api'
            return StatusError(421, message)
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return StatusError(
                403, f'requests from the web origin "{origin}" are refused; use the API from a program'
            )
        if scope["path"] in OPEN:
            return None
        if refusal := self._credentials.refusal(headers.get("authorization", ""), caller):
            return refusal
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] in WRITES and media_type and media_type not in JSON_TYPES:
            return unsupported_media_type(JSON_TYPES)
        return None

    def _is_ours(self, host: str) -> bool:
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        name = name.lower().rstrip(".")
        if name in (*NAMES, *self._hosts) or name.endswith((".localhost", ".googleapis.com")):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False
