"""What a certificate authority gets to see when it checks that a domain leads here (RFC 8555 §8.3, RFC 8737).

The thread that orders puts answers in and takes them out; the front looks them up, on the plain port by token and in
TLS handshakes by name. They lie in files, because the CA may reach another instance than the one that orders. An answer
exists only while its order is under way, so nothing is told to anybody at other times (what a killed instance has left
is removed by the next that holds the storage's lock); and it is looked for only where
somebody names the well-known path, or one of our domains with the protocol of the challenge.
"""

import re
import ssl
from contextlib import suppress

from thrust.tls.storage import Storage

HTTP_01 = "http-01"
TLS_ALPN_01 = "tls-alpn-01"

HTTP_PATH = b"/.well-known/acme-challenge/"
"""Where http-01 asks on the plain port; the token follows."""

ALPN_PROTOCOL = "acme-tls/1"
"""What a CA offers in the handshake of tls-alpn-01, and nothing else."""

_TOKEN = re.compile(rb"[A-Za-z0-9_-]{1,150}")
"""The letters of base64url (RFC 8555 §8.1), which make a file's name; real ones have 43."""


class Answers:
    """The answers of all orders under way, by any instance on the volume."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def for_path(self, path: bytes) -> bytes | None:
        """The key authorization that http-01 wants to read at `path` (without query); None if there is no such.

        Reads a file, and so may be called in any thread.
        """
        token = path.removeprefix(HTTP_PATH)
        if token == path or not _TOKEN.fullmatch(token):
            return None
        return self._storage.read_answer(token.decode()).encode() or None

    def for_name(self, name: str) -> ssl.SSLContext | None:
        """The context for a handshake of tls-alpn-01 with `name`, a domain of ours; None if there is none."""
        path = self._storage.answer_path(f"{name}.pem")
        with suppress(OSError):  # there is none, or not any more
            return _context(str(path))
        return None

    def offer_http(self, token: str, key_authorization: str) -> None:
        """From now on http-01 is answered. Raises StorageError."""
        self._storage.write_answer(token, key_authorization)

    def offer_tls(self, name: str, pem: str) -> None:
        """From now on tls-alpn-01 is answered by the key and certificate in `pem`. Raises StorageError."""
        self._storage.write_answer(f"{name}.pem", pem)

    def withdraw(self, token: str, name: str) -> None:
        """The check is over, however it ended."""
        self._storage.remove_answer(token)
        self._storage.remove_answer(f"{name}.pem")


def _context(path: str) -> ssl.SSLContext:
    """A context that shows the answer in `path`, and speaks nothing but `acme-tls/1`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8737 §3
    made.load_cert_chain(path)
    made.set_alpn_protocols([ALPN_PROTOCOL])
    return made
