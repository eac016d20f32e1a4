"""The certificates that are served, by name: one writer (the thread that orders), any number of handshakes reading.

A certificate is replaced by a single assignment to a dictionary, which needs no lock in Python. Connections keep the
context they began with.
"""

import ssl
from pathlib import Path
from typing import NamedTuple

from thrust.errors import CertificateError
from thrust.tls.contexts import EncryptedKey, as_file, server_context
from thrust.tls.renewal import Validity
from thrust.tls.validity import BEGIN_CERTIFICATE, read_validity


class Served(NamedTuple):
    """A certificate in use, and the PEM of its chain, which is how its CA knows it."""

    context: ssl.SSLContext
    validity: Validity
    chain_pem: str


class Shelf:
    """What is there for which name; names are in lower case."""

    def __init__(self, protocols: tuple[str, ...]) -> None:
        self._protocols = protocols
        self._by_name: dict[str, Served] = {}

    def get(self, name: str) -> Served | None:
        """What clients that ask for `name` get; None if there is nothing."""
        return self._by_name.get(name)

    def put(self, name: str, served: Served) -> None:
        """From now on new clients get this."""
        self._by_name[name] = served

    def load(self, path: Path, pem: str) -> Served:
        """The pair in the file at `path`, which holds `pem`. Raises CertificateError if it is no good."""
        try:
            chain_pem = pem[pem.index(BEGIN_CERTIFICATE) :]  # the key comes first
            return Served(server_context(path, path, self._protocols), read_validity(chain_pem), chain_pem)
        except (EncryptedKey, ValueError, OSError) as error:  # ssl.SSLError is an OSError
            raise CertificateError(f"{path} holds no key and certificate that can be used: {error}") from error

    def load_unstored(self, pem: str) -> Served:
        """The same for a pair that could not be stored."""
        try:
            with as_file(pem) as path:
                return self.load(path, pem)
        except OSError as error:
            raise CertificateError(f"there is no room for a temporary file: {error.strerror}") from error

    def __repr__(self) -> str:
        return f"<Shelf {', '.join(self._by_name) or 'empty'}>"
