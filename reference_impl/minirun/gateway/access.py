"""Who may reach a Service under the cloudrun profile: its ingress setting, then its invoker policy.

Ingress is about where a request comes from. On one machine everything comes from loopback, so the address
tells: a Service whose ingress is not `all` answers at its internal address only,
`NAME.NAMESPACE.svc.cluster.local`. The invoker policy is about who asks. Counterpart: Cloud Run's front end,
before a request reaches a container; under the knative profile everybody may, as on GKE.
"""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Final

from minirun.gateway.base import Admit
from minirun.gateway.heads import Refusal, RequestHead
from minirun.identity.account import OWNER
from minirun.identity.invoker import (
    ANONYMOUS,
    NO_INVOKER,
    UNVERIFIED,
    Verdict,
    bearer,
    is_public,
    may_invoke,
    page,
)
from minirun.identity.keys import BadTokenError
from minirun.identity.tokens import Issuer
from minirun.model.resources import Binding, IAMPolicy, Service
from minirun.store.store import Store

INTERNAL_DOMAIN: Final = ".svc.cluster.local"
INGRESS = "run.googleapis.com/ingress"
INVOKER_DISABLED = "run.googleapis.com/invoker-iam-disabled"
CUSTOM_AUDIENCES = "run.googleapis.com/custom-audiences"
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

        def admit(head: RequestHead, remote_ip: str) -> Refusal | None:
            found = self._store.find(Service, namespace, service)
            annotations = found.metadata.annotations if found else {}
            if annotations.get(INGRESS, "all") != "all" and not head.route_host.endswith(INTERNAL_DOMAIN):
                return Refusal(404, f"the service {service} takes no requests from outside (ingress)")
            if annotations.get(INVOKER_DISABLED, "").lower() == "true":
                return None
            policy = self._store.find(IAMPolicy, namespace, policy_name("services", service))
            bindings = policy.spec.bindings if policy else []
            if is_public(bindings):
                return None
            verdict = self._judge(head, found, bindings)
            if verdict is None:
                return None
            log.warning("%s: %s", service, verdict.note)
            text = page(verdict, head.target.partition(b"?")[0].decode("latin-1"))
            return Refusal(verdict.status, text, verdict.headers, "text/html; charset=utf-8")

        return admit

    def _judge(
        self, head: RequestHead, service: Service | None, bindings: Sequence[Binding]
    ) -> Verdict | None:
        shown = next((head.read[name][0] for name in TOKEN_HEADERS if name in head.read), b"")
        token = bearer(shown.decode("latin-1"))
        if not token:
            return ANONYMOUS
        try:
            email = self._issuer().email_of(token, audiences(service) if service else ())
        except BadTokenError as error:
            log.info("a token was refused: %s", error)
            return UNVERIFIED
        return None if email == OWNER or may_invoke(bindings, email) else NO_INVOKER


def policy_name(plural: str, name: str) -> str:
    """The name of the IAMPolicy of an object."""
    return f"{plural}.{name}"


def audiences(service: Service) -> list[str]:
    """What an ID token for a Service may name: its URL (with or without a final slash), or one of its own."""
    custom = service.metadata.annotations.get(CUSTOM_AUDIENCES, "")
    try:
        own = [str(each) for each in json.loads(custom or "[]")]
    except (ValueError, TypeError):
        own = []
    return [service.status.url, f"{service.status.url}/", *own]
