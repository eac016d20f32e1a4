"""Certificates for tests: made in memory, as good or as bad as a test wants them.

An authority of the tests' own signs, so that clients have somebody to trust; keys are P-256, which takes a millisecond.
"""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate (chain) and its key in PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The paths of the two in `folder`."""
        certificate, key = folder / "tls.crt", folder / "tls.key"
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)
        return certificate, key

    def environment(self, folder: Path) -> dict[str, str]:
        """The settings that make thrust use them."""
        certificate, key = self.write(folder)
        return {"SSL_CERT_PATH": str(certificate), "SSL_KEY_PATH": str(key)}


@cache
def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])
    builder = _builder(name, name, key, -DAY, 365 * DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    nothing_else = dict.fromkeys(
        (
            "content_commitment",
            "crl_sign",
            "data_encipherment",
            "decipher_only",
            "digital_signature",
            "encipher_only",
            "key_agreement",
            "key_encipherment",
        ),
        False,
    )
    builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, **nothing_else), critical=True)
    return builder.sign(key, hashes.SHA256()), key


def authority_pem() -> str:
    """Whom clients have to trust."""
    return _authority()[0].public_bytes(serialization.Encoding.PEM).decode()


def client_context(*protocols: str) -> ssl.SSLContext:
    """A client that trusts the authority of the tests, and offers `protocols` by ALPN."""
    context = ssl.create_default_context(cadata=authority_pem())
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def make_pair(
    *names: str,
    begins: datetime.timedelta = -DAY,
    ends: datetime.timedelta = 90 * DAY,
    key: Key | None = None,
    password: bytes | None = None,
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    common_name: str | None = None,
) -> Pair:
    """A certificate for `names`, valid from `begins` to `ends` as seen from now; without names it has no such field.

    `common_name` is the first of them unless told otherwise.
    """
    authority, authority_key = _authority()
    key = key or ec.generate_private_key(ec.SECP256R1())
    called = [common_name] if common_name else names[:1]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in called])
    builder = _builder(subject, authority.subject, key, begins, ends)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = builder.add_extension(identifier, critical=False).sign(authority_key, hashes.SHA256())
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key, password))


def key_pem(key: Key, password: bytes | None = None) -> bytes:
    """`key` as it is in files."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: datetime.timedelta, ends: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
