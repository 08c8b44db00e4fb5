"""Tokens prove who calls: to one audience, for an hour, and only if we signed them."""

import base64
import json

import pytest

from minirun.identity.account import OWNER
from minirun.identity.keys import BadTokenError, Key, key_of, make_pem
from minirun.identity.tokens import ISSUERS, Issuer
from minirun.model.clock import SECOND_NS

URL = "http://hello-uc.a.run.localhost:8080"


class Hands:
    """A clock that is set by hand."""

    now_ns = 1_795_548_547 * SECOND_NS

    def unix_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture(scope="module")
def key() -> Key:
    return key_of(make_pem())


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def issuer(key: Key, clock: Hands) -> Issuer:
    return Issuer(key, clock)


def test_an_id_token_says_to_its_audience_who_calls(issuer: Issuer) -> None:
    assert issuer.email_of(issuer.id_token("a@b.c", URL), [URL]) == "a@b.c"


def test_an_id_token_has_googles_claims(issuer: Issuer, clock: Hands) -> None:
    payload = issuer.id_token("a@b.c", URL).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    now = clock.now_ns // SECOND_NS
    assert claims == {
        "iss": ISSUERS[0],
        "aud": URL,
        "azp": claims["sub"],
        "sub": claims["sub"],
        "email": "a@b.c",
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
    }


@pytest.mark.parametrize(("passed", "is_valid"), [(3599, True), (3605, True), (3611, False)])
def test_a_token_ends_after_an_hour(issuer: Issuer, clock: Hands, passed: int, is_valid: bool) -> None:
    token = issuer.id_token("a@b.c", URL)
    issuer.email_of(token, [URL])
    clock.now_ns += passed * SECOND_NS
    if is_valid:
        assert issuer.email_of(token, [URL]) == "a@b.c"
    else:
        with pytest.raises(BadTokenError, match="expired"):
            issuer.email_of(token, [URL])


def test_a_token_for_somebody_else_is_refused(issuer: Issuer) -> None:
    with pytest.raises(BadTokenError, match="audience"):
        issuer.email_of(issuer.id_token("a@b.c", "http://other"), [URL])


def test_an_access_token_is_no_id_token(issuer: Issuer) -> None:
    with pytest.raises(BadTokenError, match="audience"):
        issuer.email_of(issuer.access_token(OWNER), [URL])


def test_a_token_that_another_key_signed_is_refused(issuer: Issuer, clock: Hands) -> None:
    forged = Issuer(key_of(make_pem()), clock).id_token("a@b.c", URL)
    with pytest.raises(BadTokenError):
        issuer.email_of(forged, [URL])


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_token_is_refused(issuer: Issuer, token: str) -> None:
    with pytest.raises(BadTokenError):
        issuer.email_of(token, [URL])


def test_a_changed_token_is_refused(issuer: Issuer) -> None:
    head, payload, signature = issuer.id_token("a@b.c", URL).split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"email": "root@b.c"}
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    with pytest.raises(BadTokenError):
        issuer.email_of(f"{head}.{other}.{signature}", [URL])


def test_the_published_key_checks_the_tokens(issuer: Issuer) -> None:
    import jwt

    public = jwt.PyJWKSet.from_dict(issuer.key.jwks()).keys[0]
    token = issuer.id_token("a@b.c", URL)
    assert public.key_id == jwt.get_unverified_header(token)["kid"]
    lenient = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token, public.key, ["RS256"], audience=URL, options=lenient)["email"] == "a@b.c"
