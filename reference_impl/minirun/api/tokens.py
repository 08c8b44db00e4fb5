"""Google's token addresses: keys in, tokens out.

Clients sign an assertion with the owner's key and change that at `/token` (RFC 7523), as `gcloud auth
activate-service-account` and google-auth do. `/oauth2/v3/certs` publishes the issuer's key; iamcredentials
hands out tokens of other accounts (impersonation).
"""

from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from minirun.api.bodies import read_body
from minirun.api.google import read_json
from minirun.api.keyring import Keyring
from minirun.api.status import StatusError
from minirun.identity.account import OWNER
from minirun.identity.keys import BadTokenError
from minirun.identity.tokens import LIFETIME_SECONDS, check_times
from minirun.model.clock import SECOND_NS
from minirun.model.meta import rfc3339

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_AUDIENCE: Final = "https://oauth2.googleapis.com/token"


class TokensAPI:
    """The addresses: `routes` on loopback names, `impersonation` on iamcredentials.googleapis.com."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        account = "/v1/projects/{project}/serviceAccounts/{account}"
        self.routes = [
            Route("/token", self._token, methods=["POST"]),
            Route("/oauth2/v3/certs", self._certs),
        ]
        self.impersonation = [
            Route(f"{account}:generateAccessToken", self._access_token, methods=["POST"]),
            Route(f"{account}:generateIdToken", self._id_token, methods=["POST"]),
        ]

    async def _token(self, request: Request) -> Response:
        """Changes an assertion that the owner's key signed for an ID token or an access token."""
        form = parse_qs((await read_body(request)).decode("latin-1"))
        if form.get("grant_type") != [JWT_BEARER] or "assertion" not in form:
            text = f"the body is a form with grant_type {JWT_BEARER} and an assertion"
            return _oauth_error("unsupported_grant_type", text)
        try:
            claims = self._keyring.account.read(form["assertion"][0])
            check_times(claims, self._keyring.clock)
        except BadTokenError as error:
            return _oauth_error("invalid_grant", f"Invalid JWT: {error}")
        if (claims.get("iss"), claims.get("aud")) != (OWNER, ASSERTION_AUDIENCE):
            text = f"Invalid JWT: it is not from {OWNER} for {ASSERTION_AUDIENCE}"
            return _oauth_error("invalid_grant", text)
        issuer = self._keyring.issuer()
        if audience := claims.get("target_audience"):
            return JSONResponse({"id_token": issuer.id_token(OWNER, str(audience))})
        token = issuer.access_token(OWNER)
        return JSONResponse({"access_token": token, "expires_in": LIFETIME_SECONDS, "token_type": "Bearer"})

    async def _certs(self, request: Request) -> Response:
        return JSONResponse(self._keyring.issuer().key.jwks())

    async def _access_token(self, request: Request) -> Response:
        token = self._keyring.issuer().access_token(request.path_params["account"])
        ends = rfc3339(self._keyring.clock.unix_ns() + LIFETIME_SECONDS * SECOND_NS)
        return JSONResponse({"accessToken": token, "expireTime": ends})

    async def _id_token(self, request: Request) -> Response:
        audience = (await read_json(request)).get("audience")
        if not isinstance(audience, str) or not audience:
            raise StatusError(400, "audience is missing: give the URL of the Service that the token is for")
        token = self._keyring.issuer().id_token(request.path_params["account"], audience)
        return JSONResponse({"token": token})


def _oauth_error(error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, 400)
