"""Who may invoke a Service: Cloud Run's rule, as a table of cases over an IAM policy.

A caller shows an ID token or nothing. The policy's members of a role that may invoke say who gets in.
Source: Cloud Run's documentation on authentication and its troubleshooting page.
"""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

from minirun.identity.account import OWNER
from minirun.identity.keys import BadTokenError
from minirun.model.resources import Binding

ALL_USERS, ALL_AUTHENTICATED = "allUsers", "allAuthenticatedUsers"
INVOKERS: Final = frozenset({"roles/run.invoker", "roles/run.servicesInvoker", "roles/run.admin"})
PERSON_TYPES: Final = ("user", "serviceAccount")


class Verdict(NamedTuple):
    """What a caller who may not is told; `note` is for the log."""

    status: int
    headers: tuple[tuple[str, str], ...]
    title: str
    text: str
    note: str


_INVALID: Final = 'Bearer error="invalid_token" error_description="The access token could not be verified"'
_NO_PERMISSION: Final = (
    "Your client does not have permission to get URL <code>{path}</code> from this server."
)

# What comes of a caller: nothing shown, a token that can't be trusted, somebody who is no invoker, or from
# outside where only the inside may.
ANONYMOUS: Final = Verdict(
    403,
    (),
    "Forbidden",
    _NO_PERMISSION,
    "The request was not authenticated. Either allow unauthenticated invocations or set the proper "
    "Authorization header.",
)
UNVERIFIED: Final = Verdict(
    401,
    (("WWW-Authenticate", _INVALID),),
    "Unauthorized",
    "Your client does not have permission to the requested URL <code>{path}</code>.",
    "The request was not authorized to invoke this service: its token could not be verified.",
)
NO_INVOKER: Final = Verdict(
    403,
    (),
    "Forbidden",
    _NO_PERMISSION,
    "The request was not authorized to invoke this service: its caller lacks the role run.invoker.",
)
OUTSIDE: Final = Verdict(
    404,
    (),
    "Page not found",
    "The requested URL was not found on this server.",
    "The request came from outside, and the service's ingress setting admits none from there.",
)


def decide(bindings: Sequence[Binding], token: str, email_of: Callable[[str], str]) -> Verdict | None:
    """Whether a caller may invoke: None, or what it is told. The owner of the project always may.

    Args:
        bindings: the policy of the Service.
        token: what the caller shows; empty for nothing.
        email_of: gives whose a token for this Service is, or raises BadTokenError.
    """
    if is_public(bindings):
        return None
    if not token:
        return ANONYMOUS
    try:
        email = email_of(token)
    except BadTokenError:
        return UNVERIFIED
    return None if email == OWNER or may_invoke(bindings, email) else NO_INVOKER


def is_public(bindings: Iterable[Binding]) -> bool:
    """Whether everybody may invoke, known or not."""
    return any(ALL_USERS in binding.members for binding in bindings if binding.role in INVOKERS)


def may_invoke(bindings: Iterable[Binding], email: str) -> bool:
    """Whether a policy lets `email` invoke: by name, by domain, or as one of all."""
    members = {
        *(f"{type_}:{email}" for type_ in PERSON_TYPES),
        f"domain:{email.rpartition('@')[2]}",
        ALL_USERS,
        ALL_AUTHENTICATED,
    }
    return any(members & set(binding.members) for binding in bindings if binding.role in INVOKERS)


def bearer(authorization: str) -> str:
    """The token in an Authorization header; empty when there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def page(verdict: Verdict, path: str) -> str:
    """The page that a refused caller sees."""
    head = f"<title>{verdict.status} {verdict.title}</title>"
    body = f"<h1>Error: {verdict.title}</h1><h2>{verdict.text.format(path=escape(path))}</h2>"
    return f"<html><head>{head}</head><body>{body}</body></html>\n"
