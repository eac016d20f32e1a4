"""What a shared cache may store and reuse, written from RFC 9111 and RFC 5861 alone; `cache_judge` applies it.

Independent of `thrust.cache`: it never reads a field value, because a story (`cache_stories`) knows what each message
means before it spells it. It does not play the cache either: it says what may come of what the worker was asked and
said (Call). Where the RFC leaves a choice, everything that it allows is allowed here.

Times are seconds of the story's clock. Ticks put all events in order, also those of the same moment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

MAX_ITEM_BYTES = 4000
FINGERPRINTED = b"/static/app-3f9a2c1b7d.js"

# RFC 9110 §15.1 by heart, without 206; and what a cache may claim to understand beyond (RFC 9111 §5.2.2.3).
HEURISTICALLY_CACHEABLE = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}
UNDERSTOOD = HEURISTICALLY_CACHEABLE | {302, 307, 403, 500, 503}
UNSAFE = {b"POST", b"PUT", b"DELETE", b"PATCH", b"BREW"}

Seconds = int | None
Directives = Mapping[str, int | str | None]
"""Name → number of seconds, None without an argument, or text that is no number where one is due."""

Key = tuple[bytes, bytes]


@dataclass(frozen=True)
class Said:
    """A worker's answer, in meaning. `content` is None for a 304, and plain also where `coding` is applied to it."""

    serial: int
    status: int
    content: bytes | None
    directives: Directives = field(default_factory=dict)
    date_s: Seconds = None
    expires_s: int | str | None = None
    age_s: Seconds = None
    vary: tuple[str, ...] = ()
    etag: str = ""
    modified_s: Seconds = None
    sets_cookie: bool = False
    coding: str = ""
    changes: tuple[bytes, ...] = ()
    """Targets that its Location and Content-Location name, if of the same origin."""


@dataclass(frozen=True, repr=False)
class Ask:
    """A client's request, in meaning. `known_tags` and `known_since_s` are If-None-Match and If-Modified-Since."""

    method: bytes
    target: bytes
    host: bytes
    directives: Directives
    variant: tuple[tuple[str, tuple[str, ...]], ...]
    """Fields that a Vary may name, with their members."""
    accepts: tuple[str, ...] = ()
    """Content codings."""
    is_pragma: bool = False
    has_credentials: bool = False
    has_content: bool = False
    has_unkeyed_field: bool = False
    known_tags: tuple[str, ...] = ()
    known_since_s: Seconds = None
    range_: tuple[int | None, int | None] | None = None
    """First and last position, as in a Range field; (None, n) for the last n bytes."""
    if_range: str = ""

    @property
    def key(self) -> Key:
        return self.target, self.host.lower()

    @property
    def is_plain(self) -> bool:
        """Whether it asks for nothing but the resource."""
        return (
            self.method in (b"GET", b"HEAD")
            and not self.directives
            and not (self.is_pragma or self.has_credentials or self.has_content or self.has_unkeyed_field)
            and not (self.known_tags or self.known_since_s is not None or self.range_ or self.if_range)
        )

    def __repr__(self) -> str:
        said = {
            name: value
            for name in self.__dataclass_fields__
            if (value := getattr(self, name)) not in ((), {}, "", None)
        }
        return "Ask(" + ", ".join(f"{name}={value!r}" for name, value in said.items() if value is not False) + ")"

    def members(self, name: str) -> tuple[str, ...] | None:
        return dict(self.variant).get(name)


@dataclass(eq=False)
class Call:
    """A request that reached the worker. `said` is None if the worker failed. `validates` has the tag and the date
    with which the cache itself made it conditional, None if it did not."""

    ask: Ask
    started_s: float
    started_tick: int
    validates: tuple[str, Seconds] | None = None
    said: Said | None = None
    headed_s: float = 0.0
    """When the head of the answer arrived; its content may take longer."""
    ended_s: float = 0.0
    ended_tick: int = 0
    """0 while it is under way."""
    is_complete: bool = False
    """Whether all of the answer arrived."""


@dataclass(eq=False, repr=False)
class Reply:
    """What a client got. `content` is decoded; None if it broke off, or the client left. `calls` are its own."""

    ask: Ask
    asked_s: float
    asked_tick: int
    calls: list[Call]
    answered_s: float = 0.0
    answered_tick: int = 0
    status: int = 0
    lines: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: bytes | None = None
    error: str = ""
    log_word: str = ""

    def __repr__(self) -> str:
        calls = [f"{call.started_tick}-{call.ended_tick} {call.said and call.said.status}" for call in self.calls]
        content = self.content if self.content is None else self.content[:50]
        return f"{self.asked_tick}-{self.answered_tick} {self.ask} {calls} {self.status} {self.lines} {content!r}"

    def get(self, name: bytes) -> list[bytes]:
        return [value for line_name, value in self.lines if line_name == name]

    @property
    def serial(self) -> int:
        """Which of the worker's answers the fields come from, as Content-Location says; 0 if none."""
        return next((int(value[8:]) for value in self.get(b"content-location") if value.startswith(b"/serial/")), 0)


@dataclass(frozen=True)
class Entry:
    """Something that may be stored: the content of one call, with the fields that later 304s have renewed (§3.2)."""

    content: Call
    confirmed: Call
    said: Said

    def lifetime_s(self) -> Seconds:
        """§4.2.1; None if nothing was said about it."""
        said = self.said
        for name in ("s-maxage", "max-age"):
            if name in said.directives:
                return number(said.directives[name]) or 0
        if isinstance(said.expires_s, int):
            made_s = int(self.confirmed.headed_s) if said.date_s is None else said.date_s
            return max(0, said.expires_s - made_s)
        if said.expires_s is not None:
            return 0
        if self.content.ask.target == FINGERPRINTED and said.status == 200 and "cookie" not in said.vary:
            return 365 * 86400 if not {"no-store", "private", "no-cache"} & said.directives.keys() else None
        return None

    def age_s(self, now_s: float) -> float:
        """§4.2.3. A Date has whole seconds: what was made in this one is not yet old."""
        call = self.confirmed
        apparent_s = 0 if self.said.date_s is None else max(0, int(call.headed_s) - self.said.date_s)
        corrected_s = (self.said.age_s or 0) + call.headed_s - call.started_s
        return max(apparent_s, corrected_s) + now_s - call.headed_s

    def stale_for_s(self, now_s: float) -> float:
        return self.age_s(now_s) - (self.lifetime_s() or 0)


def number(argument: int | str | None) -> Seconds:
    return argument if isinstance(argument, int) else None


# What may be stored (§3)


def why_not_storable(call: Call) -> str:
    """Why nobody may get from memory what this call brought, "" if nothing speaks against it."""
    said, ask = call.said, call.ask
    if said is None or not call.is_complete or said.content is None:
        return "incomplete"
    reasons = {
        "not a GET": ask.method != b"GET",
        "a request with content": ask.has_content,
        "a partial response": said.status in (206, 304, 416),
        "too large": len(said.content) > MAX_ITEM_BYTES,
        "shaped by an unkeyed field": ask.has_unkeyed_field,
        "no-store in the request": "no-store" in ask.directives,
        "asked for in upper case": ask.host != ask.host.lower(),
    }
    return next((reason for reason, is_true in reasons.items() if is_true), "") or why_words_forbid(said, ask)


def why_words_forbid(said: Said, ask: Ask) -> str:
    """The part of it that a 304 can change."""
    words = said.directives
    understood = "must-understand" in words and said.status in UNDERSTOOD
    shared = {"public", "must-revalidate", "s-maxage"} & words.keys()
    reasons = {
        "sets a cookie": said.sets_cookie,
        "no-store": "no-store" in words and not understood,
        "must-understand": "must-understand" in words and not understood,
        "private": "private" in words,
        "credentials": ask.has_credentials and not shared,
        "Vary: *": "*" in said.vary,
    }
    return next((reason for reason, is_true in reasons.items() if is_true), "")


def is_promised(entry: Entry, now_s: float) -> bool:
    """Whether the next plain request gets it from memory, because nothing forbids that and our documents say so."""
    return (
        not why_not_storable(entry.content)
        and not why_words_forbid(entry.said, entry.content.ask)
        and entry.content.ask.range_ is None
        and "no-cache" not in entry.said.directives
        and entry.stale_for_s(now_s) < 0
    )


# What may be used (§4)


def why_not_usable(entry: Entry, ask: Ask, now_s: float, *, has_failed: bool) -> str:
    """Why it may not answer `ask` without having been validated; `has_failed` if that was tried in vain."""
    words, wishes = entry.said.directives, ask.directives
    if "no-cache" in words:
        return "no-cache"
    tolerates_s = number(wishes.get("stale-if-error")) or 0
    wants_validation = "no-cache" in wishes or (ask.is_pragma and not wishes)
    if wants_validation and not (has_failed and tolerates_s):
        return "the client said no-cache"
    if not has_failed:
        if "max-age" in wishes and entry.age_s(now_s) > (number(wishes["max-age"]) or 0):
            return "older than the client wants"
        if "min-fresh" in wishes and -entry.stale_for_s(now_s) < (number(wishes["min-fresh"]) or 0):
            return "not fresh for as long as the client wants"
    return _why_too_stale(entry, wishes, entry.stale_for_s(now_s), tolerates_s if has_failed else None)


def _why_too_stale(entry: Entry, wishes: Directives, stale_for_s: float, tolerates_s: Seconds) -> str:
    words = entry.said.directives
    if stale_for_s < 0:
        return ""
    if {"must-revalidate", "proxy-revalidate", "s-maxage"} & words.keys():
        return "stale, and must be validated"
    if "max-stale" in wishes:
        most_s = wishes["max-stale"]
        if most_s is None or (isinstance(most_s, int) and stale_for_s <= most_s):
            return ""
    elif "max-age" in wishes and tolerates_s is None:
        return "stale for a client that gave a max-age"
    if stale_for_s < (number(words.get("stale-while-revalidate")) or 0):
        return ""
    if tolerates_s is not None and stale_for_s < max(tolerates_s, number(words.get("stale-if-error")) or 0):
        return ""
    return "stale"


def is_same_variant(entry: Entry, ask: Ask) -> bool:
    """§4.1; codings are compared by what they decode to."""
    names = set(entry.said.vary) - {"accept-encoding"}
    return all(entry.content.ask.members(name) == ask.members(name) for name in names)


# Entries that the calls may have led to


def entries(calls: Sequence[Call]) -> Iterator[Entry]:
    """Everything that was complete, as it came and after each 304 that confirmed it."""
    for call in calls:
        if call.said is None or not call.is_complete or call.said.content is None or call.ask.method != b"GET":
            continue
        entry = Entry(call, call, call.said)
        yield entry
        validators = {(call.said.etag, call.said.modified_s)}
        for other in sorted(calls, key=lambda other: other.ended_tick):
            if other.validates in validators and confirms(other, call):
                assert other.said is not None
                entry = Entry(call, other, merged(entry.said, other.said))
                validators.add((entry.said.etag, entry.said.modified_s))
                yield entry


def confirms(other: Call, call: Call) -> bool:
    """Whether `other` can be a successful validation of what `call` brought (§4.3.4)."""
    is_success = other.said is not None and other.said.status == 304 and other.validates is not None
    return is_success and other.ask.key == call.ask.key and call.ended_tick < other.ended_tick


def merged(old: Said, new: Said) -> Said:
    """The stored fields after a 304 with `new`: what it names is replaced (§3.2). Date and Age are of one message."""
    named: dict[str, object] = {"serial": new.serial, "date_s": new.date_s, "age_s": new.age_s}
    for name in ("directives", "expires_s", "vary", "etag", "modified_s"):
        value = getattr(new, name)
        if value or value == 0:
            named[name] = value
    return replace(old, **named)  # type: ignore[arg-type]
