"""Keeps a certificate for each domain: looks what is due, orders it, and says when to look again.

`manager` calls `Upkeep.work` from its thread, over and over; everything here blocks. What an order needs is imported
when one is due, so a start with stored certificates costs what a start without ACME does. One domain after the other:
orders are rare, and a CA counts those that run at once. Who has failed least goes first, so that a domain whose checks
take their time and fail (`acme.ORDER_TIMEOUT_S`) delays another one once, and not at every try.

State lives in `Storage`, where other instances see it; whoever holds its lock looks there again before he orders.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from thrust.errors import CertificateError, OrderError, StorageError
from thrust.tls import renewal
from thrust.tls.answers import HTTP_01, TLS_ALPN_01
from thrust.tls.renewal import Trouble, Validity, Window
from thrust.tls.shelf import Served, Shelf
from thrust.tls.storage import Notes, Storage
from thrust.tls.telling import Log, moment
from thrust.tls.validity import fingerprint

LONGEST_WAIT_S = 3600.0
"""Between two looks: a clock may jump, and another instance may have renewed."""

LEAST_WAIT_S = 0.2

STORAGE_PAUSE_S = 60.0
"""Between two tries to use a folder that cannot be used."""

CHALLENGES = (HTTP_01, TLS_ALPN_01)


class _Silence:
    """A log for the time before there is one."""

    def info(self, message: str, /, **fields: object) -> None: ...
    def warning(self, message: str, /, **fields: object) -> None: ...
    def error(self, message: str, /, **fields: object) -> None: ...


class Issue(Protocol):
    """What an order has brought (`acme.Issued`)."""

    @property
    def pem(self) -> str: ...
    @property
    def challenge(self) -> str: ...


class Authority(Protocol):
    """Who is asked for certificates (`acme.Authority`)."""

    def order(self, domain: str, challenge_types: Sequence[str], replaced_pem: str = "") -> Issue: ...
    def renewal_window(self, pem: str) -> tuple[Window | None, float]: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class _Domain:
    """What is known about a name. `version` is that of the file that was read last, `flaw` why it is no use, or ""."""

    name: str
    version: tuple[int, int] | None = None
    flaw: str = ""
    notes: Notes = field(default_factory=Notes)
    unanswered: int = 0
    """How often in a row the CA could not be asked for its renewal window."""


class Upkeep:
    """Owns the shelf's content. For one thread, except `stopped`, which anybody may set."""

    def __init__(
        self,
        domains: Sequence[str],
        shelf: Shelf,
        storage: Storage,
        connect: Callable[[], Authority],
        stopped: threading.Event,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._domains = [_Domain(name) for name in domains]
        self._shelf = shelf
        self._storage = storage
        self._connect = connect
        self._log: Log = _Silence()
        self._stopped = stopped
        self._now = now
        self._told: dict[str, str] = {}
        """What was said last about a domain, or about the storage (""), so that it is not said twice."""

    def load(self) -> None:
        """Puts on the shelf what is stored, expired or not. Nothing is said before `tell`."""
        for domain in self._domains:
            self._look_at_disk(domain)

    def tell(self, log: Log) -> None:
        """Logs what there is, and when what is not will be; `log` hears of everything from now on."""
        self._log = log
        for domain in self._domains:
            if domain.flaw:
                self._tell_flaw(domain)
            if served := self._shelf.get(domain.name):
                self._log.info("certificate loaded", **self._described(domain, served))
            elif (at_s := self._due_at_s(domain)) > self._now():
                trouble = domain.notes.trouble
                reason = trouble.sentence if trouble else ""
                self._log.warning("no certificate yet", domain=domain.name, next_try=moment(at_s), reason=reason)
            else:
                self._log.info("no certificate yet: one is ordered now", domain=domain.name)

    def work(self) -> float:
        """Does all that is due; returns for how many seconds there will be nothing to do."""
        authority: Authority | None = None
        try:
            for domain in sorted(self._domains, key=_failures):
                if self._stopped.is_set():
                    break
                self._look_at_disk(domain)
                if not self._is_due(domain) and not self._may_ask_window(domain):
                    continue
                authority = authority or self._connect()
                self._attend(domain, authority)
            self._told.pop("", None)
        except StorageError as error:
            if not self._stopped.is_set():
                self._tell_once("", str(error))
            return STORAGE_PAUSE_S
        finally:
            if authority is not None:
                authority.close()
        return self._wait_s()

    def _attend(self, domain: _Domain, authority: Authority) -> None:
        """Orders, or asks when to order. Raises StorageError."""
        self._storage.prepare()
        with self._storage.lock(self._stopped):
            self._look_at_disk(domain)  # others may have been here meanwhile
            if self._may_ask_window(domain):
                self._ask_window(domain, authority)
            if self._is_due(domain):
                self._order(domain, authority)

    def _look_at_disk(self, domain: _Domain) -> None:
        """Takes what another instance, or the last run, has stored."""
        had = self._shelf.get(domain.name)
        self._look_at_pair(domain)
        certificate = self._certificate_of(domain)
        stored = self._storage.read_notes(domain.name) if self._storage.has_notes(domain.name) else domain.notes
        if stored.certificate == certificate or domain.notes.certificate != certificate:
            domain.notes = stored.about(certificate)  # else those in memory could not be written
        served = self._shelf.get(domain.name)
        if had and served and served is not had:
            self._log.info("certificate taken from storage", **self._described(domain, served))

    def _look_at_pair(self, domain: _Domain) -> None:
        version = self._storage.pair_version(domain.name)
        if version is None or version == domain.version:
            return
        domain.version = version
        try:
            served = self._shelf.load(self._storage.pair_path(domain.name), self._storage.read_pair(domain.name))
        except CertificateError as error:
            domain.flaw = str(error)
            self._tell_flaw(domain)
            return
        domain.flaw = ""
        self._shelf.put(domain.name, served)

    def _tell_flaw(self, domain: _Domain) -> None:
        self._log.error("stored certificate cannot be used: it is ordered anew", error=domain.flaw)

    def _certificate_of(self, domain: _Domain) -> str:
        served = self._shelf.get(domain.name)
        return fingerprint(served.chain_pem) if served else ""

    # Decisions

    def _due_at_s(self, domain: _Domain) -> float:
        served = self._shelf.get(domain.name)
        return next_order_at_s(domain.name, served.validity if served else None, domain.notes, self._now())

    def _is_due(self, domain: _Domain) -> bool:
        return self._due_at_s(domain) <= self._now()

    def _may_ask_window(self, domain: _Domain) -> bool:
        """Whether it is time to ask the CA when to renew; an expired certificate is not asked about (RFC 9773 §4.3)."""
        return (
            self._has_valid(domain) and not 0 < domain.notes.ask_again_at_s - self._now() <= renewal.MAX_RETRY_AFTER_S
        )

    def _has_valid(self, domain: _Domain) -> bool:
        served = self._shelf.get(domain.name)
        return served is not None and self._now() < served.validity.not_after_s

    def _wait_s(self) -> float:
        now_s = self._now()
        moments = [self._due_at_s(domain) for domain in self._domains]
        moments += [domain.notes.ask_again_at_s for domain in self._domains if self._has_valid(domain)]
        return min(max(min(moments) - now_s, LEAST_WAIT_S), LONGEST_WAIT_S)

    # Deeds

    def _ask_window(self, domain: _Domain, authority: Authority) -> None:
        served = self._shelf.get(domain.name)
        if served is None:
            return
        window = domain.notes.window
        try:
            window, pause_s = authority.renewal_window(served.chain_pem)
            domain.unanswered = 0
        except OrderError as error:
            domain.unanswered += 1
            pause_s = renewal.unanswered_pause_s(domain.unanswered, error.is_refusal, error.retry_after_s)
            self._log.warning("the CA does not say when to renew", domain=domain.name, reason=str(error))
        domain.notes = domain.notes._replace(window=window, ask_again_at_s=self._now() + pause_s)
        self._storage.write_notes(domain.name, domain.notes)

    def _order(self, domain: _Domain, authority: Authority) -> None:
        began_s, old = time.monotonic(), self._shelf.get(domain.name)
        preferred = sorted(CHALLENGES, key=lambda name: name != domain.notes.challenge)
        try:
            issued = authority.order(domain.name, preferred, old.chain_pem if old else "")
            served = self._load_new(issued.pem)  # before it takes the place of one that works
        except (OrderError, CertificateError) as error:
            if not self._stopped.is_set():
                self._note_failure(domain, error)
            return
        self._shelf.put(domain.name, served)
        challenge = issued.challenge or domain.notes.challenge
        certificate = self._certificate_of(domain)
        domain.notes = Notes(challenge=challenge, ordered_at_s=self._now(), certificate=certificate)
        domain.flaw = ""
        self._told.pop(domain.name, None)
        took_s = round(time.monotonic() - began_s, 3)
        self._log.info("certificate ordered", **self._described(domain, served), challenge=challenge, took_s=took_s)
        self._keep(domain, issued.pem)

    def _load_new(self, pem: str) -> Served:
        try:
            with self._storage.temporary_file(pem) as path:
                return self._shelf.load(path, pem)
        except StorageError:  # the disk is full since it was looked at; a certificate is too dear to be thrown away
            return self._shelf.load_unstored(pem)

    def _keep(self, domain: _Domain, pem: str) -> None:
        """Stores what is served already."""
        try:
            self._storage.write_pair(domain.name, pem)
            domain.version = self._storage.pair_version(domain.name)
            self._storage.write_notes(domain.name, domain.notes)
        except StorageError as error:
            self._log.error("certificate cannot be kept: a restart orders it again", reason=str(error))

    def _note_failure(self, domain: _Domain, error: OrderError | CertificateError) -> None:
        is_refusal = not isinstance(error, OrderError) or error.is_refusal
        retry_after_s = error.retry_after_s if isinstance(error, OrderError) else 0.0
        trouble = Trouble(_failures(domain) + 1, self._now(), str(error), is_refusal, retry_after_s)
        domain.notes = domain.notes._replace(trouble=trouble)
        at_s = trouble.at_s + trouble.pause_s
        old = self._shelf.get(domain.name)
        serves = f"until {moment(old.validity.not_after_s)}" if old else "no"
        self._log.error(
            "order failed", domain=domain.name, reason=str(error), next_try=moment(at_s), old_one_serves=serves
        )
        self._storage.write_notes(domain.name, domain.notes)

    def _tell_once(self, about: str, sentence: str) -> None:
        if self._told.get(about) != sentence:
            self._told[about] = sentence
            self._log.error("certificates cannot be ordered", reason=sentence)

    def _described(self, domain: _Domain, served: Served) -> dict[str, object]:
        expires = moment(served.validity.not_after_s)
        return {"domain": domain.name, "expires": expires, "renewal": moment(self._due_at_s(domain))}


def _failures(domain: _Domain) -> int:
    return domain.notes.trouble.failures if domain.notes.trouble else 0


def next_order_at_s(name: str, validity: Validity | None, notes: Notes, now_s: float) -> float:
    """When a certificate for `name` is ordered, given the one there is; in the past if that is overdue."""
    try_at_s = renewal.next_try_at_s(notes.trouble, now_s)
    if validity is None:
        return try_at_s
    share = renewal.share_of(name, validity)
    due_at_s = renewal.due_at_s(validity, notes.window, share, ordered_at_s=notes.ordered_at_s, now_s=now_s)
    return max(due_at_s, try_at_s) if notes.trouble else due_at_s
