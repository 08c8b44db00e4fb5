"""Who may invoke a Service, by its policy."""

import pytest

from minirun.identity.account import OWNER
from minirun.identity.invoker import (
    ANONYMOUS,
    NO_INVOKER,
    UNVERIFIED,
    Verdict,
    bearer,
    decide,
    is_public,
    may_invoke,
    page,
)
from minirun.identity.keys import BadTokenError
from minirun.model.resources import Binding

INVOKER = "roles/run.invoker"


@pytest.mark.parametrize(
    ("role", "member", "may"),
    [
        (INVOKER, "user:a@b.c", True),
        (INVOKER, "serviceAccount:a@b.c", True),
        (INVOKER, "domain:b.c", True),
        (INVOKER, "allUsers", True),
        (INVOKER, "allAuthenticatedUsers", True),
        ("roles/run.admin", "user:a@b.c", True),
        (INVOKER, "user:other@b.c", False),
        (INVOKER, "domain:c", False),
        ("roles/run.viewer", "user:a@b.c", False),
    ],
)
def test_members_of_an_invoking_role_get_in(role: str, member: str, may: bool) -> None:
    assert may_invoke([Binding(role, [member])], "a@b.c") is may


def email_of(token: str) -> str:
    """Tokens of a test: GOOD:EMAIL is one of EMAIL."""
    kind, _, email = token.partition(":")
    if kind != "GOOD":
        raise BadTokenError(token)
    return email


@pytest.mark.parametrize(
    ("members", "token", "verdict"),
    [
        ([], "", ANONYMOUS),
        ([], "BAD", UNVERIFIED),
        ([], "GOOD:a@b.c", NO_INVOKER),
        ([], f"GOOD:{OWNER}", None),
        (["user:a@b.c"], "", ANONYMOUS),
        (["user:a@b.c"], "BAD", UNVERIFIED),
        (["user:a@b.c"], "GOOD:a@b.c", None),
        (["allAuthenticatedUsers"], "", ANONYMOUS),
        (["allAuthenticatedUsers"], "BAD", UNVERIFIED),
        (["allAuthenticatedUsers"], "GOOD:a@b.c", None),
        (["allUsers"], "", None),
        (["allUsers"], "BAD", None),
    ],
)
def test_the_policy_and_what_is_shown_decide(members: list[str], token: str, verdict: Verdict | None) -> None:
    assert decide([Binding(INVOKER, members)], token, email_of) is verdict


def test_nobody_gets_in_by_an_empty_policy() -> None:
    assert not may_invoke([], "a@b.c")


@pytest.mark.parametrize(
    ("member", "public"), [("allUsers", True), ("allAuthenticatedUsers", False), ("user:a@b.c", False)]
)
def test_all_users_makes_a_service_public(member: str, public: bool) -> None:
    assert is_public([Binding(INVOKER, [member])]) is public


@pytest.mark.parametrize(
    ("header", "token"), [("Bearer x.y", "x.y"), ("bearer  x ", "x"), ("Basic eDp5", ""), ("", ""), ("x", "")]
)
def test_the_token_follows_the_word_bearer(header: str, token: str) -> None:
    assert bearer(header) == token


def test_a_page_shows_the_path_harmlessly() -> None:
    assert "/&lt;script&gt;" in page(ANONYMOUS, "/<script>")
