"""The certificate in SSL_CERT_PATH and SSL_KEY_PATH: served to everybody, and replaced when the files change.

`service` loads it before anything else starts, gives `choose` to the TLS port and `covers` to whoever asks which hosts
are ours, and runs `watch`. We look at the content behind the paths every few seconds, and not for events of the file
system: Kubernetes swaps a link two levels above, and network volumes tell nobody. A pair that cannot be used changes
nothing; it is reported once, and again when it has changed. Connections keep the context they began with.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from thrust.errors import CertificateError
from thrust.tls.certificates import Certificate, PemFiles, load
from thrust.tls.contexts import check_protocols
from thrust.tls.telling import Log, moment

if TYPE_CHECKING:
    import ssl

LOOK_EVERY_S = 5.0
"""Who copies two files by hand needs less in between; kubelet takes a minute to bring new ones."""

MISMATCHED_LOOKS = 3
"""Who brings one file after the other has that long for it, before it is a mistake."""

EXPIRES_SOON_S = 7 * 24 * 3600.0
EXPIRES_SOON_SHARE = 0.2
"""Of the lifetime, where that is less: there are certificates of six days."""


class StaticCertificate:
    """One certificate for all names, as nginx's default server has."""

    def __init__(self, files: PemFiles, protocols: tuple[str, ...]) -> None:
        """Raises CertificateError if the files are no good."""
        self._files = files
        self._protocols = protocols
        self._offered = tuple(name.encode() for name in protocols)
        self._seen = files.read()
        self._certificate = load(files, protocols)
        self._found = self._seen
        """What was there at the last look that could read it."""
        self._mismatched_looks = 0
        """How many looks in a row have found the same two files, which do not belong together."""
        self._told_failure: object = None
        self._told_expiry: object = None
        """What the last lines of the log were about, so that they are not said again every few seconds."""

    @property
    def certificate(self) -> Certificate:
        """The one that new clients get."""
        return self._certificate

    def choose(self, server_name: bytes | None, protocols: tuple[bytes, ...], /) -> "ssl.SSLContext":
        """The context for a client (server/doorway). Raises TlsRefusal."""
        check_protocols(protocols, self._offered)
        return self._certificate.context

    def covers(self, host: str) -> bool:
        """Whether `host` is ours."""
        return self._certificate.covers(host)

    async def watch(self, log: Log) -> None:
        """Takes what is new in the files, until cancelled."""
        self._tell_certificate("certificate", log)
        self._tell_expiry(log, time.time())
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                found = await asyncio.to_thread(self._look)
            except CertificateError as error:
                self._tell_failure(error, log)
            else:
                self._take(found, log)
            self._tell_expiry(log, time.time())

    def _look(self) -> Certificate | None:
        """What has replaced the pair that we know, None if nothing has. Runs in a thread: a volume may be slow."""
        content = self._files.read()
        if content != self._found:
            self._found = content
            self._mismatched_looks = 0
        if content == self._seen:
            return None
        certificate = load(self._files, self._protocols)
        self._seen = content
        return certificate

    def _take(self, found: Certificate | None, log: Log) -> None:
        self._told_failure = None
        if found is not None:
            self._certificate = found
            self._tell_certificate("certificate replaced", log)

    def _tell_certificate(self, message: str, log: Log) -> None:
        log.info(message, **describe(self._certificate))
        if not self._certificate.names:
            log.warning("the certificate names no host: plain requests are not redirected, but answered 421")

    def _tell_failure(self, error: CertificateError, log: Log) -> None:
        self._mismatched_looks += error.is_mismatch
        is_passing = error.is_mismatch and self._mismatched_looks <= MISMATCHED_LOOKS
        failure = (self._found, str(error), is_passing)
        if self._told_failure == failure:
            return
        self._told_failure = failure
        if is_passing:
            log.info("new certificate and key do not belong together yet: the old ones serve on", reason=str(error))
        else:
            log.error("new certificate cannot be used: the old one serves on", error=str(error))

    def _tell_expiry(self, log: Log, now_s: float) -> None:
        left_s = self._certificate.expires_at - now_s
        lifetime_s = self._certificate.expires_at - self._certificate.begins_at
        if left_s > min(EXPIRES_SOON_S, lifetime_s * EXPIRES_SOON_SHARE):
            return
        message = "certificate has expired" if left_s < 0 else "certificate expires soon"
        if self._told_expiry != (told := (message, self._certificate)):
            self._told_expiry = told
            log.warning(message, **describe(self._certificate))


def describe(certificate: Certificate) -> dict[str, object]:
    """A certificate as the fields of a line in the log."""
    return {"names": ",".join(certificate.names) or "none", "expires": moment(certificate.expires_at)}
