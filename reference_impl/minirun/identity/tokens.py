"""The issuer: hands out ID tokens and access tokens, and says whose a token is.

An ID token names an audience and proves to it who calls; an access token opens the API. Both are signed by
the platform's own key, so that nothing has to be remembered, and are valid for an hour. Counterpart: Google's
token endpoint and its ID tokens (`iss https://accounts.google.com`).
"""

import hashlib
from collections.abc import Collection
from typing import Final

from minirun.identity.keys import BadTokenError, Claims, Key
from minirun.model.clock import SECOND_NS, Clock

ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
LIFETIME_SECONDS: Final = 3600
GCLOUD: Final = "32555940559.apps.googleusercontent.com"  # gcloud's own audience
ACCESS: Final = "minirun:access"  # the audience of access tokens: no Service has it
CLOCK_SKEW_SECONDS: Final = 10
KEPT: Final = 1024


class Issuer:
    """Makes and checks tokens.

    Args:
        key: the platform's.
        clock: tells when a token ends.
    """

    def __init__(self, key: Key, clock: Clock) -> None:
        self.key, self._clock = key, clock
        self._seen: dict[str, Claims] = {}  # verified before: a signature costs 100 µs

    def id_token(self, email: str, audience: str) -> str:
        """A token that proves to `audience` (a Service's URL) that its bearer is `email`."""
        subject = str(int(hashlib.sha256(email.encode()).hexdigest()[:16], 16))
        return self.key.sign(
            {
                **self._times(),
                "iss": ISSUERS[0],
                "aud": audience,
                "azp": subject,
                "sub": subject,
                "email": email,
                "email_verified": True,
            }
        )

    def access_token(self, email: str) -> str:
        """A token that opens the API to `email`."""
        return self.key.sign({**self._times(), "iss": ISSUERS[0], "aud": ACCESS, "email": email})

    def email_of(self, token: str, audiences: Collection[str]) -> str:
        """Whose an ID token for one of `audiences` is.

        Raises:
            BadTokenError: its signature, issuer, time or audience is wrong.
        """
        claims = self._seen.get(token)
        if claims is None:
            claims = self.key.read(token)
            if len(self._seen) >= KEPT:
                self._seen.clear()
            self._seen[token] = claims
        if claims.get("iss") not in ISSUERS:
            raise BadTokenError(f"its issuer {claims.get('iss')} is not {ISSUERS[0]}")
        check_times(claims, self._clock)
        if claims.get("aud") not in audiences:
            raise BadTokenError(f"its audience {claims.get('aud')} is none of {', '.join(audiences)}")
        return str(claims.get("email", ""))

    def _times(self) -> dict[str, int]:
        now = self._clock.unix_ns() // SECOND_NS
        return {"iat": now, "exp": now + LIFETIME_SECONDS}


def check_times(claims: Claims, clock: Clock) -> None:
    """Raises BadTokenError: the token is over, has no end, or is not valid yet."""
    now = clock.unix_ns() // SECOND_NS
    end, start = claims.get("exp"), claims.get("iat", 0)
    if not isinstance(end, int) or not isinstance(start, int):
        raise BadTokenError("its times are no numbers")
    if end + CLOCK_SKEW_SECONDS < now:
        raise BadTokenError("it has expired")
    if start - CLOCK_SKEW_SECONDS > now:
        raise BadTokenError("it is not valid yet")
