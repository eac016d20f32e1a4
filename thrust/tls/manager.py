"""Certificates by ACME, as the rest of the program sees them: who answers a handshake, and which hosts are ours.

`service` makes a Manager, gives `choose` to the TLS port and `answers` to the plain one, and runs `watch` while both
are open. Nothing here waits: orders are a thread's business (`upkeep`), and a handshake gets what is there. The thread
is a daemon, because a CA that is slow to answer must not keep the program from ending.
"""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING

from thrust.errors import Alert, TlsRefusal
from thrust.tls.answers import ALPN_PROTOCOL, Answers
from thrust.tls.contexts import check_protocols
from thrust.tls.names import normal_host
from thrust.tls.settings import AcmeSettings
from thrust.tls.shelf import Shelf
from thrust.tls.storage import Storage, is_lost_with_container
from thrust.tls.telling import Log
from thrust.tls.upkeep import Authority, Upkeep

if TYPE_CHECKING:
    import ssl

AFTER_BUG_S = 600.0
"""Pause after an error of ours, which is logged: it must not become a flood of orders."""


class Manager:
    """Certificates for `domains` (lower-case), ordered and renewed in the background."""

    def __init__(
        self,
        domains: Sequence[str],
        settings: AcmeSettings,
        storage_path: Path,
        protocols: tuple[str, ...],
    ) -> None:
        """Loads what is stored."""
        self._domains = frozenset(domains)
        self._settings = settings
        self._offered = tuple(name.encode() for name in protocols)
        self._storage = Storage(storage_path, settings.directory_url)
        self.answers = Answers(self._storage)
        self._shelf = Shelf(protocols)
        self._stopped = threading.Event()
        self._upkeep = Upkeep(domains, self._shelf, self._storage, self._connect, self._stopped)
        self._upkeep.load()

    def choose(self, server_name: bytes | None, protocols: tuple[bytes, ...], /) -> "ssl.SSLContext":
        """The context for a client (server/doorway). Raises TlsRefusal: an unknown name never causes an order."""
        name = normal_host(server_name.decode("latin-1")) if server_name else ""
        if ALPN_PROTOCOL.encode() in protocols:
            context = self.answers.for_name(name) if name in self._domains else None
            if context is None:
                raise TlsRefusal(f"no challenge for {name!r} is under way", alert=Alert.NO_APPLICATION_PROTOCOL)
            return context
        if (served := self._shelf.get(name)) is None:
            reason = "has no certificate yet" if name in self._domains else "is not ours"
            raise TlsRefusal(f"{name!r} {reason}", alert=Alert.UNRECOGNIZED_NAME)
        check_protocols(protocols, self._offered)
        return served.context

    def covers(self, host: str) -> bool:
        """Whether `host` is ours."""
        return normal_host(host) in self._domains

    def has_certificate(self, host: str) -> bool:
        """Whether clients can reach `host` by TLS by now."""
        return self._shelf.get(normal_host(host)) is not None

    async def watch(self, log: Log) -> None:
        """Orders and renews, until cancelled."""
        if is_lost_with_container(self._storage.root):
            log.warning(
                "STORAGE_PATH is lost with this container, and certificates are limited: mount a volume there",
                path=str(self._storage.root.absolute()),
            )
        self._upkeep.tell(log)
        threading.Thread(target=self._work, args=(log,), name="thrust-acme", daemon=True).start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._stopped.set()  # calls off what is under way, and does not wait for it

    def _connect(self) -> Authority:
        from thrust.tls.acme import Authority as AcmeAuthority  # with the libraries behind it: 0.3 s

        return AcmeAuthority(self._settings, self._storage, self.answers, self._stopped)

    def _work(self, log: Log) -> None:
        pause_s = 0.0
        while not self._stopped.wait(pause_s):
            try:
                pause_s = self._upkeep.work()
            except Exception as error:
                pause_s = AFTER_BUG_S
                log.error("internal error", error=repr(error), traceback="".join(format_exception(error)))

    def __repr__(self) -> str:
        return f"<Manager of {len(self._domains)} domains, {self._shelf!r}>"
