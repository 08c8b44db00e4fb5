"""Cloud Run's v2 API, as google-cloud-run uses it: /v2/projects/P/locations/R/services and what is below.

`CloudRunV2` has the methods, over the request messages of google.cloud.run.v2 as JSON: gRPC (`api/rpc.py`)
has those already, REST (`api/rest_v2.py`) makes them of address, query and body. Objects are the v1 ones
(`api/managed.py`), shown through `api/mapping.py`; a write answers an operation (`api/operations.py`).
`COLLECTIONS` is the table of what there is.
"""

import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec

from minirun.api.google import violations
from minirun.api.managed import DEFAULT_CALLER, Managed, Where, readiness, show
from minirun.api.mapping import SAME, BadValueError, Document, Row, Table, dig, is_system, path_to_v2
from minirun.api.mapping_jobs import JOB_TABLE as JOBS
from minirun.api.mapping_jobs import execution_to_v2, job_to_v1, job_to_v2, run_to_v1, task_to_v2
from minirun.api.mapping_services import SERVICE as SERVICES
from minirun.api.mapping_services import etag_of, revision_to_v2, service_to_v1, service_to_v2
from minirun.api.operations import DELETE, TYPE, Operations
from minirun.api.resource_names import Name, page_of, parse_name, violation
from minirun.api.status import StatusError
from minirun.model.clock import Clock
from minirun.model.labels import EXECUTION, JOB, SERVICE
from minirun.model.meta import rfc3339
from minirun.model.names import LABEL_1035, objections
from minirun.model.regions import Place
from minirun.model.resources import KIND_OF, Execution, Job, Kind, OperationSpec, Revision, Service, Task

KEPT_AFTER_DELETION_NS: Final = 30 * 24 * 3600 * 10**9


class Collection(NamedTuple):
    """A place in resource names, and what is there.

    `message` is its type in google.cloud.run.v2; `to_v2` takes a v1 document, its parent's name and how it
    is doing. `label` is, on what is below an object, the label with that object's name. What clients may make
    has `to_v1`, which takes a v2 document, a name and what is stored; `table` says where v2 has its fields.
    """

    path: str
    kind: Kind
    message: str
    to_v2: Callable[[Document, str, str], Document]
    label: str = ""
    to_v1: Callable[[Document, str, Document | None], Document] | None = None
    table: Table = ()

    @property
    def plural(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def field(self) -> str:
        """The member of request messages that has an object, and before `Id` the one that has its name."""
        return self.message.lower()


COLLECTIONS: Final = {
    row.path: row
    for row in (
        Collection("services", KIND_OF[Service], "Service", service_to_v2, SERVICE, service_to_v1, SERVICES),
        Collection("services/revisions", KIND_OF[Revision], "Revision", revision_to_v2),
        Collection("jobs", KIND_OF[Job], "Job", job_to_v2, JOB, job_to_v1, JOBS),
        Collection("jobs/executions", KIND_OF[Execution], "Execution", execution_to_v2, EXECUTION),
        Collection("jobs/executions/tasks", KIND_OF[Task], "Task", task_to_v2),
    )
}


def row_of(name: Name) -> Collection:
    """Raises StatusError (404)."""
    if name.collections not in COLLECTIONS:
        raise StatusError(404, f"Cloud Run's v2 API has no {name.collections or 'such resource'} here.")
    return COLLECTIONS[name.collections]


class Asked(NamedTuple):
    """A request for an object of a collection: its message as JSON, and who sends it."""

    row: Collection
    message: Document
    caller: str = DEFAULT_CALLER

    def text(self, field: str) -> str:
        return str(self.message.get(field, ""))

    @property
    def name(self) -> Name:
        """The resource name. Raises StatusError (400)."""
        return parse_name(self.text("name"))

    @property
    def below(self) -> Name:
        """The name of the collection in the message's parent. Raises StatusError (400)."""
        parent = parse_name(self.text("parent"))
        return parent._replace(path=(*parent.path, self.row.plural))

    @property
    def tried(self) -> bool:
        """Whether the write is to be validated only."""
        return bool(self.message.get("validateOnly"))


class CloudRunV2:
    """The methods, by the verbs in their names. All raise StatusError."""

    def __init__(self, managed: Managed, clock: Clock, rng: random.Random) -> None:
        self._managed, self._clock = managed, clock
        self.operations = Operations(managed.store, rng, self._look)
        self.verbs: Mapping[str, Callable[[Asked], Awaitable[Document]]] = {
            "Get": self.get,
            "List": self.list,
            "Create": self.create,
            "Update": self.update,
            "Delete": self.delete,
            "Run": partial(self.act, action="run"),
            "Cancel": partial(self.act, action="cancel"),
        }

    # reading

    async def get(self, asked: Asked) -> Document:
        """One object."""
        name = asked.name
        shown = self._shown(name, await self._managed.get(_where(name)))
        if "-" not in name.path and shown["name"] != asked.message["name"]:
            raise StatusError(404, f"Resource '{asked.message['name']}' does not exist.")
        return shown

    async def list(self, asked: Asked) -> Document:
        """One page of a collection of a location, or of what is below an object; `-` stands for all."""
        parts = asked.below
        row = row_of(parts)  # where it is, there are all above it
        pairs = zip(accumulate(parts.path[:-1:2], "{}/{}".format), parts.path[1::2], strict=False)
        wanted = [f"{COLLECTIONS[path].label}={name}" for path, name in pairs if name != "-"]
        query = {"labelSelector": ",".join(wanted)} if wanted else {}
        found = []
        for place in self._managed.places(parts.project, parts.region):
            items = (await self._managed.list(Where(place, row.kind), query))["items"]
            found += [self._shown(parts._replace(region=place.region), item) for item in items]
        return page_of(row.plural, found, asked.message)

    def _shown(self, name: Name, v1: Document) -> Document:
        return row_of(name).to_v2(v1, name.parent, readiness(v1)[0])

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

    async def create(self, asked: Asked) -> Document:
        """An operation that ends when the object is ready."""
        row, place = row_of(asked.below), asked.below.place
        name = asked.text(f"{row.field}Id")
        if objections(LABEL_1035, name):
            text = "must be a name of lower case letters, digits and '-', at most 49 characters"
            raise violation(f"{row.field}Id", f"'{name}' is given; it {text}.")
        v1 = _to_v1(row, asked.message.get(row.field, {}), name, None)
        where = Where(place, row.kind)
        named = Row((f"{row.field}Id",), ("metadata", "name"), SAME)
        with fields_of_v2((*row.table, named)):
            made = await self._managed.write(where, v1, caller=asked.caller, dry_run=asked.tried)
        return self._begun("create", place, row, made, asked.tried)

    async def update(self, asked: Asked) -> Document:
        """Replaces an object, or those of its fields that the mask names; an operation, as for `create`."""
        body = asked.message.get(asked.row.field, {})
        name = parse_name(body.get("name", ""))
        row, where = row_of(name), _where(name)
        if asked.message.get("allowMissing") and self._managed.find(where) is None:
            whole = asked.message | {"parent": name.parent, f"{row.field}Id": name.name}
            return await self.create(asked._replace(message=whole))
        old = await self._managed.get(where)
        _check_etag(body, old)
        mask = [path for path in asked.text("updateMask").split(",") if path]
        if mask and mask != ["*"]:
            body = masked(self._shown(name, old), body, mask)
        v1 = _to_v1(row, body, name.name, old)
        with fields_of_v2(row.table):
            made = await self._managed.write(where, v1, caller=asked.caller, dry_run=asked.tried)
        return self._begun("update", name.place, row, made, asked.tried)

    async def delete(self, asked: Asked) -> Document:
        """An operation with the object as it was."""
        name = asked.name
        row, where = row_of(name), _where(name)
        old = await self._managed.get(where)
        _check_etag(asked.message, old)
        if not asked.tried:
            await self._managed.delete(where)
        now_ns = self._clock.unix_ns()
        times = {"deleteTime": rfc3339(now_ns), "expireTime": rfc3339(now_ns + KEPT_AFTER_DELETION_NS)}
        last = self._shown(name, old) | times
        if asked.tried:
            return _validated(name.place, row.message, last)
        return self.operations.begin(name.place, OperationSpec(DELETE, row.message, name.name), last)

    async def act(self, asked: Asked, action: str) -> Document:
        """`jobs/J:run` and `executions/E:cancel`: an operation that ends when the execution has completed."""
        where = _where(asked.name)
        _check_etag(asked.message, await self._managed.get(where))
        where = where._replace(name=f"{where.name}:{action}")
        document = _converted(run_to_v1, asked.message)
        with fields_of_v2(asked.row.table):
            made = await self._managed.act(where, document, caller=asked.caller, dry_run=asked.tried)
        return self._begun(action, where.place, COLLECTIONS["jobs/executions"], made, asked.tried)

    def _begun(self, verb: str, place: Place, row: Collection, made: Document, tried: bool) -> Document:
        if tried:
            return _validated(place, row.message, row.to_v2(made, place.parent, readiness(made)[0]))
        meta = made["metadata"]
        spec = OperationSpec(verb, row.message, meta["name"], meta["uid"], meta["generation"])
        return self.operations.begin(place, spec)


@contextlib.contextmanager
def fields_of_v2(table: Table) -> Iterator[None]:
    """Makes refusals of v1 documents name fields as v2 does."""
    try:
        yield
    except StatusError as error:
        fields = [(path_to_v2(table, each["field"]), each["description"]) for each in violations(error)]
        reason = str(error.body["reason"])
        raise StatusError(error.code, str(error), reason=reason, violations=fields) from None


def _where(name: Name) -> Where:
    return Where(name.place, row_of(name).kind, name.name)


def _validated(place: Place, message: str, document: Document) -> Document:
    """The answer to a write that was tried only: an operation that is over and that nobody keeps."""
    typed = {"@type": TYPE + message} | document
    return {"name": f"{place.parent}/operations/validate-only", "done": True, "response": typed}


def _checked(body: Document) -> Document:
    """The body, when it names no label or annotation that has a field of its own."""
    template = body.get("template")
    for path, part in (("", body), ("template.", template if isinstance(template, dict) else {})):
        for name in ("labels", "annotations"):
            pairs = part.get(name)
            for key in pairs if isinstance(pairs, dict) else ():
                if is_system(key):
                    text = f"{key} is in a system name space: use the field of the API that it stands for."
                    raise violation(f"{path}{name}", text)
    return body


def _to_v1(row: Collection, body: Document, name: str, old: Document | None) -> Document:
    if row.to_v1 is None:
        raise StatusError(405, f"A {row.message} is not written by clients.")
    return _converted(row.to_v1, _checked(body), name, old)


def _converted(to_v1: Callable[..., Document], *given: object) -> Document:
    """What a table makes of a client's document. Raises StatusError (400)."""
    try:
        return to_v1(*given)
    except BadValueError as error:
        raise violation(error.path, f"{error}.") from None


def _check_etag(message: Document, old: Document) -> None:
    sent = str(message.get("etag", ""))
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
                raise violation("updateMask", f"{field} goes through {name}, which is no object.")
        value = dig(new, (*parents, last))
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return merged


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)
