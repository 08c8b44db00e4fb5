"""IAM policies of Services and Jobs: getIamPolicy, setIamPolicy, testIamPermissions, alike in v1 and v2.

A policy is stored as the kind IAMPolicy, owned by what it is about, so that it goes when that goes; its etag
is the stored version. An object without one has an empty policy. Counterpart: IAM's part of Cloud Run's API.
"""

import base64
import re
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from minirun.api.google import answer, read_json
from minirun.api.managed import find_place
from minirun.api.status import StatusError
from minirun.gateway.access import find_policy, policy_name
from minirun.model.meta import ObjectMeta, Resource, replace
from minirun.model.resources import KIND_OF, KINDS, Binding, IAMPolicy, IAMPolicySpec, Service
from minirun.store.store import Store

_MEMBER = re.compile(r"allUsers|allAuthenticatedUsers|(?:user|serviceAccount|group|domain):[^\s:]+")
_RUN_ROLES: Final = "admin builder developer invoker jobsExecutor servicesInvoker sourceDeveloper viewer"
ROLES: Final = frozenset(
    {*(f"roles/run.{name}" for name in _RUN_ROLES.split()), "roles/run.jobsExecutorWithOverrides"}
    | {"roles/owner", "roles/editor", "roles/viewer"}
)
_CUSTOM_ROLE = re.compile(r"(?:projects|organizations)/[^/\s]+/roles/[A-Za-z0-9_.]+")
_PLURALS: Final = {
    kind.plural: kind
    for kind in KINDS
    if kind is KIND_OF[Service] or (kind.group == "run.googleapis.com" and kind.plural == "jobs")
}


class _Conditional(msgspec.Struct):
    condition: dict[str, object] | None = None


class IAM:
    """The addresses, below /v1 and /v2."""

    def __init__(self, store: Store) -> None:
        self._store = store
        address = "/projects/{project}/locations/{region}/{plural}/{name}"
        self.routes = [
            Route(f"{address}:getIamPolicy", self._get),
            Route(f"{address}:setIamPolicy", self._set, methods=["POST"]),
            Route(f"{address}:testIamPermissions", self._test, methods=["POST"]),
        ]

    async def _get(self, request: Request) -> Response:
        return answer(_policy(find_policy(self._store, self._subject(request))))

    async def _set(self, request: Request) -> Response:
        subject = self._subject(request)
        wanted = (await read_json(request)).get("policy")
        if not isinstance(wanted, dict):
            raise StatusError(400, 'policy is missing: send {"policy": {"bindings": [...]}}')
        stored = find_policy(self._store, subject)
        if (etag := wanted.get("etag")) and etag != _etag(stored):
            message = (
                "There were concurrent policy changes. Please retry the whole read-modify-write with "
                "exponential backoff."
            )
            raise StatusError(409, message, reason="Conflict")
        spec = IAMPolicySpec(_bindings(wanted.get("bindings")))
        if stored is not None:
            return answer(_policy(self._store.update(replace(stored, spec=spec))))
        meta = ObjectMeta(
            name=policy_name(subject),
            namespace=subject.metadata.namespace,
            owner_references=[subject.owner_reference()],
        )
        return answer(_policy(self._store.create(IAMPolicy(metadata=meta, spec=spec))))

    async def _test(self, request: Request) -> Response:
        """Whoever reaches this API owns the project, and so holds every permission."""
        self._subject(request)
        return answer({"permissions": (await read_json(request)).get("permissions") or []})

    def _subject(self, request: Request) -> Resource:
        parts = request.path_params
        kind, place = _PLURALS.get(parts["plural"]), find_place(parts["project"], parts["region"])
        found = self._store.find(kind.type, place.namespace, parts["name"]) if kind else None
        if found is None:
            what = kind.kind.upper() if kind else parts["plural"]
            where = f"in region '{place.region}' in project '{place.project}'"
            raise StatusError(404, f"Resource '{parts['name']}' of kind '{what}' {where} does not exist.")
        return found


def _etag(stored: IAMPolicy | None) -> str:
    return base64.b64encode((stored.metadata.resource_version if stored else "0").encode()).decode()


def _policy(stored: IAMPolicy | None) -> dict[str, object]:
    policy: dict[str, object] = {"version": 1, "etag": _etag(stored)}
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
