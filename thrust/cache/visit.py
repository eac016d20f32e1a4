"""One request on its way through the cache: its key, what it allows, and what becomes of the worker's answer to it.

The handler makes a Visit for each request that is not answered at once, and asks it; a Visit does no I/O. It knows the
request and the answer, while `policy` and `freshness` know the rules for both.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from thrust.cache.fingerprint import Recogniser, suits_asset
from thrust.cache.freshness import Use, Validity, judge, may_serve_on_error, request_directives, stored_validity
from thrust.cache.policy import (
    invalidated_targets,
    updated_headers,
    vary_names,
    vary_values,
    why_not_stored,
    why_request_not_stored,
)
from thrust.cache.stored import Key, StoredResponse
from thrust.coding.codings import CODINGS
from thrust.coding.compressible import MIN_BYTES, is_compressible
from thrust.flow import BodyBuffer
from thrust.http.coded import forbids_transformation, varying_by_coding
from thrust.http.conditions import PRECONDITIONS, is_not_modified
from thrust.http.exchange import Exchange
from thrust.http.fields import format_date
from thrust.http.headers import FieldLine, Headers, tokens
from thrust.http.message import Request, Response
from thrust.http.negotiation import IDENTITY

_SAME_AS = {b"x-gzip": b"gzip"}
_CLIENTS_OWN = PRECONDITIONS | {b"if-range", b"range"}
_NOT_IN_BACKGROUND = _CLIENTS_OWN | {b"cache-control", b"pragma"}
_NOT_KEPT = frozenset({b"age", b"cache-status", b"proxy-authentication-info", b"x-cache"})
_ACCEPT_RANGES = (b"accept-ranges", b"bytes")

# What is true of an asset's every answer; other reasons not to keep one say that it was no asset.
_LASTING = frozenset({"no-length", "too-large"})

# With 5xx: statuses that say nothing about the next answer (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4).
_TRANSIENT = frozenset({408, 425, 429})

# To vary by one of these is to be somebody's own page, with secrets in it, however long it lives.
_CREDENTIALS = frozenset({b"authorization", b"cookie"})


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide what is kept: which targets are fingerprinted, how large a body may be, and which
    codings are made of what is stored."""

    recognise: Recogniser
    max_item_bytes: int
    codings: tuple[bytes, ...]


def key_of(request: Request, target: bytes | None = None) -> Key:
    """All of a request by which a resource is selected, as the worker is told it; for `target` if that is another."""
    origin = request.origin
    if origin is None:
        return (target or request.target, request.authority.lower(), request.scheme)
    return (target or request.target, request.authority.lower(), origin.scheme, origin.host.lower(), origin.port)


def changed_keys(request: Request, response: Response) -> list[Key]:
    """What may be another by now, because an unsafe request was answered with success (RFC 9111 §4.4)."""
    origin = request.origin
    scheme, hosts = request.scheme, {request.authority}
    if origin is not None:
        scheme = origin.scheme
        hosts.add(origin.host)  # as a proxy in front of us may say, and links are made of
    return [
        key_of(request, target)
        for host in hosts
        for target in invalidated_targets(
            request.method, response.status, response.headers, scheme=scheme, authority=host, target=request.target
        )
    ]


class Visit:
    """A request and the answer to it, as the cache sees them."""

    __slots__ = (
        "_lacks_conditions",
        "_rules",
        "asked_at_change",
        "directives",
        "follows_until_s",
        "has_met_failure",
        "is_fingerprinted",
        "is_one_of_many",
        "is_plainly_addressed",
        "key",
        "may_share",
        "received_at_s",
        "request",
        "requested_at_s",
        "stored",
    )

    def __init__(self, request: Request, key: Key, rules: Rules) -> None:
        self.request = request
        self.key = key
        self.directives = request_directives(request.headers)
        # The key knows no letter case, the worker may show it: only what was asked for in lower case is for all.
        origin = request.origin
        self.is_plainly_addressed = key[1] == request.authority and (origin is None or key[3] == origin.host)
        self.may_share = (
            self.is_plainly_addressed
            and b"authorization" not in request.headers
            and not why_request_not_stored(request.method, request.headers, origin)
        )
        """Whether the answer may turn out to be one for others, too."""
        self.stored: StoredResponse | None = None
        self.requested_at_s = self.received_at_s = 0.0
        self.asked_at_change = 0
        """How often stored responses had been invalidated when the worker was asked."""
        self.follows_until_s: float | None = None
        """When patience with the flights of others ends; None before the first of them."""
        self.has_met_failure = False
        self.is_one_of_many = False
        """Whether other variants of the resource are stored."""
        self._rules = rules
        self.is_fingerprinted = rules.recognise(request.target)
        self._lacks_conditions = False

    def in_background(self) -> "Visit":
        """The same for a request that nobody waits for, and that wants all of the content."""
        request, now_s = self.request, time.time()
        exchange = Exchange(request.exchange.peer_address, now_s, time.perf_counter())
        lines = [line for line in request.headers.lines if line[0] not in _NOT_IN_BACKGROUND]
        copy = Request(b"GET", request.target, Headers(lines), request.authority, exchange, scheme=request.scheme)
        copy.origin = request.origin
        visit = Visit(copy, self.key, self._rules)
        visit.stored = self.stored
        return visit

    # Others who want the same

    @property
    def may_lead(self) -> bool:
        """Whether others should wait for the answer: not if it may well be a 304 for this client alone."""
        if self.stored is not None or self.is_fingerprinted:
            return True
        return PRECONDITIONS.isdisjoint([name for name, _ in self.request.headers.lines])

    @property
    def may_follow(self) -> bool:
        """Whether an answer that another is waiting for will do; if each use needs validation it will not."""
        if self.stored is not None and self.stored.validity.must_validate:
            return False
        directives = self.directives
        return directives is None or not (directives.no_cache or directives.max_age_s == 0)

    # Asking

    @property
    def forward_reason(self) -> bytes:
        """Why the worker is asked, in the words of RFC 9211 §2.2."""
        if self.stored is None:
            return b"vary-miss" if self.is_one_of_many else b"uri-miss"
        return b"request" if self.stored.validity.is_fresh(self.requested_at_s) else b"stale"

    def lines_to_ask(self) -> list[FieldLine]:
        """The fields with which the worker is asked.

        What is stored and stale is validated by its own validators (RFC 9111 §4.3.1). An asset that is not stored yet
        is asked for as a whole, although this client may have it already. All else passes as it came.
        """
        lines = self.request.headers.lines
        if not self.is_validating and not (self.is_fingerprinted and self.may_share):
            return lines
        asked = [line for line in lines if line[0] not in _CLIENTS_OWN]
        self._lacks_conditions = len(asked) != len(lines)
        if self.stored is not None:
            if self.stored.etag is not None:
                asked.append((b"if-none-match", self.stored.etag))
            if self.stored.last_modified is not None:
                asked.append((b"if-modified-since", self.stored.last_modified))
        return asked

    @property
    def is_validating(self) -> bool:
        """Whether a 304 is about what is stored."""
        stored = self.stored
        has_validator = stored is not None and (stored.etag is not None or stored.last_modified is not None)
        return has_validator and self.may_share

    # Judging the answer

    def may_serve_on_error(self) -> bool:
        """Whether what is stored may stand in for a worker that fails (stale-if-error, RFC 5861 §4)."""
        return self.stored is not None and may_serve_on_error(self.stored.validity, self.directives, time.time())

    def why_not_kept(self, response: Response) -> str:
        """ "" if the response is to be stored, else the reason in a word."""
        if reason := self._why_not_stored(response):
            return reason
        length = len(response.body) if isinstance(response.body, bytes) else response.content_length
        if length is not None and length > self._rules.max_item_bytes:
            return "too-large"
        if isinstance(response.body, BodyBuffer) and response.body.ends_with_connection:
            return "no-length"  # a worker that is killed half way would end it, too
        return _why_coding_forbids(response.headers)

    def _why_not_stored(self, response: Response) -> str:
        reason = why_not_stored(
            self.request.method,
            self.request.headers,
            response.status,
            response.headers,
            requested_at_s=self.requested_at_s,
            received_at_s=self.received_at_s,
            is_fingerprinted=self._is_asset(response.headers),
            origin=self.request.origin,
        )
        return reason or ("" if self.is_plainly_addressed else "host-case")

    def _is_asset(self, response_headers: Headers) -> bool:
        """Whether name and type agree that the content never changes."""
        return self.is_fingerprinted and suits_asset(self.request.target, response_headers.get(b"content-type", b""))

    def is_known_already(self, response: Response) -> bool:
        """Whether the client has the content of a 200, which it was not asked about in its own words."""
        if not self._lacks_conditions or response.status != 200:
            return False
        headers = response.headers
        return is_not_modified(self.request.headers, headers.get(b"etag"), headers.get(b"last-modified"))

    # Keeping it

    def stored_response(self, response: Response, content: bytes) -> StoredResponse:
        """What is stored of a response that may be, with all of its content."""
        headers = response.headers
        own_coding = coding_of(headers) or IDENTITY
        names = vary_names(headers) or ()
        is_dynamic = bool(self._rules.codings) and not _CREDENTIALS.isdisjoint(names)
        may_be_coded = (
            not is_dynamic
            and is_compressible(headers.get(b"content-type", b""))
            and (len(content) >= MIN_BYTES or own_coding != IDENTITY)
            and not forbids_transformation(headers)
        )
        makeable = self._rules.codings if may_be_coded else ()
        lines = self._kept(headers.lines)
        if makeable or own_coding != IDENTITY:
            lines = varying_by_coding(lines)
        if response.status == 200 and own_coding == IDENTITY and b"accept-ranges" not in headers:
            lines.append(_ACCEPT_RANGES)
        return StoredResponse(
            self.key,
            response.status,
            lines,
            content,
            self._validity(response.status, headers),
            own_coding=own_coding,
            makeable=makeable,
            is_dynamic=is_dynamic,
            vary_names=names,
            vary_values=vary_values(names, self.request.headers),
        )

    def confirm(self, stored: StoredResponse, response: Response) -> bool:
        """Takes the fields of a 304 over (RFC 9111 §4.3.4); False if they forbid to keep what it confirms."""
        headers = Headers(updated_headers(stored.lines, response.headers.lines))
        reason = self._why_not_stored(Response(stored.status, headers))
        lines = self._kept(headers.lines)
        if stored.makeable or stored.own_coding != IDENTITY:
            lines = varying_by_coding(lines)
        stored.update(lines, self._validity(stored.status, headers))
        return not reason and vary_names(headers) == stored.vary_names

    def speaks_for_others(self, reason: str) -> bool:
        """Whether what others would be answered is not kept either, for the `reason` for which this answer is not."""
        return self.may_share and self.may_lead and (not self.is_fingerprinted or reason in _LASTING)

    def is_reusable(self, stored: StoredResponse | None) -> bool:
        """Whether others may go on having `stored`, whatever the answer is that has just come."""
        return stored is not None and judge(stored.validity, None, self.received_at_s) is Use.REUSE

    def is_for_others(self, stored: StoredResponse) -> bool:
        """Whether those who asked meanwhile may have it without asking the worker."""
        return judge(stored.validity, None, self.received_at_s) is not Use.VALIDATE

    def is_about(self, stored: StoredResponse, response: Response) -> bool:
        """Whether a 304 confirms what is stored: it may not name the tag of anything else (RFC 9111 §4.3.4)."""
        etag = response.headers.get(b"etag")
        return etag is None or stored.etag is None or etag.removeprefix(b"W/") == stored.etag.removeprefix(b"W/")

    def _validity(self, status: int, headers: Headers) -> Validity:
        return stored_validity(
            status,
            headers,
            requested_at_s=self.requested_at_s,
            received_at_s=self.received_at_s,
            is_fingerprinted=self._is_asset(headers),
        )

    def _kept(self, lines: Sequence[FieldLine]) -> list[FieldLine]:
        """The fields to store: a Date is added where there is none (RFC 9110 §6.6.1)."""
        kept = [line for line in lines if line[0] not in _NOT_KEPT]
        if not any(name == b"date" for name, _ in kept):
            kept.append((b"date", format_date(self.received_at_s)))
        return kept

    def __repr__(self) -> str:
        return f"<Visit {self.request!r} {self.stored!r}>"


def is_transient(status: int) -> bool:
    """Whether the next answer will be another, because this one was an error of the moment."""
    return status >= 500 or status in _TRANSIENT


def coding_of(headers: Headers) -> bytes | None:
    """The content coding of a response, identity if there is none; None for one that we cannot undo, or several."""
    codings = [coding for coding in tokens(headers.get_all(b"content-encoding")) if coding != IDENTITY]
    if not codings:
        return IDENTITY
    coding = _SAME_AS.get(codings[0], codings[0])
    return coding if len(codings) == 1 and coding in CODINGS else None


def _why_coding_forbids(headers: Headers) -> str:
    """What is coded is kept if every client can be served with it, decoded if need be."""
    if b"content-encoding" not in headers:
        return ""
    if coding_of(headers) is None:
        return "coding"
    return "no-transform" if forbids_transformation(headers) else ""
