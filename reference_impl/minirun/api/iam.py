"""IAM policies of Services and Jobs: getIamPolicy, setIamPolicy, testIamPermissions, alike in v1 and v2.

A policy is stored as the kind IAMPolicy, owned by what it is about, so that it goes when that goes; its etag
is the stored version. An object without one has an empty policy. Counterpart: IAM's part of Cloud Run's API.
"""

import base64
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minirun.api.google import answer, read_json
from minirun.api.resource_names import parse_name
from minirun.api.status import StatusError
from minirun.gateway.access import find_policy, policy_name
from minirun.model.meta import ObjectMeta, Resource, replace
from minirun.model.resources import KIND_OF, Binding, IAMPolicy, IAMPolicySpec, Job, Service
from minirun.store.store import Store

Document = dict[str, Any]

_MEMBER = re.compile(r"allUsers|allAuthenticatedUsers|(?:user|serviceAccount|group|domain):[^\s:]+")
_RUN_ROLES: Final = "admin builder developer invoker jobsExecutor servicesInvoker sourceDeveloper viewer"
ROLES: Final = frozenset(
    {*(f"roles/run.{name}" for name in _RUN_ROLES.split()), "roles/run.jobsExecutorWithOverrides"}
    | {"roles/owner", "roles/editor", "roles/viewer"}
)
_CUSTOM_ROLE = re.compile(r"(?:projects|organizations)/[^/\s]+/roles/[A-Za-z0-9_.]+")
_KINDS: Final = {kind.plural: kind for kind in (KIND_OF[Service], KIND_OF[Job])}


class _Conditional(msgspec.Struct):
    condition: dict[str, object] | None = None


class IAM:
    """The methods, over messages of google.iam.v1 as JSON, whose `resource` is what a policy is about.

    `routes` are their addresses, below /v1 and /v2. All raise StatusError.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.verbs: dict[str, Callable[[Document], Awaitable[Document]]] = {
            "GetIamPolicy": self.get_policy,
            "SetIamPolicy": self.set_policy,
            "TestIamPermissions": self.test_permissions,
        }
        self.routes = [
            Route(
                f"/{{name:path}}:{verb[0].lower()}{verb[1:]}",
                partial(_answered, call),
                methods=["GET" if verb.startswith("Get") else "POST"],
            )
            for verb, call in self.verbs.items()
        ]

    async def get_policy(self, message: Document) -> Document:
        return _policy(find_policy(self._store, self._subject(message)))

    async def set_policy(self, message: Document) -> Document:
        """Replaces the policy, if its etag is the stored one's or none is given."""
        subject, wanted = self._subject(message), message.get("policy")
        if not isinstance(wanted, dict):
            raise StatusError(400, 'policy is missing: send {"policy": {"bindings": [...]}}')
        stored = find_policy(self._store, subject)
        if (etag := wanted.get("etag")) and etag != _etag(stored):
            text = (
                "There were concurrent policy changes. Please retry the whole read-modify-write with "
                "exponential backoff."
            )
            raise StatusError(409, text, reason="Conflict")
        spec = IAMPolicySpec(_bindings(wanted.get("bindings")))
        if stored is not None:
            return _policy(self._store.update(replace(stored, spec=spec)))
        meta = ObjectMeta(
            name=policy_name(subject),
            namespace=subject.metadata.namespace,
            owner_references=[subject.owner_reference()],
        )
        return _policy(self._store.create(IAMPolicy(metadata=meta, spec=spec)))

    async def test_permissions(self, message: Document) -> Document:
        """Whoever reaches this API owns the project, and so holds every permission."""
        self._subject(message)
        try:
            asked = msgspec.convert(message.get("permissions") or [], list[str])
        except msgspec.ValidationError as error:
            raise StatusError(400, f"permissions can't be read: {error}") from None
        return {"permissions": asked} if asked else {}

    def _subject(self, message: Document) -> Resource:
        name = parse_name(message.get("resource"))
        plural, kind = "/".join(name.path[:-1]), _KINDS.get("/".join(name.path[:-1]))
        found = self._store.find(kind.type, name.place.namespace, name.name) if kind else None
        if found is None:
            what = kind.kind.upper() if kind else plural
            where = f"in region '{name.region}' in project '{name.project}'"
            raise StatusError(404, f"Resource '{name.name}' of kind '{what}' {where} does not exist.")
        return found


async def _answered(call: Callable[[Document], Awaitable[Document]], request: Request) -> Response:
    return answer(await call(await read_json(request) | {"resource": request.path_params["name"]}))


def _etag(stored: IAMPolicy | None) -> str:
    return base64.b64encode((stored.metadata.resource_version if stored else "0").encode()).decode()


def _policy(stored: IAMPolicy | None) -> Document:
    policy: Document = {"version": 1, "etag": _etag(stored)}
    if stored is not None and stored.spec.bindings:
        policy["bindings"] = msgspec.to_builtins(stored.spec.bindings)
    return policy


def _bindings(given: object) -> list[Binding]:
    """The bindings of a policy, one a role. Raises StatusError (400): one can't be understood."""
    try:
        conditions = msgspec.convert(given or [], list[_Conditional])
        bindings = msgspec.convert(given or [], list[Binding])
    except msgspec.ValidationError as error:
        raise StatusError(400, f"bindings can't be read: {error}") from None
    if any(each.condition for each in conditions):
        raise StatusError(400, "Conditions are not supported here; remove the binding's condition.")
    members: dict[str, dict[str, None]] = {}  # of each role, each once, in order
    for binding in bindings:
        if binding.role not in ROLES and not _CUSTOM_ROLE.fullmatch(binding.role):
            raise StatusError(400, f"Role {binding.role} is not supported for this resource.")
        for member in binding.members:
            if not _MEMBER.fullmatch(member):
                hint = "Please set a valid type prefix for the member."
                raise StatusError(400, f"The member {member} is of an unknown type. {hint}")
        members.setdefault(binding.role, {}).update(dict.fromkeys(binding.members))
    return [Binding(role, list(names)) for role, names in members.items() if names]
