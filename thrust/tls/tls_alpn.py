"""The certificate that answers tls-alpn-01: self-signed, with a hash of the key authorization in it (RFC 8737 §3).

For `acme`, while an order is under way. Only a CA that offers `acme-tls/1` in its handshake is shown it.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""id-pe-acmeIdentifier."""

_OCTET_STRING = 4

VALID_FOR = timedelta(days=7)
"""To either side of now: a CA looks at the hash, and this machine's clock may be wrong."""


def answer_pem(domain: str, key_authorization: bytes) -> str:
    """Key and certificate for the handshake in which the CA checks `domain`."""
    digest = sha256(key_authorization).digest()
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID_FOR)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=True)
        .add_extension(x509.UnrecognizedExtension(IDENTIFIER, bytes((_OCTET_STRING, len(digest))) + digest), True)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (key_pem + certificate.public_bytes(serialization.Encoding.PEM)).decode()
