"""A small client of the platform's Kubernetes-style API: the only way in which commands talk to it.

Kinds and their addresses come from `model.resources.KINDS`. The counterpart is kubectl's REST client, with
strict field validation always on. Errors are one sentence for people and end a command with status 1.
"""

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click
import httpx
import msgspec

from minirun.identity.account import OWNER
from minirun.model.meta import Resource
from minirun.model.resources import KIND_OF, MINIRUN, TYPE_OF_KIND, Kind

DEFAULT_API = "http://127.0.0.1:8081"
MERGE_PATCH = "application/merge-patch+json"
LOOPBACK = ("127.", "localhost", "::1")

R = TypeVar("R", bound=Resource)
T = TypeVar("T")
Json = Mapping[str, object]


class ApiError(click.ClickException):
    """The API refused: `message` and `reason` are those of its Status, `code` is the HTTP status."""

    def __init__(self, message: str, reason: str, code: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = code


class Status(msgspec.Struct):
    """The body of a refusal."""

    message: str = ""
    reason: str = ""
    code: int = 0


class LogObject(Resource, frozen=True):
    """A stored log entry as the API shows it."""

    api_version: str = MINIRUN
    kind: str = "LogEntry"
    severity: str = "DEFAULT"
    timestamp: str = ""
    message: str = ""
    json_payload: dict[str, object] | None = None
    trace: str = ""


_KIND_OF: dict[type[Resource], Kind] = {**KIND_OF, LogObject: Kind(LogObject, "logentries", read_only=True)}


class _List(msgspec.Struct, Generic[R]):
    items: list[R] = []


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class Change(NamedTuple, Generic[R]):
    """One event of a watch: ADDED, MODIFIED or DELETED."""

    type: str
    object: R


class Client:
    """Talks to one platform.

    Args:
        api: its address; the environment's MINIRUN_API, or `DEFAULT_API`, if None.
        token: for an API that asks for one; the environment's MINIRUN_TOKEN if None.
        transport: how to get there; None is the network.
    """

    def __init__(
        self, api: str | None = None, token: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.api = (api or os.environ.get("MINIRUN_API") or DEFAULT_API).rstrip("/")
        self.token = token or os.environ.get("MINIRUN_TOKEN")
        host = urlsplit(self.api).hostname or ""
        self._http = httpx.Client(
            base_url=self.api,
            headers={"User-Agent": "minirun"}  # the owner of the fields that it writes
            | ({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            timeout=httpx.Timeout(30, read=600),
            trust_env=not host.startswith(LOOPBACK),  # a proxy can't reach this machine's loopback
            transport=transport,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ping(self) -> None:
        """Returns when the platform has answered; raises ApiError or click's error with a sentence."""
        self._call("GET", "/version")

    def get(self, type_: type[R], namespace: str, name: str) -> R:
        """One object; raises ApiError (404 when there is none)."""
        return self._typed(type_, self._call("GET", _url(type_, namespace, name)))

    def find(self, type_: type[R], namespace: str, name: str) -> R | None:
        """One object, or None."""
        try:
            return self.get(type_, namespace, name)
        except ApiError as error:
            if error.reason == "NotFound":
                return None
            raise

    def list(
        self, type_: type[R], namespace: str, labels: Mapping[str, str] | None = None, **parameters: str
    ) -> list[R]:
        """All objects of a kind in a namespace that carry `labels`; `parameters` are the kind's own."""
        body = self._call("GET", _url(type_, namespace), params=_selectors(labels) | parameters)
        return self._typed(_List[type_], body).items  # type: ignore[valid-type]

    def create(self, type_: type[R], namespace: str, body: Resource | Json) -> R:
        """Creates an object."""
        return self._typed(type_, self._call("POST", _url(type_, namespace), body=body))

    def replace(self, type_: type[R], body: R) -> R:
        """Stores a changed object; refused (Conflict) when it changed meanwhile."""
        return self._typed(type_, self._call("PUT", _url(type_, *body.key), body=body))

    def patch(self, type_: type[R], namespace: str, name: str, patch: Json) -> R:
        """Merges `patch` into an object (RFC 7396)."""
        url = _url(type_, namespace, name)
        return self._typed(type_, self._call("PATCH", url, body=patch, content_type=MERGE_PATCH))

    def delete(self, type_: type[Resource], namespace: str, name: str) -> None:
        """Deletes an object and, in the background, what it owns."""
        self._call("DELETE", _url(type_, namespace, name))

    def watch(
        self,
        type_: type[R],
        namespace: str,
        *,
        name: str | None = None,
        since: str = "",
        labels: Mapping[str, str] | None = None,
        timeout_seconds: float = 300,
        **parameters: str,
    ) -> Generator[Change[R], None, None]:
        """Changes after version `since` ("": what there is now comes first), until the time is over."""
        query = _selectors(labels, {"metadata.name": name} if name else None) | parameters
        query |= {"watch": "true", "resourceVersion": since}
        query |= {"timeoutSeconds": str(max(1, round(timeout_seconds)))}
        timeout = httpx.Timeout(30, read=timeout_seconds)
        stream = self._http.stream("GET", _url(type_, namespace), params=query, timeout=timeout)
        with self._sentences(), suppress(httpx.ReadTimeout), stream as answer:
            if answer.is_error:
                raise _refusal(answer.status_code, answer.read())
            for line in filter(None, answer.iter_lines()):
                event = msgspec.json.decode(line, type=_Event)
                if event.type == "ERROR":
                    raise _refusal(410, bytes(event.object))
                if event.type != "BOOKMARK":
                    yield Change(event.type, self._typed(type_, bytes(event.object)))

    def metrics(self) -> str:
        """The platform's metrics, in Prometheus' text format."""
        return self._call("GET", "/metrics").decode()

    def id_token(self, audience: str) -> str:
        """An ID token of the account that owns every project, for a Service's URL."""
        url = f"/v1/projects/-/serviceAccounts/{OWNER}:generateIdToken"
        made = self._call("POST", url, body={"audience": audience}, host="iamcredentials.googleapis.com")
        return self._typed(dict[str, str], made)["token"]

    def _call(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        body: Resource | Json | None = None,
        content_type: str = "application/json",
        host: str = "",
    ) -> bytes:
        content, headers = None, {"Host": host} if host else {}
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = content_type
            params = {"fieldManager": "minirun", "fieldValidation": "Strict"}
        with self._sentences():
            answer = self._http.request(method, url, params=params, content=content, headers=headers)
        if answer.is_error:
            raise _refusal(answer.status_code, answer.content)
        return answer.content

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            hint = "start one with `minirun up`, or set MINIRUN_API"
            raise click.ClickException(f"no platform answers at {self.api}; {hint}") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise click.ClickException(f"{self.api} broke off ({error!r}); is the platform ending?") from None

    def _typed(self, type_: type[T], body: bytes) -> T:
        try:
            return msgspec.json.decode(body, type=type_)
        except msgspec.DecodeError as error:
            raise click.ClickException(f"{self.api} is no minirun platform ({error})") from None


def kind_of(api_version: str, kind: str) -> type[Resource] | None:
    """The type of the objects that call themselves so."""
    return TYPE_OF_KIND.get((api_version, kind))


def _url(type_: type[Resource], namespace: str, name: str = "") -> str:
    row = _KIND_OF[type_]
    root = f"/apis/{row.api_version}" if row.group else f"/api/{row.api_version}"
    scope = f"/namespaces/{namespace}" if row.namespaced else ""
    return f"{root}{scope}/{row.plural}" + (f"/{name}" if name else "")


def _selectors(labels: Mapping[str, str] | None, fields: Mapping[str, str] | None = None) -> dict[str, str]:
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {key: ",".join(f"{k}={v}" for k, v in pairs.items()) for key, pairs in chosen.items() if pairs}


def _refusal(code: int, body: bytes) -> ApiError:
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        status = Status(body.decode("utf-8", "replace").strip())
    return ApiError(status.message or f"the API answered {code}", status.reason, status.code or code)
