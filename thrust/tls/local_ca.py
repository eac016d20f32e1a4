"""THRUST_TLS=local: HTTPS on localhost, by a certificate authority that can vouch for nothing but this machine.

The CA is made once, in the user's data folder, and lasts until that is deleted; browsers trust it after one command
(`trusting`). Its certificate is constrained to localhost, names below it, and loopback addresses (RFC 5280 §4.2.1.10),
so that its key, were it stolen, opens nobody's bank. Certificates for servers are made when they are missing: one for
localhost and the addresses, which is stored, and one for each `name.localhost` that is asked for, because browsers
accept no wildcard right below a top-level name.

`cryptography` is imported only to make something; a start with what is stored does without.
"""

import asyncio
import fcntl
import os
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thrust.errors import Alert, CertificateError, ConfigError, TlsRefusal
from thrust.tls.contexts import EncryptedKey, as_file, check_protocols, server_context
from thrust.tls.names import normal_host
from thrust.tls.storage import write_atomically
from thrust.tls.telling import Log
from thrust.tls.trusting import trust_commands
from thrust.tls.validity import read_validity

if TYPE_CHECKING:
    from thrust.tls.local_issuing import Issuer

LOCALHOST = "localhost"
LOOPBACK = ("127.0.0.1", "::1")

CA_NAME, CA_KEY_NAME, PAIR_NAME = "local-ca.pem", "local-ca-key.pem", "localhost.pem"

RENEW_BEFORE_S = 30 * 24 * 3600.0

MAX_NAMES = 64
"""Names below localhost that a certificate is kept for; more push out the oldest."""


def data_folder(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where the CA of this user is kept. Raises ConfigError if this user has no such place."""
    if (chosen := environ.get("XDG_DATA_HOME", "")).startswith("/"):
        return Path(chosen) / "thrust"
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise ConfigError("THRUST_TLS=local keeps its CA in the user's data folder; set HOME or XDG_DATA_HOME")
    if platform == "darwin":
        return Path(home) / "Library" / "Application Support" / "thrust"
    return Path(home) / ".local" / "share" / "thrust"


class LocalCertificates:
    """Certificates for this machine's own names, ready when it is made."""

    def __init__(self, folder: Path, protocols: tuple[str, ...]) -> None:
        """Makes what is missing. Raises ConfigError if `folder` cannot be used."""
        self._folder = folder
        self._protocols = protocols
        self._offered = tuple(name.encode() for name in protocols)
        self._by_name: dict[str, ssl.SSLContext] = {}
        self.ca_path = folder / CA_NAME
        self._ca_key_path = folder / CA_KEY_NAME
        self._pair_path = folder / PAIR_NAME
        try:
            self.is_new = self._is_incomplete() and self._make_missing()
            check_authority(folder)
            self._context = check_pair(folder, protocols)
        except OSError as error:
            sentence = f"THRUST_TLS=local keeps its CA in {folder}, which cannot be used: {error.strerror}"
            raise ConfigError(f"{sentence}; set XDG_DATA_HOME to another folder") from error

    def choose(self, server_name: bytes | None, protocols: tuple[bytes, ...], /) -> ssl.SSLContext:
        """The context for a client (server/doorway). Raises TlsRefusal."""
        check_protocols(protocols, self._offered)
        name = normal_host((server_name or b"").decode("latin-1"))
        if name in ("", LOCALHOST, *LOOPBACK):
            return self._context
        if not self.covers(name):
            raise TlsRefusal(f"{name!r} is not below localhost", alert=Alert.UNRECOGNIZED_NAME)
        return self._by_name.get(name) or self._make_context(name)

    def covers(self, host: str) -> bool:
        """Whether `host` is this machine's own name or loopback address."""
        name = normal_host(host)
        return name in (LOCALHOST, *LOOPBACK) or name.endswith("." + LOCALHOST)

    async def watch(self, log: Log) -> None:
        """Says how the CA becomes trusted; there is nothing to watch."""
        if self.is_new:
            log.info("made a certificate authority for this machine", path=str(self.ca_path))
        for who, command in trust_commands(self.ca_path) if self.is_new else ():
            log.info(f"to have {who} trust it", command=command)
        if not self.is_new:
            log.info("local certificate authority; thrust --certs says how to trust it", path=str(self.ca_path))
        await asyncio.sleep(0)

    def _is_incomplete(self) -> bool:
        """Whether something has to be made; else the folder may be read-only, as one that a container shares."""
        return not self._ca_key_path.exists() or self._ends_soon(self.ca_path) or self._ends_soon(self._pair_path)

    def _make_missing(self) -> bool:
        """Whether the CA had to be made."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._folder / "lock"):
            return self._make_what_is_still_missing()

    def _make_what_is_still_missing(self) -> bool:
        is_new = not (self.ca_path.exists() and self._ca_key_path.exists()) or self._ends_soon(self.ca_path)
        if is_new:
            from thrust.tls.local_issuing import new_authority

            certificate_pem, key_pem = new_authority()
            write_atomically(self._ca_key_path, key_pem)
            write_atomically(self.ca_path, certificate_pem, mode=0o644)  # for others to trust
        if is_new or self._ends_soon(self._pair_path):
            write_atomically(self._pair_path, self._issuer().issue([LOCALHOST, "*." + LOCALHOST], LOOPBACK))
        return is_new

    def _make_context(self, name: str) -> ssl.SSLContext:
        """A context with a certificate for `name` alone. Takes a millisecond, the first time a tenth of a second."""
        try:
            with as_file(self._issuer().issue([name], ())) as path:
                context = server_context(path, path, self._protocols)
        except (OSError, ValueError, CertificateError) as error:
            raise TlsRefusal(f"no certificate for {name!r}: {error}", alert=Alert.UNRECOGNIZED_NAME) from error
        if len(self._by_name) >= MAX_NAMES:
            del self._by_name[next(iter(self._by_name))]
        self._by_name[name] = context
        return context

    def _issuer(self) -> "Issuer":
        from thrust.tls.local_issuing import Issuer

        check_authority(self._folder)
        return Issuer(self.ca_path.read_text(), self._ca_key_path.read_text())

    def _ends_soon(self, path: Path) -> bool:
        try:
            return read_validity(path.read_text()).not_after_s < time.time() + RENEW_BEFORE_S
        except (OSError, ValueError):
            return True


def check_authority(folder: Path) -> None:
    """Raises CertificateError if the CA in `folder` is damaged or has another's key, OSError if it cannot be read."""
    ca_path, key_path = folder / CA_NAME, folder / CA_KEY_NAME
    try:
        server_context(ca_path, key_path, ())  # OpenSSL compares the two
    except (ssl.SSLError, EncryptedKey) as error:
        sentence = f"{ca_path} and {key_path} are damaged, or do not belong together"
        raise CertificateError(f"{sentence}; delete both to have a new CA made, and trust that") from error


def check_pair(folder: Path, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
    """The context for localhost. Raises CertificateError if what is stored is damaged, OSError if it cannot be read."""
    path = folder / PAIR_NAME
    try:
        return server_context(path, path, protocols)
    except (ssl.SSLError, EncryptedKey) as error:
        raise CertificateError(f"{path} is damaged; delete it to have it made anew") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets two that start at once make one CA."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
