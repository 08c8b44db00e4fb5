"""The platform's keys: the issuer's, that of the account that owns every project here, and its CA's.

They are Secrets of `knative-serving`, made once. The account's key is what `minirun gcloud` gives to gcloud
as the key file of a service account. Counterparts: Google's signing keys; a service account's key.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from minirun.identity.account import ACCOUNT_SECRET, AUTHORITY_SECRET, ISSUER_SECRET, OWNER, PEM
from minirun.identity.certificates import make_authority, make_certificate
from minirun.identity.keys import BadTokenError, Key, key_of, make_pem
from minirun.identity.tokens import ACCESS, Issuer, check_times
from minirun.model.clock import Clock
from minirun.model.meta import ObjectMeta
from minirun.model.resources import Secret
from minirun.model.settings import SYSTEM_NAMESPACE
from minirun.store.errors import AlreadyExistsError
from minirun.store.store import Store

SELF_SIGNED: Final = (
    "https://run.googleapis.com/"  # the audience of tokens that client libraries sign themselves
)


class Keyring:
    """The platform's keys.

    Args:
        store: keeps them.
        clock: tells when tokens end.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self.clock = store, clock
        self._issuer: Issuer | None = None

    async def prepare(self) -> None:
        """Makes the keys that are not there, off the loop."""
        for name in (ISSUER_SECRET, ACCOUNT_SECRET):
            if self._store.find(Secret, SYSTEM_NAMESPACE, name) is None:
                self._keep(name, {PEM: await asyncio.to_thread(make_pem)})

    async def load(self) -> Issuer:
        """The issuer, ready to sign: what is slow about that the first time is done off the loop."""
        await self.prepare()
        issuer = self.issuer()
        await asyncio.to_thread(issuer.key.sign, {})
        return issuer

    def issuer(self) -> Issuer:
        """Makes and checks tokens."""
        key = self._key(ISSUER_SECRET)
        if self._issuer is None or self._issuer.key is not key:
            self._issuer = Issuer(key, self.clock)
        return self._issuer

    def certificate(self, hosts: Sequence[str]) -> bytes:
        """A certificate for the API and its key, as PEM, signed by the platform's own authority.

        Args:
            hosts: names and addresses of the API besides loopback.
        """
        now = datetime.fromtimestamp(self.clock.unix_ns() / 1e9, UTC)
        secret = self._store.find(Secret, SYSTEM_NAMESPACE, AUTHORITY_SECRET)
        if secret is None:
            key, certificate = make_authority(now)
            secret = self._keep(AUTHORITY_SECRET, {"tls.key": key, "tls.crt": certificate})
        authority = secret.data["tls.key"], secret.data["tls.crt"]
        return b"".join(make_certificate(authority, now, hosts))

    @property
    def account(self) -> Key:
        """The owner's key."""
        return self._key(ACCOUNT_SECRET)

    def caller(self, token: str) -> str | None:
        """Whose a bearer token at the API is; None for one that we did not make."""
        issuer = self.issuer()
        try:
            return issuer.email_of(token, (ACCESS,))
        except BadTokenError:
            pass
        try:
            claims = self.account.read(token)
            check_times(claims, self.clock)
        except BadTokenError:
            return None
        return OWNER if claims.get("aud") == SELF_SIGNED else None

    def _key(self, name: str) -> Key:
        secret = self._store.find(Secret, SYSTEM_NAMESPACE, name) or self._keep(name, {PEM: make_pem()})
        return key_of(secret.data[PEM])

    def _keep(self, name: str, data: dict[str, bytes]) -> Secret:
        meta = ObjectMeta(name=name, namespace=SYSTEM_NAMESPACE)
        try:
            return self._store.create(Secret(metadata=meta, type="Opaque", data=data))
        except AlreadyExistsError:  # made meanwhile
            return self._store.get(Secret, SYSTEM_NAMESPACE, name)
