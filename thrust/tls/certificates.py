"""A certificate and its key in two PEM files → a context that serves them, or a sentence that says what is wrong.

What can go wrong is told apart before OpenSSL sees the files, whose own errors name neither the file nor the cure.
The certificate's names and dates come from a handshake with ourselves, in memory: `ssl` reads them for a peer only.
It shows, too, that the pair can do what it is for.
"""

import contextlib
import errno
import os
import re
import ssl
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thrust.errors import CertificateError
from thrust.tls.contexts import EncryptedKey, server_context
from thrust.tls.names import normal_host

MAX_FILE_BYTES = 2**20
"""A chain has some 6 KB; whoever names a database by mistake gets a sentence."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z ]+ )?PRIVATE KEY-----")

_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")  # the last: of another kind

_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, for which Python has no name: we compare the dates
_HANDSHAKE_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class PemFiles:
    """Where a certificate chain and its key are, and the words for them in error sentences."""

    certificate: Path
    key: Path
    certificate_name: str = "SSL_CERT_PATH"
    key_name: str = "SSL_KEY_PATH"

    def read(self) -> tuple[bytes, bytes]:
        """What is in the two, following links. Raises CertificateError."""
        return _read(self.certificate, self.certificate_name), _read(self.key, self.key_name)


def _read(path: Path, name: str) -> bytes:
    try:
        content = _content(path)
    except OSError as error:
        raise CertificateError(f"{name} {path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise CertificateError(f"{name} {path} is larger than any certificate chain or key")
    return content


def _content(path: Path) -> bytes:
    """Up to a byte more than is accepted, and only of files: devices never end, a shell's `<(…)` can be read once."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with open(fd, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A pair that works. `names` are the DNS names and addresses that it is for, none if it does not say any."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    begins_at: float
    expires_at: float
    """Unix time in seconds."""

    def covers(self, host: str) -> bool:
        """Whether `host`, a name or an address, is among the names."""
        wanted = normal_host(host)
        first, _, rest = wanted.partition(".")
        return wanted in self.names or (bool(first) and f"*.{rest}" in self.names)


def load(files: PemFiles, protocols: tuple[str, ...], now_s: float | None = None) -> Certificate:
    """The pair in `files`, offering `protocols`. Raises CertificateError unless it is good at `now_s` (Unix time)."""
    chain, key = files.read()
    leaf = _CERTIFICATE.search(chain)
    if leaf is None:
        swapped = "; are the two paths swapped?" if _PRIVATE_KEY.search(chain) else ""
        raise CertificateError(f"{files.certificate_name} {files.certificate} holds no certificate in PEM{swapped}")
    if not _PRIVATE_KEY.search(key):
        raise CertificateError(f"{files.key_name} {files.key} holds no private key in PEM")
    context = _context(files, protocols)
    described = _seen_by_client(context, leaf[0].decode("ascii", "replace"), files)
    begins_at, expires_at = (ssl.cert_time_to_seconds(described[date]) for date in ("notBefore", "notAfter"))
    certificate = Certificate(context, _names(described), begins_at, expires_at)
    _check_dates(files, certificate, described, time.time() if now_s is None else now_s)
    return certificate


def _context(files: PemFiles, protocols: tuple[str, ...]) -> ssl.SSLContext:
    try:
        return server_context(files.certificate, files.key, protocols)
    except EncryptedKey as error:
        hint = "take its password off, by openssl pkey -in … -out …"
        raise CertificateError(f"{files.key_name} {files.key} is encrypted; {hint}") from error
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            sentence = f"the key in {files.key_name} {files.key} does not belong to the certificate in"
            cure = "give the key with which that was requested"
            raise CertificateError(
                f"{sentence} {files.certificate_name} {files.certificate}; {cure}", is_mismatch=True
            ) from error
        reason = (error.reason or "they are damaged").replace("_", " ").lower()
        pair = f"{files.certificate_name} {files.certificate} and {files.key_name} {files.key}"
        raise CertificateError(f"{pair} cannot be used: {reason}") from error
    except OSError as error:  # gone since it was read
        raise CertificateError(f"{files.certificate_name} and {files.key_name}: {error.strerror}") from error


def _seen_by_client(context: ssl.SSLContext, leaf: str, files: PemFiles) -> dict[str, Any]:
    """What a client that trusts `leaf`, and nobody else, learns about it in a handshake."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        client_context.load_verify_locations(cadata=leaf)
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_context.wrap_bio(to_client, to_server)
        server = context.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(_HANDSHAKE_ROUNDS):
            _step(client)
            _step(server)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or str(error)
        raise CertificateError(f"{files.certificate_name} {files.certificate} is no use: {reason}") from error
    return client.getpeercert() or {}


def _step(side: ssl.SSLObject) -> None:
    with contextlib.suppress(ssl.SSLWantReadError):
        side.do_handshake()


def _names(described: dict[str, Any]) -> tuple[str, ...]:
    alternatives = described.get("subjectAltName", ())
    names = tuple(normal_host(name) for kind, name in alternatives if kind in ("DNS", "IP Address"))
    return names or _common_names(described)


def _common_names(described: dict[str, Any]) -> tuple[str, ...]:
    """What looks like a host in the subject: all that a certificate says which somebody made for himself (RFC 6125)."""
    subject = [field for fields in described.get("subject", ()) for field in fields]
    return tuple(normal_host(value) for kind, value in subject if kind == "commonName" and _HOST_NAME.fullmatch(value))


def _check_dates(files: PemFiles, certificate: Certificate, described: dict[str, Any], now_s: float) -> None:
    if now_s > certificate.expires_at:
        what = f"has expired on {described['notAfter']}"
    elif now_s < certificate.begins_at:
        what = f"is not valid before {described['notBefore']}; is the clock right?"
    else:
        return
    raise CertificateError(f"the certificate in {files.certificate_name} {files.certificate} {what}")
