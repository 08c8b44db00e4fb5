"""Who may reach a Service under the cloudrun profile: its ingress setting, then its invoker policy.

Ingress is about where a request comes from. On one machine everything comes from loopback, so the address
tells: a Service whose ingress is not `all` answers at its internal address only,
`NAME.NAMESPACE.svc.cluster.local`. The invoker policy is about who asks. Counterpart: Cloud Run's front end,
before a request reaches a container; under the knative profile everybody may, as on GKE.
"""

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from minirun.gateway.base import Admit
from minirun.gateway.heads import Refusal, RequestHead
from minirun.identity.invoker import OUTSIDE, Verdict, bearer, decide, is_public, page
from minirun.identity.keys import BadTokenError
from minirun.identity.tokens import GCLOUD, Issuer
from minirun.model.meta import Resource
from minirun.model.resources import KIND_OF, IAMPolicy, Service
from minirun.store.store import Store

INTERNAL_DOMAIN: Final = ".svc.cluster.local"
INGRESS = "run.googleapis.com/ingress"
INVOKER_DISABLED = "run.googleapis.com/invoker-iam-disabled"
CUSTOM_AUDIENCES = "run.googleapis.com/custom-audiences"
NO_SIGNATURE: Final = "SIGNATURE_REMOVED_BY_GOOGLE"  # as Cloud Run writes it
TOKEN_HEADERS: Final = (b"x-serverless-authorization", b"authorization")  # the first that is there counts

log = logging.getLogger("minirun.gateway")


class Access:
    """Decides for each private Service.

    Args:
        store: has the Services and their policies.
        issuer: checks tokens; asked for when a token is shown, because its key may have to be made first.
    """

    def __init__(self, store: Store, issuer: Callable[[], Issuer]) -> None:
        self._store, self._issuer = store, issuer

    def of(self, namespace: str, service: str) -> Admit:
        """The decision about one Service, as a `Destination` has it."""
        find, policy_key = self._store.find, f"{KIND_OF[Service].plural}.{service}"
        rules = Rules(None, None)

        def admit(head: RequestHead, remote_ip: str) -> Refusal | None:
            nonlocal rules
            found, policy = find(Service, namespace, service), find(IAMPolicy, namespace, policy_key)
            if found is not rules.service or policy is not rules.policy:
                rules = Rules(found, policy)
            if rules.inside and not head.route_host.endswith(INTERNAL_DOMAIN):
                return _refuse(OUTSIDE, head)
            if rules.public:
                return None
            verdict = self._judge(head, rules)
            return _refuse(verdict, head) if verdict else None

        return admit

    def _judge(self, head: RequestHead, rules: "Rules") -> Verdict | None:
        name = next((name for name in TOKEN_HEADERS if name in head.read), b"")
        token = bearer(head.read[name][0].decode("latin-1")) if name else ""
        verdict = decide(rules.bindings, token, partial(self._email_of, rules))
        if verdict is None:
            _remove_signature(head, name, token)
        return verdict

    def _email_of(self, rules: "Rules", token: str) -> str:
        try:
            return self._issuer().email_of(token, rules.audiences)
        except BadTokenError as error:
            log.info("a token was refused: %s", error)
            raise


class Rules:
    """What a Service and its policy say; worked out once for each version of the two.

    `inside`: only the internal address answers. `public`: nobody is asked for a token. `audiences`: what an
    ID token may name.
    """

    def __init__(self, service: Service | None, policy: IAMPolicy | None) -> None:
        self.service, self.policy = service, policy
        annotations = service.metadata.annotations if service else {}
        self.inside = annotations.get(INGRESS, "all") != "all"
        self.bindings = policy.spec.bindings if policy and service and _owns(service, policy) else []
        self.public = annotations.get(INVOKER_DISABLED, "").lower() == "true" or is_public(self.bindings)
        self.audiences = audiences(service) if service else []


def _refuse(verdict: Verdict, head: RequestHead) -> Refusal:
    text = page(verdict, head.target.partition(b"?")[0].decode("latin-1"))
    return Refusal(verdict.status, text, verdict.headers, "text/html; charset=utf-8", verdict.note)


def _remove_signature(head: RequestHead, name: bytes, token: str) -> None:
    """The container may read who calls, but can't call others with the same token."""
    bare = f"{token.rpartition('.')[0]}.{NO_SIGNATURE}"
    old, new = token.encode("latin-1"), bare.encode("latin-1")
    start = name + b":"
    head.lines = [line.replace(old, new) if line.lower().startswith(start) else line for line in head.lines]


def policy_name(about: Resource) -> str:
    """The name of the IAMPolicy of an object."""
    return f"{KIND_OF[type(about)].plural}.{about.metadata.name}"


def find_policy(store: Store, about: Resource) -> IAMPolicy | None:
    """The IAMPolicy of an object; one that an earlier object of the same name has left does not count."""
    policy = store.find(IAMPolicy, about.metadata.namespace, policy_name(about))
    return policy if policy and _owns(about, policy) else None


def _owns(about: Resource, policy: IAMPolicy) -> bool:
    return any(owner.uid == about.metadata.uid for owner in policy.metadata.owner_references)


def audiences(service: Service) -> list[str]:
    """What an ID token for a Service may name: its URL (with or without a final slash), or one of its own.

    One that gcloud prints when it is given no audience is for gcloud, and fits every Service, as Google's do.
    """
    custom = service.metadata.annotations.get(CUSTOM_AUDIENCES, "")
    try:
        own = [str(each) for each in json.loads(custom or "[]")]
    except (ValueError, TypeError):
        own = []
    return [service.status.url, f"{service.status.url}/", GCLOUD, *own]
