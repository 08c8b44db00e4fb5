"""Cloud Run's objects over the ordinary verbs: one truth for the v1, the v2 and the gRPC front.

A front names a project and a region; here that becomes a namespace, made with profile `cloudrun` on first
use, and what comes back is shown as Cloud Run shows it: under its project, with location, addresses and
ingress. Shapes are the v1 ones (serving.knative.dev/v1, run.googleapis.com/v1); `api/mapping.py` makes v2
of them. Counterpart: Cloud Run's control plane behind its two APIs.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request

from minirun.api.google import failed_precondition
from minirun.api.kubernetes import KubernetesAPI
from minirun.api.mapping import Document, dig
from minirun.api.requests import CALLER, Target
from minirun.api.resource_names import find_place
from minirun.api.status import StatusError
from minirun.model.cloudrun import NAME_MAX, SERVICE_VALUES, check_values
from minirun.model.labels import CREATOR, LAST_MODIFIER, RUN, SERVICE
from minirun.model.meta import Resource, with_meta
from minirun.model.profiles import PROFILE_LABEL
from minirun.model.regions import Place, place_of
from minirun.model.resources import KIND_OF, TYPE_OF_KIND, Kind, Namespace, Revision, Service
from minirun.store.store import Store

LAST_UPDATED: Final = "run.googleapis.com/lastUpdatedTime"
LOCATION: Final = "cloud.googleapis.com/location"
DEFAULT_CALLER: Final = "user@minirun.localhost"
# What only the server says; what clients send back of it is dropped.
_SERVER_ANNOTATIONS: Final = (f"{RUN}urls", f"{RUN}ingress-status", f"{RUN}operation-id")
_SIGNATURES: Final = (CREATOR, LAST_MODIFIER)
_KEPT_CONDITIONS: Final = {
    "Service": ("Ready", "ConfigurationsReady", "RoutesReady"),
    "Revision": ("Ready", "ContainerHealthy", "ResourcesAvailable", "Active"),
}
_HAPPY: Final = {"Execution": "Completed", "Task": "Completed"}


class Where(NamedTuple):
    """What an address names; an empty name is the whole collection."""

    place: Place
    kind: Kind
    name: str = ""


class Managed:
    """Reads and writes objects of a project in a region; documents are v1 ones.

    Args:
        objects: the ordinary verbs.
        store: where namespaces are looked up and made.
    """

    def __init__(self, objects: KubernetesAPI, store: Store) -> None:
        self._objects = objects
        self.store = store

    def places(self, project: str, region: str) -> list[Place]:
        """The places that a list is of; region `-` is all in which the project has something."""
        if region != "-":
            return [find_place(project, region)]
        found = (place_of(namespace.metadata.name) for namespace in self.store.select(Namespace))
        return [place for place in found if place.project == project]

    async def get(self, where: Where) -> Document:
        """Raises StatusError, as all of these do."""
        return show(await self._call("GET", where))

    async def list(self, where: Where, query: Mapping[str, str] | None = None) -> Document:
        """A list with `items`; `query` as Kubernetes has it: labelSelector, limit, continue."""
        listed = await self._call("GET", where, query=query)
        return listed | {"items": list(map(show, listed["items"]))}

    async def write(
        self, where: Where, document: Document, *, caller: str, dry_run: bool = False
    ) -> Document:
        """Creates an object, or replaces the one that `where` has the name of."""
        stored = self.find(where)
        accepted = accept(document, where.place, stored)
        self._check(where, accepted, stored)
        return show(await self._call("PUT" if where.name else "POST", where, accepted, caller, dry_run))

    async def act(self, where: Where, document: Document, *, caller: str, dry_run: bool = False) -> Document:
        """What `POST .../NAME:ACTION` does: see `api/jobs.py`."""
        return show(await self._call("POST", where, document, caller, dry_run))

    async def delete(self, where: Where) -> Document:
        """Cloud Run's rule for a Revision: neither the latest one nor one with traffic can be deleted."""
        stored = self.find(where)
        if isinstance(stored, Revision):
            self._check_unused(stored)
        return await self._call("DELETE", where)

    def find(self, where: Where) -> Resource | None:
        """The object as it is stored."""
        return self.store.find(where.kind.type, where.place.namespace, where.name)

    async def _call(
        self,
        method: str,
        where: Where,
        document: Document | None = None,
        caller: str = DEFAULT_CALLER,
        dry_run: bool = False,
        *,
        query: Mapping[str, str] | None = None,
    ) -> Document:
        """One of the ordinary verbs; its refusals in Cloud Run's words."""
        body = b"" if document is None else msgspec.json.encode(document)

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        asked = {"fieldValidation": "Ignore", "dryRun": "All" if dry_run else "", **(query or {})}
        scope = {
            "type": "http",
            "method": method,
            "path": "/",
            "query_string": urlencode(asked).encode(),
            "headers": [(b"content-type", b"application/json")],
            CALLER: caller,
        }
        target = Target(where.kind, where.place.namespace, where.name, opens=_namespace(where.place))
        try:
            response = await self._objects.handle(Request(scope, receive), target)
        except StatusError as error:
            raise _reworded(error, where, where.name.partition(":")[0] or _name_of(document)) from None
        answered: Document = msgspec.json.decode(response.body)
        return answered

    def ensure_namespace(self, place: Place) -> None:
        """Makes the namespace of a project and region that are used for the first time."""
        if self.store.find(Namespace, "", place.namespace) is None:
            self.store.create(_namespace(place))

    def _check(self, where: Where, document: Document, stored: Resource | None) -> None:
        """What Cloud Run refuses about a Service at once, where Knative stores it and reports a condition."""
        if where.kind.type is not Service:
            return
        namespace = where.place.namespace
        named = dig(document, ("spec", "template", "metadata", "name")) or ""
        was = stored.spec.template.metadata.name if isinstance(stored, Service) else ""
        if named and named != was and self.store.find(Revision, namespace, named):
            message = f"Revision named '{named}' with different configuration already exists."
            raise StatusError(409, message, reason="AlreadyExists")
        traffic = dig(document, ("spec", "traffic"))
        targets = traffic if isinstance(traffic, list) else []
        names = [dig(target, ("revisionName",)) or "" for target in targets]
        wrong = [
            (f"spec.traffic[{index}].revisionName", f"Revision '{name}' is not found.")
            for index, name in enumerate(names)
            if name not in ("", named) and self.store.find(Revision, namespace, name) is None
        ]
        notes = document["metadata"]["annotations"]
        errors = check_values(notes, SERVICE_VALUES, "metadata.annotations")
        wrong += [(path, error.message) for error in errors for path in error.paths]
        if len(name := _name_of(document)) > NAME_MAX:
            wrong.append(("metadata.name", f"'{name}' is longer than {NAME_MAX} characters."))
        if wrong:
            raise StatusError(400, "The request has errors", violations=wrong)

    def _check_unused(self, revision: Revision) -> None:
        name = revision.metadata.name
        service = self.store.find(
            Service, revision.metadata.namespace, revision.metadata.labels.get(SERVICE, "")
        )
        if service is None:
            return
        if name == service.status.latest_created_revision_name:
            raise failed_precondition(
                f"The latest created revision '{name}' cannot be deleted; deploy another one first."
            )
        if any(target.revision_name == name for target in (*service.spec.traffic, *service.status.traffic)):
            raise failed_precondition(
                f"Revision '{name}' cannot be deleted while it is a traffic target; "
                "send its traffic elsewhere and remove its tags first."
            )


def _namespace(place: Place) -> Namespace:
    return with_meta(Namespace(), name=place.namespace, labels={PROFILE_LABEL: "cloudrun"})


def _name_of(document: Document | None) -> str:
    return str((document or {}).get("metadata", {}).get("name", ""))


def _reworded(error: StatusError, where: Where, name: str) -> StatusError:
    reason = str(error.body["reason"])
    texts = {
        "NotFound": f"Resource '{name}' of kind '{where.kind.kind.upper()}' in region '{where.place.region}' "
        f"in project '{where.place.project}' does not exist.",
        "AlreadyExists": f"Resource '{name}' already exists.",
        "Conflict": f"Conflict for resource '{name}': it has been changed since it was read; "
        "read it again and apply your changes to it.",
    }
    message = texts.get(reason, str(error))
    details = error.body.get("details")
    return StatusError(
        error.code, message, details if isinstance(details, dict) else None, reason, error.violations
    )


# --- from and to Cloud Run's v1 shape ------------------------------------------------------------------


def accept(document: Document, place: Place, stored: Resource | None) -> Document:
    """What a client sent as the ordinary verbs take it: in its namespace, without what the server says.

    Args:
        document: a v1 object; its status is dropped.
        stored: what it replaces; who made it and changed it is taken from there, not from the client.

    Raises:
        StatusError (400)
    """
    said = document.get("metadata") or {}
    meta = dict(said) if isinstance(said, dict) else {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if not all(isinstance(part, dict) for part in (said, labels, annotations)):
        raise StatusError(400, "metadata, its labels and its annotations must be objects")
    labels = {k: v for k, v in labels.items() if k not in (LOCATION, LAST_UPDATED)}
    dropped = (*_SERVER_ANNOTATIONS, *_SIGNATURES)
    annotations = {k: v for k, v in annotations.items() if k not in dropped}
    if stored is not None:
        annotations |= {k: v for k, v in stored.metadata.annotations.items() if k in _SIGNATURES}
    meta |= {"namespace": place.namespace, "labels": labels, "annotations": annotations}
    return {k: v for k, v in document.items() if k != "status"} | {"metadata": meta}


def show(document: Document) -> Document:
    """A stored object as Cloud Run's v1 API shows it."""
    meta = document["metadata"]
    place = place_of(meta.get("namespace", ""))
    plural = KIND_OF[TYPE_OF_KIND[document["apiVersion"], document["kind"]]].plural
    path = f"/apis/{document['apiVersion']}/namespaces/{place.project}/{plural}/{meta.get('name', '')}"
    meta |= {
        "namespace": place.project,
        "selfLink": path,
        "labels": {**meta.get("labels", {}), LOCATION: place.region},
    }
    if (kind := document["kind"]) in _SHOW:
        document["status"] = dict(document.get("status") or {})
        _SHOW[kind](document)
    meta.pop("managedFields", None)
    return document


def _show_service(document: Document) -> None:
    meta, status = document["metadata"], document["status"]
    annotations = meta.get("annotations", {})
    ingress = annotations.get(f"{RUN}ingress", "all")
    meta["annotations"] = annotations | {f"{RUN}ingress": ingress, f"{RUN}ingress-status": ingress}
    if url := status.get("url"):
        meta["annotations"][f"{RUN}urls"] = msgspec.json.encode([url]).decode()
        status["address"] = {"url": url}
    _fill_conditions(document)


def _show_revision(document: Document) -> None:
    status, name = document["status"], document["metadata"]["name"]
    status |= {
        "serviceName": document["metadata"]["labels"].get(SERVICE, ""),
        "logUrl": f"minirun logs {document['metadata']['labels'].get(SERVICE, '')} --revision {name}",
    }
    if containers := status.get("containerStatuses"):
        status["imageDigest"] = containers[0].get("imageDigest", "")
    _fill_conditions(document)


def _show_job(document: Document) -> None:
    meta = document["metadata"]
    written = [entry["time"] for entry in meta.get("managedFields", ()) if "time" in entry]
    meta["labels"][LAST_UPDATED] = max(written, default=meta.get("creationTimestamp", ""))


def _fill_conditions(document: Document) -> None:
    """The conditions that Cloud Run has of a kind; Unknown until somebody has looked."""
    status = document["status"]
    there = {condition["type"]: condition for condition in status.get("conditions", ())}
    since = document["metadata"].get("creationTimestamp", "")
    status["conditions"] = [
        there.get(type_, {"type": type_, "status": "Unknown", "lastTransitionTime": since})
        for type_ in _KEPT_CONDITIONS[document["kind"]]
    ]


_SHOW: Final[Mapping[str, Callable[[Document], None]]] = {
    "Service": _show_service,
    "Revision": _show_revision,
    "Job": _show_job,
}


def readiness(document: Document) -> tuple[str, str]:
    """Status and message of condition Ready, or Completed for what ends.

    Unknown while the controllers are behind the last change.
    """
    status = document.get("status") or {}
    if status.get("observedGeneration") != document["metadata"].get("generation"):
        return "Unknown", ""
    return next(
        (
            (condition["status"], condition.get("message", ""))
            for condition in status.get("conditions", ())
            if condition["type"] == _HAPPY.get(document["kind"], "Ready")
        ),
        ("Unknown", ""),
    )
