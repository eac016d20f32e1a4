"""Making certificates for `local_ca`: the authority, and servers' certificates signed by it.

Apart from it because of `cryptography`, which only those starts shall pay for that make something.
"""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=397)
"""What browsers accept of public CAs; Apple's systems hold private ones to 825 days."""

BACKDATED = timedelta(hours=1)
"""For clocks of virtual machines that lag."""

_NETWORKS = ("127.0.0.0/8", "::1/128")


def new_authority() -> tuple[str, str]:
    """Certificate and key of a new CA, as PEM, good for names and addresses of this machine only."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    owner = f"thrust local CA ({socket.gethostname()[:32]})"
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, owner)])
    permitted: list[x509.GeneralName] = [x509.DNSName("localhost")]
    permitted += [x509.IPAddress(ip_network(network)) for network in _NETWORKS]
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), _key_pem(key)


class Issuer:
    """A CA that signs."""

    def __init__(self, certificate_pem: str, key_pem: str) -> None:
        """Raises ValueError if this is no CA of ours."""
        self._certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        key = serialization.load_pem_private_key(key_pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key of the local CA is not one that was made here")
        self._key = key

    def issue(self, names: Sequence[str], addresses: Sequence[str]) -> str:
        """Key and certificate for a server of these names and addresses, as one PEM."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._certificate_key())
        certificate = (
            x509.CertificateBuilder(
                issuer_name=self._certificate.subject, subject_name=x509.Name([]), public_key=key.public_key()
            )
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + SERVER_LIFETIME, self._certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=True)  # there is no other name
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _certificate_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded.decode()
