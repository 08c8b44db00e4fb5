"""Errors as Kubernetes says them: a `Status` body with a code, a reason and a sentence.

Counterpart: apimachinery pkg/api/errors. Clients look at `reason` and `code`; people read `message`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from minirun.model.resources import Kind

REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    421: "MisdirectedRequest",
    422: "Invalid",
    504: "Timeout",
}


class StatusError(Exception):
    """A refusal: `code` is the HTTP status, which has its reason in `REASONS` unless one is given.

    `violations`: which field is wrong and what is wrong with it, for the fronts that say so.
    """

    def __init__(
        self,
        code: int,
        message: str,
        details: dict[str, object] | None = None,
        reason: str = "",
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.violations = violations
        self.body: dict[str, object] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason or REASONS[code],
            **({"details": details} if details else {}),
            "code": code,
        }

    def response(self) -> Response:
        headers = {"www-authenticate": "Bearer"} if self.code == 401 else None
        return Response(msgspec.json.encode(self.body), self.code, headers, "application/json")


def success(details: dict[str, object]) -> dict[str, object]:
    """The body that says that a deletion is done."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def details_of(kind: Kind, name: str) -> dict[str, object]:
    """Which object it is about; `kind` is the plural, and core kinds have no group."""
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def denied(webhook: str, errors: str, violations: Sequence[tuple[str, str]] = ()) -> StatusError:
    """Knative's admission webhooks refuse with 400."""
    message = f'admission webhook "{webhook}" denied the request: validation failed: {errors}'
    return StatusError(400, message, violations=violations)


def not_found(kind: Kind, name: str) -> StatusError:
    return StatusError(404, f'{kind.resource} "{name}" not found', details_of(kind, name))


def already_exists(kind: Kind, name: str) -> StatusError:
    message = f'{kind.resource} "{name}" already exists'
    return StatusError(409, message, details_of(kind, name), "AlreadyExists")


def conflict(kind: Kind, name: str, why: str = "") -> StatusError:
    """`why`: the modification of the object by somebody else, unless something else is said."""
    modified = "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why or modified}'
    return StatusError(409, message, details_of(kind, name))


def apply_conflict(conflicts: Sequence[tuple[str, str]]) -> StatusError:
    """Server-side apply would take fields from others: (manager, path) of each, sorted."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in conflicts
    ]
    if len(conflicts) == 1:
        ((manager, path),) = conflicts
        listed = f"1 conflict: conflict with {manager}: {path}"
    else:
        paths = {manager: [path for other, path in conflicts if other == manager] for manager, _ in conflicts}
        lines = "\n".join(
            "\n".join([f"conflicts with {manager}:", *(f"- {path}" for path in its)])
            for manager, its in paths.items()
        )
        listed = f"{len(conflicts)} conflicts: {lines}"
    return StatusError(409, f"Apply failed with {listed}", {"causes": causes})


def terminating(kind: Kind, name: str, namespace: str) -> StatusError:
    """Nothing new in a namespace that is being deleted."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    details = details_of(kind, name) | {"causes": [cause]}
    return StatusError(403, f'{kind.resource} "{name}" is forbidden: {why}', details)


def invalid_options(options: str, *causes: str) -> StatusError:
    """The query is not as meta.k8s.io/v1 `options` may be."""
    details: dict[str, object] = {
        "group": "meta.k8s.io",
        "kind": options,
        "causes": [{"message": cause} for cause in causes],
    }
    return StatusError(422, f'{options}.meta.k8s.io "" is invalid: {_listed(causes)}', details)


def version_too_large(asked: int, current: int) -> StatusError:
    """A version that no write has had yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details: dict[str, object] = {"causes": [cause], "retryAfterSeconds": 1}
    return StatusError(504, f"Timeout: Too large resource version: {asked}, current: {current}", details)


def invalid(kind: Kind, name: str, causes: list[str]) -> StatusError:
    what = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    details = details_of(kind, name) | {"kind": kind.kind, "causes": [{"message": cause} for cause in causes]}
    return StatusError(422, f'{what} "{name}" is invalid: {_listed(causes)}', details)


def _listed(causes: Sequence[str]) -> str:
    return causes[0] if len(causes) == 1 else f"[{', '.join(causes)}]"


def unsupported_media_type(accepted: Iterable[str]) -> StatusError:
    listed = ", ".join(accepted)
    said = "the body of the request was in an unknown format - accepted media types include"
    return StatusError(415, f"{said}: {listed}")
