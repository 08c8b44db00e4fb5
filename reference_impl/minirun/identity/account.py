"""The account that owns every project here, and its key file."""

import hashlib
from typing import Final

OWNER: Final = "owner@minirun.localhost"
"""Owns every project, and so may invoke every Service."""
# Secrets of knative-serving: the first two have a private key, the third has tls.crt and tls.key.
ISSUER_SECRET, ACCOUNT_SECRET, AUTHORITY_SECRET = "minirun-issuer", "minirun-account", "minirun-ca"
PEM: Final = "key.pem"


def key_file(pem: str, project: str, token_uri: str) -> dict[str, str]:
    """The owner's key as a service account's key file.

    Args:
        pem: the private key.
        project: the default project of who uses it.
        token_uri: where it is changed for tokens: `http://API/token`.
    """
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": hashlib.sha256(pem.encode()).hexdigest()[:40],
        "private_key": pem,
        "client_email": OWNER,
        "client_id": "100000000000000000000",
        "token_uri": token_uri,
    }
