"""A certificate authority for one platform, and the certificate of its API.

Clients that insist on TLS are given the authority (a kubeconfig carries it), and trust nothing else by it.
Counterpart: a cluster's own CA.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509

VALID: Final = datetime.timedelta(days=825)
NAMES: Final = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "*.googleapis.com")
ADDRESSES: Final = ("127.0.0.1", "::1")


def make_authority(now: datetime.datetime) -> tuple[bytes, bytes]:
    """A new authority: its private key and its certificate, as PEM.

    Args:
        now: when it begins to be valid, in UTC.
    """
    return _make(now, "minirun CA", None, ())


def make_certificate(
    authority: tuple[bytes, bytes], now: datetime.datetime, hosts: Sequence[str] = ()
) -> tuple[bytes, bytes]:
    """A server's private key and its certificate, as PEM.

    Args:
        authority: the key and the certificate of who signs.
        now: when it begins to be valid, in UTC.
        hosts: names and addresses besides those of loopback.
    """
    return _make(now, "minirun", authority, (*NAMES, *ADDRESSES, *hosts))


def _make(
    now: datetime.datetime, common_name: str, authority: tuple[bytes, bytes] | None, hosts: Sequence[str]
) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    issuer, signer = name, key
    if authority is not None:
        issuer = x509.load_pem_x509_certificate(authority[1]).subject
        loaded = form.load_pem_private_key(authority[0], None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
    builder = (
        x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(_key_usage(signs=authority is None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)])
        use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(use, critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    return pem, certificate.public_bytes(form.Encoding.PEM)


def _key_usage(signs: bool) -> "x509.KeyUsage":
    """What strict clients (Python from 3.13 on) want to read: an authority signs, a server proves itself."""
    from cryptography import x509

    uses = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    wanted = {"digital_signature": True, "key_cert_sign": signs, "crl_sign": signs}
    return x509.KeyUsage(**dict.fromkeys(uses, False) | wanted)


def _general_name(host: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
