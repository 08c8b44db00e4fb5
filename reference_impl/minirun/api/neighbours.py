"""The small APIs beside Cloud Run's that gcloud asks on its way: what is enabled, which projects there are.

Every API counts as enabled and every project as there. Service accounts are the ordinary objects of that
kind, named by what stands before the `@`. Scheduler and Tasks are not here yet and say so. Counterparts:
serviceusage, cloudresourcemanager, container, iam, cloudscheduler and cloudtasks on googleapis.com.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minirun.api.google import answer, failed_precondition, read_json
from minirun.api.managed import Managed
from minirun.api.mapping import Document
from minirun.api.resource_names import find_place, violation
from minirun.api.status import StatusError
from minirun.identity.account import AUTHORITY_SECRET
from minirun.model.meta import with_meta
from minirun.model.regions import HOME_REGION, Place, project_number
from minirun.model.resources import Secret, ServiceAccount
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.store.store import Store

ACCOUNT_ID = re.compile(r"[a-z](?:[-a-z0-9]{4,28}[a-z0-9])")
Parameters = Mapping[str, str]
_ALL: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _project(asked: Parameters) -> Document:
    return {
        "projectId": asked["project"],
        "projectNumber": str(project_number(asked["project"])),
        "name": asked["project"],
        "lifecycleState": "ACTIVE",
    }


def _service(asked: Parameters) -> Document:
    """Whether an API is enabled: all are."""
    number = project_number(asked["project"])
    return {"name": f"projects/{number}/services/{asked['service']}", "state": "ENABLED"}


def _enable(asked: Parameters) -> Document:
    return {"name": "operations/noop.DONE_OPERATION", "done": True, "response": {}}


def _cluster(store: Store, asked: Parameters) -> Document:
    """This platform as a GKE cluster, for `gcloud run --platform gke`: any name at any location."""
    authority = store.find(Secret, SYSTEM_NAMESPACE, AUTHORITY_SECRET)
    if authority is None:
        raise failed_precondition("a cluster is reached with TLS: start minirun up --tls HOST:PORT")
    certificate = base64.b64encode(authority.data["tls.crt"]).decode()
    return {
        "name": asked["cluster"],
        "location": asked["location"],
        "status": "RUNNING",
        "endpoint": "127.0.0.1",
        "masterAuth": {"clusterCaCertificate": certificate},
    }


def _not_here(api: str, asked: Parameters) -> Document:
    text = f"minirun has no {api} yet: it serves Cloud Run, its logs and IAM; call your service directly."
    raise StatusError(501, text, reason="NotImplemented")


def _route(path: str, said: Callable[[Parameters], Document], *methods: str) -> Route:
    """An address that answers by its parameters alone."""

    async def endpoint(request: Request) -> Response:
        return answer(said(request.path_params))

    return Route(path, endpoint, methods=methods or ["GET"])


class Accounts:
    """Service accounts of a project: list, create, get, delete."""

    def __init__(self, managed: Managed) -> None:
        self._managed = managed
        accounts = "/v1/projects/{project}/serviceAccounts"
        self.routes = [
            Route(accounts, self._list),
            Route(accounts, self._create, methods=["POST"]),
            Route(accounts + "/{email}", self._get),
            Route(accounts + "/{email}", self._delete, methods=["DELETE"]),
        ]

    async def _list(self, request: Request) -> Response:
        project = request.path_params["project"]
        found = self._managed.store.select(ServiceAccount, Place(project, HOME_REGION).namespace)
        return answer({"accounts": [_account(project, account) for account in found]})

    async def _create(self, request: Request) -> Response:
        project, body = request.path_params["project"], await read_json(request)
        name = str(body.get("accountId", ""))
        if not ACCOUNT_ID.fullmatch(name):
            text = f"'{name}' is given; 6 to 30 lower case letters, digits and '-' are allowed"
            raise violation("accountId", text)
        place = find_place(project, HOME_REGION)
        if self._managed.store.find(ServiceAccount, place.namespace, name) is not None:
            message = f"Service account {name} already exists within project projects/{project}."
            raise StatusError(409, message, reason="AlreadyExists")
        self._managed.ensure_namespace(place)
        account = with_meta(ServiceAccount(), name=name, namespace=place.namespace)
        return answer(_account(project, self._managed.store.create(account)))

    async def _get(self, request: Request) -> Response:
        return answer(_account(request.path_params["project"], self._find(request)))

    async def _delete(self, request: Request) -> Response:
        self._managed.store.delete(ServiceAccount, *self._find(request).key)
        return answer({})

    def _find(self, request: Request) -> ServiceAccount:
        email, place = request.path_params["email"], Place(request.path_params["project"], HOME_REGION)
        found = self._managed.store.find(ServiceAccount, place.namespace, email.partition("@")[0])
        if found is None:
            raise StatusError(404, f"Unknown service account {email}")
        return found


def _account(project: str, account: ServiceAccount) -> dict[str, object]:
    email = f"{account.metadata.name}@{project}.iam.gserviceaccount.com"
    return {
        "name": f"projects/{project}/serviceAccounts/{email}",
        "projectId": project,
        "uniqueId": str(project_number(account.metadata.uid)),
        "email": email,
        "oauth2ClientId": str(project_number(account.metadata.uid)),
    }


def neighbours(managed: Managed) -> Mapping[str, Sequence[BaseRoute]]:
    """The routes of each API, by the first label of its host."""
    project = "/v1/projects/{project}"
    return {
        "serviceusage": [
            _route(project + "/services/{service}:enable", _enable, "POST"),
            _route(project + "/services:batchEnable", _enable, "POST"),
            _route(project + "/services/{service}", _service),
        ],
        "cloudresourcemanager": [_route(project, _project)],
        "container": [
            _route(project + "/{places:str}/{location}/clusters/{cluster}", partial(_cluster, managed.store))
        ],
        "iam": Accounts(managed).routes,
        "cloudscheduler": [_route("/{path:path}", partial(_not_here, "Cloud Scheduler"), *_ALL)],
        "cloudtasks": [_route("/{path:path}", partial(_not_here, "Cloud Tasks"), *_ALL)],
    }
