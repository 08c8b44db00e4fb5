"""Errors and answers as Google's APIs write them: an HTTP status, a canonical code, and field violations.

Refusals come as `StatusError`, the way the ordinary verbs say them; this is their translation. Counterpart:
google.rpc.Status with BadRequest (google.aip.dev/193).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from minirun.api.bodies import read_body
from minirun.api.status import StatusError
from minirun.model.decoding import DecodingError, parse_json

JSON: Final = "application/json; charset=UTF-8"


class Canonical(NamedTuple):
    """A code of google.rpc.Code by name and number, and the HTTP status that goes with it."""

    name: str
    number: int
    http: int


CANONICAL: Final = {
    code.name: code
    for code in (
        Canonical("INVALID_ARGUMENT", 3, 400),
        Canonical("NOT_FOUND", 5, 404),
        Canonical("ALREADY_EXISTS", 6, 409),
        Canonical("PERMISSION_DENIED", 7, 403),
        Canonical("RESOURCE_EXHAUSTED", 8, 429),
        Canonical("FAILED_PRECONDITION", 9, 400),
        Canonical("ABORTED", 10, 409),
        Canonical("UNIMPLEMENTED", 12, 501),
        Canonical("UNAUTHENTICATED", 16, 401),
    )
}
# By the reason of a Status body. Other refusals are the client's fault: INVALID_ARGUMENT.
_BY_REASON: Final = {
    "NotFound": "NOT_FOUND",
    "AlreadyExists": "ALREADY_EXISTS",
    "Conflict": "ABORTED",
    "Forbidden": "PERMISSION_DENIED",
    "Unauthorized": "UNAUTHENTICATED",
    "TooManyRequests": "RESOURCE_EXHAUSTED",
    "FailedPrecondition": "FAILED_PRECONDITION",
    "NotImplemented": "UNIMPLEMENTED",
}
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"


def canonical(error: StatusError) -> Canonical:
    """The code of a refusal."""
    return CANONICAL[_BY_REASON.get(str(error.body["reason"]), "INVALID_ARGUMENT")]


def failed_precondition(message: str) -> StatusError:
    return StatusError(400, message, reason="FailedPrecondition")


def violations(error: StatusError) -> list[dict[str, str]]:
    """Which fields a refusal is about, and what is wrong with each."""
    found = [{"field": path, "description": text} for path, text in error.violations]
    details = error.body.get("details")
    for cause in details.get("causes", ()) if isinstance(details, Mapping) else ():
        field, _, description = cause["message"].partition(": ")
        found.append({"field": field, "description": description})
    return found


def error_body(error: StatusError) -> dict[str, object]:
    """The `error` member of Google's form."""
    code, fields = canonical(error), violations(error)
    body: dict[str, object] = {"code": code.http, "message": str(error), "status": code.name}
    if fields:
        body["message"] = "The request has errors"
        body["details"] = [{"@type": _BAD_REQUEST, "fieldViolations": fields}]
    return body


def answer(body: Mapping[str, object], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a refused request: an exception handler for an app of a Google host."""
    if isinstance(error, HTTPException):
        what = f"{request.method} {request.headers.get('host', '')}{request.url.path}"
        error = StatusError(404, f"minirun has no {what}")
    assert isinstance(error, StatusError)
    return refusal_response(error)


def refusal_response(error: StatusError) -> Response:
    """The answer to a refused request."""
    return answer({"error": error_body(error)}, canonical(error).http)


def is_google(host: str) -> bool:
    """Whether a Host header is a name of one of Google's APIs."""
    return host.partition(":")[0].lower().rstrip(".").endswith(".googleapis.com")


async def read_json(request: Request) -> dict[str, object]:
    """The JSON object in a body, whatever its media type; an empty body is an empty object.

    Raises:
        StatusError
    """
    body = await read_body(request)
    try:
        return parse_json(body) if body else {}
    except DecodingError as error:
        raise StatusError(400, str(error)) from None
