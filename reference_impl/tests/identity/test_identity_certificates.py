"""The API's certificate: the platform's own authority vouches for its names, as strict clients want it."""

import datetime

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from minirun.identity.certificates import VALID, make_authority, make_certificate

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)


def verify(authority: bytes, certificate: bytes, host: str, at: datetime.datetime) -> None:
    store = Store([x509.load_pem_x509_certificate(authority)])
    builder = PolicyBuilder().store(store).time(at)
    leaf = x509.load_pem_x509_certificate(certificate)
    builder.build_server_verifier(x509.DNSName(host)).verify(leaf, [])


def test_the_authority_vouches_for_the_names_of_the_api() -> None:
    authority = make_authority(NOW)
    _, certificate = make_certificate(authority, NOW, ["lab.example"])
    for host in ("localhost", "kubernetes.default", "run.googleapis.com", "lab.example"):
        verify(authority[1], certificate, host, NOW)
    with pytest.raises(VerificationError):
        verify(authority[1], certificate, "evil.example", NOW)
    with pytest.raises(VerificationError):
        verify(authority[1], certificate, "localhost", NOW + VALID + datetime.timedelta(days=1))
    with pytest.raises(VerificationError):
        verify(make_authority(NOW)[1], certificate, "localhost", NOW)
