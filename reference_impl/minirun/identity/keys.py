"""Keys, and the tokens signed with them: JSON Web Tokens in RS256, as Google's are.

PyJWT and cryptography are imported where a token is made or read, because a platform that nobody asks for
identity never needs them. Counterparts: Google's signing keys at oauth2/v3/certs, and the key file of a
service account.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ALGORITHM: Final = "RS256"
KEY_BITS: Final = 2048

Claims = Mapping[str, object]


class BadTokenError(ValueError):
    """A token that can't be trusted; the text says why."""


def make_pem() -> bytes:
    """A new private RSA key as PEM (PKCS #8); takes a few hundred milliseconds."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


class Key:
    """A private key that signs, and whose public half checks.

    Args:
        pem: the private key.
    """

    def __init__(self, pem: bytes) -> None:
        self.pem = pem
        self.id = hashlib.sha256(pem).hexdigest()[:40]

    @cached_property
    def _private(self) -> "RSAPrivateKey":
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self.pem, None)
        assert isinstance(key, RSAPrivateKey)
        return key

    def sign(self, claims: Claims) -> str:
        """A token with these claims."""
        import jwt

        return jwt.encode(dict(claims), self._private, ALGORITHM, {"kid": self.id})

    def read(self, token: str) -> Claims:
        """The claims of a token that this key signed; times and audience are the caller's to check.

        Raises:
            BadTokenError: it is no token, or another key signed it.
        """
        import jwt

        lenient = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
        try:
            claims: Claims = jwt.decode(token, self._private.public_key(), [ALGORITHM], options=lenient)  # type: ignore[arg-type]
        except jwt.PyJWTError as error:
            raise BadTokenError(str(error)) from None
        return claims

    def jwks(self) -> dict[str, object]:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        import jwt

        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self.id, "alg": ALGORITHM, "use": "sig"}]}


@lru_cache(16)
def key_of(pem: bytes) -> Key:
    """The key in a PEM, loaded once."""
    return Key(pem)
