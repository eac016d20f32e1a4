"""Judges what clients got in a story: whether it may have come from memory, and whether it had to (`cache_model`).

Two kinds of complaint: what was answered from memory had no right to be, or is not what is stored; and the worker was
asked although a fresh response to a plain request is promised to come from memory, or to be waited for.
"""

import re
from collections.abc import Iterator, Sequence
from email.utils import formatdate

from tests.support.cache_model import (
    UNSAFE,
    Ask,
    Call,
    Entry,
    Key,
    Reply,
    Said,
    Seconds,
    confirms,
    entries,
    is_promised,
    is_same_variant,
    why_not_storable,
    why_not_usable,
    why_words_forbid,
)

FOLLOW_S = 5.0
"""How long our cache waits for an answer that another is waiting for."""

MIN_CODED_BYTES = 1024
"""Less content than that our cache never codes."""

FAILURE_S = 1.0
"""For so long after an error our cache takes it for granted that the worker would fail again."""


class Judge:
    """Knows all calls of a story, once it is over. A cache that `forgets` has no room for everything."""

    def __init__(self, calls: Sequence[Call], *, forgets: bool) -> None:
        self._calls = calls
        self._forgets = forgets
        self._entries = list(entries(calls))
        self._ended = [
            (call.ended_tick, {call.ask.key, *((target, call.ask.host.lower()) for target in call.said.changes)})
            for call in calls
            if call.said is not None and call.ask.method in UNSAFE and 200 <= call.said.status < 400
        ]

    def complaints(self, reply: Reply) -> Iterator[str]:
        """What is wrong with `reply`."""
        if reply.error:
            if not any(call.said is None or not call.is_complete for call in self._calls):
                yield f"failed without a reason: {reply.error}"
            return
        own = reply.calls
        if len(own) > 1 and (own[0].said is None or own[0].said.status != 304):
            yield "the worker was asked twice"
        if reply.ask.method not in (b"GET", b"HEAD") and not own:
            yield "the worker was not asked"
        if reply.log_word.encode() not in reply.get(b"x-cache"):
            yield "the log and X-Cache do not agree"
        if self._is_direct(reply):
            yield from self._of_a_direct_answer(reply, own[-1])
        elif not own and reply.status == 504 and "only-if-cached" in reply.ask.directives:
            pass
        else:
            yield from self._of_a_stored_answer(reply)
        if own:
            yield from self._of_asking(reply, own[0])

    def _is_direct(self, reply: Reply) -> bool:
        call = reply.calls[-1] if reply.calls else None
        if call is None or call.said is None or call.said.serial != reply.serial:
            return False
        return call.said.status != 304 or call.validates is None

    def _of_a_direct_answer(self, reply: Reply, call: Call) -> Iterator[str]:
        said = call.said
        assert said is not None
        if reply.get(b"x-cache") == [b"hit"]:
            yield "the worker was asked, but X-Cache says hit"
        if reply.status == 304 and said.status == 200:
            if not knows(reply.ask, said.etag, said.modified_s):
                yield "304 for a client that does not have it"
        elif reply.status != said.status:
            yield f"the worker's {said.status} became {reply.status}"
        elif said.content is not None and reply.content is not None and said.status != 206:
            expected = b"" if reply.ask.method == b"HEAD" else said.content
            if reply.content != expected:
                yield "the worker's content was changed"

    def _of_a_stored_answer(self, reply: Reply) -> Iterator[str]:
        """The least that is wrong with it, whichever of the entries that it may come from is looked at."""
        if not reply.calls and reply.get(b"x-cache") != [b"hit"]:
            yield "from memory, but X-Cache does not say hit"
        found = [
            [*self._of_permission(reply, entry), *wrong_fields(reply, entry), *wrong_content(reply, entry)]
            for entry in self._entries
            if reply.status == 416 or entry.said.serial == reply.serial
        ]
        yield from min(found, key=len) if found else ["from nowhere"]

    def _of_permission(self, reply: Reply, entry: Entry) -> list[str]:
        """Why `entry`, or what another's 304 has made it of while a coding was being made for `reply`, was not to be
        used."""
        befores = [
            list(self._of_use(reply, before))
            for before in self._entries
            if before is entry
            or (before.content is entry.content and before.confirmed.ended_tick < entry.confirmed.ended_tick)
            and reply.asked_tick < entry.confirmed.ended_tick < reply.answered_tick
        ]
        return min(befores, key=len)

    def _of_use(self, reply: Reply, entry: Entry) -> Iterator[str]:
        ask, now_s = reply.ask, reply.answered_s
        if entry.content.ask.key != ask.key:
            yield "another resource"
        if reason := why_not_storable(entry.content):
            yield f"stored although: {reason}"
        if any(call is entry.content or confirms(call, entry.content) for call in reply.calls):
            return  # by its own answer, or its own validation
        if not is_same_variant(entry, ask):
            yield "another variant"
        if reason := self._why_forbidden(entry):
            yield f"stored although: {reason}"
        has_failed = self._has_failed(reply)
        if reply.calls and not has_failed:
            yield "the worker's answer was ignored"
        if reply.get(b"set-cookie"):
            yield "somebody's cookie"
        if reason := why_not_usable(entry, ask, now_s, has_failed=has_failed):
            yield f"used although: {reason}"
        if self._has_ended(ask.key, entry.confirmed.started_tick, reply.asked_tick):
            yield "invalidated"

    def _has_failed(self, reply: Reply) -> bool:
        """Whether the worker has failed to answer this, or the same a moment ago."""
        return any(
            call.said is None or call.said.status >= 500
            for call in self._calls
            if call in reply.calls
            or (call.ask.key == reply.ask.key and 0 <= reply.answered_s - call.ended_s <= FAILURE_S and call.ended_tick)
        )

    def _why_forbidden(self, entry: Entry) -> str:
        return why_words_forbid(entry.said, entry.content.ask) or (
            "" if entry.lifetime_s() is not None or "no-cache" in entry.said.directives else "nothing said of freshness"
        )

    def _has_ended(self, key: Key, after_tick: int, before_tick: int) -> bool:
        """Whether an unsafe request has ended the validity of `key` in between (§4.4)."""
        return any(after_tick < tick < before_tick and key in keys for tick, keys in self._ended)

    def _of_asking(self, reply: Reply, own: Call) -> Iterator[str]:
        """Whether memory would have had the answer to a plain request, or was to be the only one to have it."""
        if "only-if-cached" in reply.ask.directives and reply.ask.method == b"GET" and not reply.ask.has_content:
            yield "the worker was asked for what is only wanted if cached"
        if self._forgets or not reply.ask.is_plain:
            return
        earlier = [
            call
            for call in self._calls
            if call.ask.key == reply.ask.key and call is not own and call.started_tick < own.started_tick
        ]
        if not earlier:
            return
        last = max(earlier, key=lambda call: call.ended_tick)
        if last.ended_tick < reply.asked_tick:
            if self._is_promised(last, reply, reply.asked_s):
                yield "asked the worker for what is fresh in memory"
        elif self._is_worth_waiting_for(last, earlier, reply):
            yield "asked the worker for what was on its way"

    def _is_promised(self, last: Call, reply: Reply, now_s: float) -> bool:
        """Whether `last`, after which nothing happened to its resource, has left something for `reply`."""
        found = [entry for entry in self._entries if entry.confirmed is last]
        return (
            len(found) == 1
            and found[0].said.status < 500  # one error may stand in for another
            and self._keeps_vary(found[0])  # which variant did the 304 mean?
            and is_promised(found[0], now_s)
            and is_same_variant(found[0], reply.ask)
            and not self._has_ended(reply.ask.key, found[0].content.started_tick, reply.asked_tick)
        )

    def _keeps_vary(self, entry: Entry) -> bool:
        return entry.content.said is not None and entry.said.vary == entry.content.said.vary

    def _is_worth_waiting_for(self, leader: Call, earlier: Sequence[Call], reply: Reply) -> bool:
        """Whether `reply` had to wait for a plain request that was under way, the first for its resource."""
        return (
            len(earlier) == 1
            and leader.ask.is_plain
            and leader.ask.method == reply.ask.method == b"GET"
            and leader.ask.host == reply.ask.host
            and leader.started_tick < reply.asked_tick < leader.ended_tick
            and leader.ended_s - reply.asked_s < FOLLOW_S
            and self._is_promised(leader, reply, leader.ended_s)
            and not self._has_ended(reply.ask.key, leader.started_tick, reply.calls[0].started_tick)
        )


# Fields, conditions, ranges


def http_date(seconds: float) -> bytes:
    return formatdate(int(seconds), usegmt=True).encode()


def wrong_fields(reply: Reply, entry: Entry) -> Iterator[str]:
    """Age (§5.1), and the fields that are as they were stored."""
    said = entry.said
    age = b"%d" % entry.age_s(reply.answered_s)
    if reply.get(b"age") != [age] and (age != b"0" or reply.get(b"age") or reply.get(b"x-cache") != [b"miss"]):
        yield f"Age {reply.get(b'age')} instead of {entry.age_s(reply.answered_s)}"
    codings = {coding.decode() for coding in reply.get(b"content-encoding")}
    if not codings <= set(reply.ask.accepts):
        yield "a coding that the client does not accept"
    if not codings <= {said.coding, *may_be_coded_in(reply.ask, entry)}:
        yield "coded although it should stay as it was"
    expected_s = int(entry.confirmed.headed_s) if said.date_s is None else said.date_s
    if reply.status != 416 and reply.get(b"date") != [http_date(expected_s)]:
        yield "another Date"
    if reply.status != 416 and b"".join(reply.get(b"etag")).decode() not in _tags(reply, said):
        yield f"ETag {reply.get(b'etag')} from {said.etag}"
    vary = b", ".join(reply.get(b"vary"))
    if reply.get(b"content-encoding") and b"accept-encoding" not in vary and b"*" not in vary:
        yield "coded without Vary: Accept-Encoding"


def _tags(reply: Reply, said: Said) -> set[str]:
    """What may stand in ETag: one tag for each coding, as long as it is strong."""
    if not said.etag.startswith('"'):
        return {said.etag}
    coded = {f'{said.etag[:-1]}~{coding}"' for coding in reply.ask.accepts}
    if said.coding:  # the worker's own tag, a weak one for what has been decoded
        return {said.etag, f"W/{said.etag}", *coded}
    if reply.status == 304:  # which does not say what it is about
        return {said.etag, *coded}
    return coded if reply.get(b"content-encoding") else {said.etag}


def may_be_coded_in(ask: Ask, entry: Entry) -> set[str]:
    """The codings that a cache may use by itself: none if the client forbids it (RFC 9111 §5.2.1.6), and none for what
    is somebody's own page (BREACH)."""
    stored = entry.content.said
    assert stored is not None and stored.content is not None
    if "no-transform" in ask.directives or "cookie" in stored.vary:
        return set()
    return set(ask.accepts) if stored.coding or len(stored.content) >= MIN_CODED_BYTES else set()


def wrong_content(reply: Reply, entry: Entry) -> Iterator[str]:
    """Status and content: 200, or what conditions and ranges make of it (RFC 9110 §13, §14)."""
    ask, said = reply.ask, entry.said
    assert said.content is not None
    modified_s = said.modified_s if said.modified_s is not None else said.date_s
    if said.status == 200 and knows(ask, said.etag, modified_s):
        if reply.status != 304:
            yield f"{reply.status} for a client that has it"
        return
    expected_status, expected = said.status, said.content
    if ask.method == b"GET" and said.status == 200 and ask.range_ is not None and _may_use_range(ask, entry):
        expected_status, expected = part(ask.range_, said.content)
    if reply.status != expected_status:
        yield f"{reply.status} instead of {expected_status}"
    elif ask.method == b"HEAD":
        pass
    elif reply.content is not None and reply.status != 416 and reply.content != expected:
        yield "other content"
    elif reply.status == 206:
        start = said.content.find(expected)
        if reply.get(b"content-range") != [b"bytes %d-%d/%d" % (start, start + len(expected) - 1, len(said.content))]:
            yield f"content-range {reply.get(b'content-range')}"


def knows(ask: Ask, etag: str, modified_s: Seconds) -> bool:
    """If-None-Match by weak comparison, or else If-Modified-Since.

    Our part may stand in the tag (`~br`) if the client would accept that coding.
    """
    if ask.known_tags:
        opaque = etag.removeprefix("W/")
        codings = "|".join(ask.accepts if "no-transform" not in ask.directives else ()) or "none"
        known = {re.sub(rf'~({codings})"$', '"', tag.removeprefix("W/")) for tag in ask.known_tags}
        return "*" in known or (bool(etag) and opaque in known)
    return ask.known_since_s is not None and modified_s is not None and modified_s <= ask.known_since_s


def _may_use_range(ask: Ask, entry: Entry) -> bool:
    """If-Range by strong comparison, with the tag of the plain content, of which parts are sent.

    A date is the same for all codings, so it does only for a client that has got none.
    """
    said = entry.said
    if said.modified_s is not None and ask.if_range.encode() == http_date(said.modified_s):
        return not (may_be_coded_in(ask, entry) or said.coding in ask.accepts)
    return not ask.if_range or (ask.if_range == said.etag and said.etag.startswith('"') and not said.coding)


def part(range_: tuple[int | None, int | None], content: bytes) -> tuple[int, bytes]:
    """Status and content of the answer to a single range."""
    first, last = range_
    if first is None:
        assert last is not None
        return (206, content[-last:]) if last else (416, b"")
    if first >= len(content):
        return 416, b""
    return 206, content[first : len(content) if last is None else last + 1]
