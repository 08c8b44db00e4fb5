"""Cloud Run's v2 API, as google-cloud-run uses it: /v2/projects/P/locations/R/services and what is below.

`CloudRunV2` has the methods as functions over documents; the REST addresses here and the gRPC face
(`api/rpc.py`) both call them. Objects are the v1 ones (`api/managed.py`), shown through `api/mapping.py`; a
write answers an operation (`api/operations.py`). `COLLECTIONS` is the table of what there is.
"""

import base64
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from minirun.api.managed import DEFAULT_CALLER, Managed, find_place, readiness, show
from minirun.api.mapping import Document, dig, is_system
from minirun.api.mapping_jobs import execution_to_v2, job_to_v1, job_to_v2, run_to_v1, task_to_v2
from minirun.api.mapping_services import etag_of, revision_to_v2, service_to_v1, service_to_v2
from minirun.api.operations import DELETE, TYPE, Operations
from minirun.api.status import StatusError
from minirun.model.clock import Clock
from minirun.model.labels import EXECUTION, JOB, SERVICE
from minirun.model.meta import rfc3339
from minirun.model.names import LABEL_1035, objections
from minirun.model.regions import Place
from minirun.model.resources import KIND_OF, Execution, Job, Kind, OperationSpec, Revision, Service, Task

T = TypeVar("T")
PAGE_MAX: Final = 1000
KEPT_AFTER_DELETION_NS: Final = 30 * 24 * 3600 * 10**9


class Collection(NamedTuple):
    """A place in resource names, and what is there.

    `message` is its type in google.cloud.run.v2; `to_v2` takes a v1 document, its parent's name and how it
    is doing. `label` is, on what is below an object, the label with that object's name. What clients may make
    has an `id_parameter`, the query parameter of its name, and `to_v1`, which takes a v2 document, a name
    and what is stored.
    """

    kind: Kind
    message: str
    to_v2: Callable[[Document, str, str], Document]
    label: str = ""
    id_parameter: str = ""
    to_v1: Callable[[Document, str, Document | None], Document] | None = None


COLLECTIONS: Final = {
    "services": Collection(KIND_OF[Service], "Service", service_to_v2, SERVICE, "serviceId", service_to_v1),
    "services/revisions": Collection(KIND_OF[Revision], "Revision", revision_to_v2),
    "jobs": Collection(KIND_OF[Job], "Job", job_to_v2, JOB, "jobId", job_to_v1),
    "jobs/executions": Collection(KIND_OF[Execution], "Execution", execution_to_v2, EXECUTION),
    "jobs/executions/tasks": Collection(KIND_OF[Task], "Task", task_to_v2),
}
_NAME = re.compile(r"projects/([^/]+)/locations/([^/]+)((?:/[^/]+)*)")


class Name(NamedTuple):
    """A resource name in its parts: collections and names take turns in `path`."""

    project: str
    region: str
    path: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        return find_place(self.project, self.region)

    @property
    def parent(self) -> str:
        """`projects/P/locations/R`."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def name(self) -> str:
        """The last part."""
        return self.path[-1]

    @property
    def row(self) -> Collection:
        """Raises StatusError (404)."""
        collections = "/".join(self.path[::2])
        if collections not in COLLECTIONS:
            raise StatusError(404, f"Cloud Run's v2 API has no {collections or 'such resource'} here.")
        return COLLECTIONS[collections]


def parse_name(text: str) -> Name:
    """Raises StatusError (400)."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise StatusError(400, f"'{text}' is no resource name like projects/P/locations/R/services/NAME")
    project, region, rest = match.groups()
    return Name(project, region, tuple(rest.split("/")[1:]))


class CloudRunV2:
    """The methods; names, masks and bodies are those of the v2 API. All raise StatusError."""

    def __init__(self, managed: Managed, clock: Clock, rng: random.Random) -> None:
        self._managed, self._clock = managed, clock
        self.operations = Operations(managed.store, rng, self._look)

    # reading

    async def get(self, name: str) -> Document:
        """One object."""
        parts = parse_name(name)
        shown = self._shown(parts, await self._managed.get(parts.place, parts.row.kind, parts.name))
        if "-" not in parts.path and shown["name"] != name:
            raise StatusError(404, f"Resource '{name}' does not exist.")
        return shown

    async def list(self, parent: str, collection: str, page_size: int = 0, page_token: str = "") -> Document:
        """One page of a collection of a location, or of what is below an object; `-` stands for all."""
        above = parse_name(parent)
        parts = above._replace(path=(*above.path, collection))
        row = parts.row  # where it is, there are all above it
        pairs = zip(accumulate(above.path[::2], "{}/{}".format), above.path[1::2], strict=False)
        wanted = [f"{COLLECTIONS[path].label}={name}" for path, name in pairs if name != "-"]
        query = {"labelSelector": ",".join(wanted)} if wanted else {}
        found = []
        for place in self._managed.places(parts.project, parts.region):
            items = (await self._managed.list(place, row.kind, query))["items"]
            found += [self._shown(parts._replace(region=place.region), item) for item in items]
        page, token = paged(found, lambda item: str(item["name"]), page_size, page_token)
        return {collection: page} | ({"nextPageToken": token} if token else {})

    def _shown(self, parts: Name, v1: Document) -> Document:
        return parts.row.to_v2(v1, parts.parent, readiness(v1)[0])

    def _look(self, place: Place, message: str, name: str) -> tuple[Document, str, str] | None:
        """How an object is doing; see `operations.Look`."""
        row = next(row for row in COLLECTIONS.values() if row.message == message)
        stored = self._managed.store.find(row.kind.type, place.namespace, name)
        if stored is None:
            return None
        v1 = show(msgspec.to_builtins(stored))
        ready, text = readiness(v1)
        return row.to_v2(v1, place.parent, ready), ready, text

    # writing

    async def create(
        self,
        parent: str,
        collection: str,
        name: str,
        body: Document,
        *,
        caller: str = DEFAULT_CALLER,
        validate_only: bool = False,
    ) -> Document:
        """An operation that ends when the object is ready."""
        above = parse_name(parent)
        parts = above._replace(path=(*above.path, collection))
        row = parts.row
        if not name or objections(LABEL_1035, name):
            text = "must be a name of lower case letters, digits and '-', at most 49 characters"
            raise _violation(row.id_parameter, f"'{name}' is given; it {text}.")
        v1 = _converted(row, _checked(body), name, None)
        made = await self._managed.create(parts.place, row.kind, v1, caller=caller, dry_run=validate_only)
        return self._begun("create", parts.place, row, made, validate_only)

    async def update(
        self,
        name: str,
        body: Document,
        *,
        mask: Sequence[str] = (),
        allow_missing: bool = False,
        validate_only: bool = False,
        caller: str = DEFAULT_CALLER,
    ) -> Document:
        """Replaces an object, or those of its fields that `mask` names; an operation, as for `create`."""
        parts = parse_name(name)
        row = parts.row
        stored = self._managed.store.find(row.kind.type, parts.place.namespace, parts.name)
        if stored is None and allow_missing:
            return await self.create(
                parts.parent, parts.path[0], parts.name, body, caller=caller, validate_only=validate_only
            )
        old = await self._managed.get(parts.place, row.kind, parts.name)
        _check_etag(str(body.get("etag", "")), old)
        if mask and list(mask) != ["*"]:
            body = masked(self._shown(parts, old), body, mask)
        v1 = _converted(row, _checked(body), parts.name, old)
        made = await self._managed.replace(
            parts.place, row.kind, parts.name, v1, caller=caller, dry_run=validate_only
        )
        return self._begun("update", parts.place, row, made, validate_only)

    async def delete(self, name: str, *, etag: str = "", validate_only: bool = False) -> Document:
        """An operation with the object as it was."""
        parts = parse_name(name)
        row = parts.row
        old = await self._managed.get(parts.place, row.kind, parts.name)
        _check_etag(etag, old)
        if not validate_only:
            await self._managed.delete(parts.place, row.kind, parts.name)
        now_ns = self._clock.unix_ns()
        times = {"deleteTime": rfc3339(now_ns), "expireTime": rfc3339(now_ns + KEPT_AFTER_DELETION_NS)}
        last = self._shown(parts, old) | times
        if validate_only:
            return _validated(parts.place, row.message, last)
        spec = OperationSpec(verb=DELETE, kind=row.message, name=parts.name)
        return self.operations.begin(parts.place, spec, last)

    async def act(self, name: str, action: str, body: Document, *, caller: str = DEFAULT_CALLER) -> Document:
        """`jobs/J:run` and `executions/E:cancel`: an operation that ends when the execution has completed."""
        parts = parse_name(name)
        old = await self._managed.get(parts.place, parts.row.kind, parts.name)
        _check_etag(str(body.get("etag", "")), old)
        tried = bool(body.get("validateOnly"))
        made = await self._managed.act(
            parts.place, parts.row.kind, parts.name, action, run_to_v1(body), caller=caller, dry_run=tried
        )
        return self._begun(action, parts.place, COLLECTIONS["jobs/executions"], made, tried)

    def _begun(
        self, verb: str, place: Place, row: Collection, made: Document, validate_only: bool
    ) -> Document:
        meta = made["metadata"]
        if validate_only:
            return _validated(place, row.message, row.to_v2(made, place.parent, readiness(made)[0]))
        spec = OperationSpec(
            verb=verb,
            kind=row.message,
            name=meta["name"],
            uid=meta["uid"],
            generation=meta["generation"],
        )
        return self.operations.begin(place, spec)


def _validated(place: Place, message: str, document: Document) -> Document:
    """The answer to a write that was tried only: an operation that is over and that nobody keeps."""
    typed = {"@type": TYPE + message} | document
    return {"name": f"{place.parent}/operations/validate-only", "done": True, "response": typed}


def _violation(field: str, text: str) -> StatusError:
    return StatusError(400, "The request has errors", violations=[(field, text)])


def _checked(body: Document) -> Document:
    """The body, when it names no label or annotation that has a field of its own."""
    template = body.get("template")
    for path, part in (("", body), ("template.", template if isinstance(template, dict) else {})):
        for name in ("labels", "annotations"):
            pairs = part.get(name)
            for key in pairs if isinstance(pairs, dict) else ():
                if is_system(key):
                    text = f"{key} is in a system name space: use the field of the API that it stands for."
                    raise _violation(f"{path}{name}", text)
    return body


def _converted(row: Collection, body: Document, name: str, old: Document | None) -> Document:
    if row.to_v1 is None:
        raise StatusError(405, f"A {row.message} is not written by clients.")
    try:
        return row.to_v1(body, name, old)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StatusError(
            400, f"Invalid JSON payload received: a field has the wrong type ({error})."
        ) from None


def _check_etag(sent: str, old: Document) -> None:
    if sent and sent != etag_of(old):
        name = old["metadata"]["name"]
        text = f"Resource '{name}' has etag {etag_of(old)} and {sent} was sent: read it again and retry."
        raise StatusError(409, text)


def masked(old: Document, new: Document, mask: Iterable[str]) -> Document:
    """The old document with the fields that `mask` names as they are in the new one.

    Args:
        mask: paths, in camelCase or snake_case.
    """
    merged: Document = msgspec.json.decode(msgspec.json.encode(old))
    for field in mask:
        *parents, last = (_camel(name) for name in field.split("."))
        place: Any = merged
        for name in parents:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise _violation("updateMask", f"{field} goes through {name}, which is no object.")
        value = dig(new, (*parents, last))
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return merged


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)


def paged(items: Iterable[T], key: Callable[[T], str], size: int, token: str) -> tuple[list[T], str]:
    """One page of the items in the order of their keys, and the token of the next page.

    Raises:
        StatusError (400): the token or the size is none.
    """
    try:
        after = base64.b64decode(token, b"-_", validate=True).decode()
    except ValueError:
        raise _violation("pageToken", "It is not one that this server gave; list from the start.") from None
    if size < 0:
        raise _violation("pageSize", f"{size} is given; it must be 0 or more.")
    rest = sorted((item for item in items if key(item) > after), key=key)
    page = rest[: min(size or PAGE_MAX, PAGE_MAX)]
    more = len(page) < len(rest)
    return page, base64.urlsafe_b64encode(key(page[-1]).encode()).decode() if more else ""


def mask_of(query: Mapping[str, str]) -> list[str]:
    """The field mask in a query: `updateMask=description,template.containers`."""
    return [path for path in query.get("updateMask", "").split(",") if path]
