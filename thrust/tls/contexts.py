"""How a TLS server of ours behaves: versions, ciphers, protocols, sessions. One place for every certificate there is.

The choice is Mozilla's "intermediate": TLS 1.2 with forward secrecy and AEAD only, and TLS 1.3; the client's order of
ciphers, because it knows whether it has AES in hardware. Sessions are resumed by tickets, whose keys belong to the
context: who keeps the context keeps them.
"""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from thrust.errors import Alert, TlsRefusal

CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    )
)
"""For TLS 1.2; OpenSSL's own for TLS 1.3 are all good."""


class EncryptedKey(Exception):
    """The private key needs a password, and nobody is there to type it."""


def server_context(certificate: Path, key: Path, protocols: Sequence[str]) -> ssl.SSLContext:
    """A context that serves a certificate chain and offers `protocols` by ALPN, the preferred one first.

    Raises what `SSLContext.load_cert_chain` raises, and EncryptedKey instead of asking at the terminal.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(list(protocols))
    context.load_cert_chain(certificate, key, _refuse_password)
    return context


@contextmanager
def as_file(pem: str) -> Iterator[Path]:
    """A file that holds `pem`, which only we can read and that is gone afterwards: `ssl` loads keys from files only."""
    import tempfile  # takes 5 ms, and is rarely needed

    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        yield Path(file.name)


def check_protocols(offered: Sequence[bytes], ours: Sequence[bytes]) -> None:
    """Raises TlsRefusal if a client offers protocols by ALPN, and none of ours (RFC 7301 §3.2).

    OpenSSL would do so too, but Python lets the handshake go on as if nothing had been offered.
    """
    if offered and not set(offered) & set(ours):
        names = ", ".join(name.decode("latin-1") for name in offered)
        raise TlsRefusal(f"the client speaks {names}", alert=Alert.NO_APPLICATION_PROTOCOL)


def _refuse_password() -> str:
    raise EncryptedKey
