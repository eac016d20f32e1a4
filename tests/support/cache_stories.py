"""Random stories of clients and a worker, for `cache_plays` to play against a cache.

A story is made by a function that chooses one of several options again and again: hypothesis does so for tests that
shrink what they find, `random` for long runs. Options are sorted by how dull they are. What messages mean is decided
first, and spelled afterwards in one of several ways, so that a judge need not read them.

What a client says in conditions is spelled so that it differs from what the cache says on its own.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from tests.support.cache_judge import http_date
from tests.support.cache_model import FINGERPRINTED, MAX_ITEM_BYTES, Ask, Directives, Said, Seconds
from tests.support.wall_clock import START_S
from thrust.http.headers import FieldLine

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]

TARGETS = (b"/a", b"/a?x=1", b"/b", FINGERPRINTED)
STORE_BYTES = (1_000_000, 1_000_000, 1_000_000, 12_000)
"""Room for all of a story, or for a few responses."""

LIFETIMES: Sequence[Directives] = (
    *[{"max-age": 10}] * 12,
    {"max-age": 60},
    {"max-age": 60},
    {},
    {"s-maxage": 10, "max-age": 1},
    {"s-maxage": 1, "max-age": 60},
    {"max-age": 0},
    {"max-age": "x"},
    {"no-cache": None},
    {"max-age": 2**40},
)
RESTRICTIONS: Sequence[Directives] = (
    *[{}] * 16,
    {"public": None},
    {"no-store": None},
    {"private": None},
    {"must-revalidate": None},
    {"proxy-revalidate": None, "stale-if-error": 30},
    {"no-cache": None},
    {"no-cache": "x-field"},
    {"private": "x-field"},
    *[{"stale-while-revalidate": 10}] * 4,
    *[{"stale-if-error": 30}] * 4,
    {"stale-while-revalidate": 5, "stale-if-error": 5},
    *[{"must-understand": None, "no-store": None}] * 2,
    {"x-unknown": "1"},
)
WISHES: Sequence[Directives] = (
    {"no-cache": None},
    {"no-store": None},
    {"max-age": 0},
    {"max-age": 5},
    {"max-age": 20},
    {"min-fresh": 3},
    {"min-fresh": 20},
    {"max-stale": None},
    {"max-stale": 5},
    {"only-if-cached": None},
    {"stale-if-error": 30},
    {"no-cache": None, "stale-if-error": 30},
    {"max-age": 5, "max-stale": 10},
    {"no-transform": None},
)
VARIES = (
    *[()] * 10,
    ("accept-language",),
    ("x-device",),
    ("accept-language", "x-device"),
    ("accept-encoding",),
    ("cookie",),
    ("*",),
)
STATUSES = (*[200] * 16, 404, 301, 302, 204, 500, 299, 299)


@dataclass(frozen=True)
class Words:
    """How the worker answers for a resource."""

    status: int = 200
    directives: Directives = field(default_factory=lambda: {"max-age": 10})
    spelling: int = 0
    date_ago_s: Seconds = 0
    expires_in_s: int | str | None = None
    age_s: Seconds = None
    vary: tuple[str, ...] = ()
    tag: str = '"'
    has_modified: bool = False
    sets_cookie: bool = False
    coding: str = ""
    size_bytes: int = 60


@dataclass(frozen=True)
class Say:
    """From now on the worker answers for `target` with `words`, and with other content if `is_new`."""

    target: bytes
    words: Words
    is_new: bool


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Request_:
    """A client asks. The rest is how the worker takes it: late, in pieces, with an error, or what it answers to an
    unsafe method."""

    ask: Ask
    spelling: int = 0
    by_short_way: bool = True
    patience_s: float | None = None
    """How long the client waits for an answer."""
    leaves_early: bool = False
    delay_s: float = 0.0
    is_streamed: bool = False
    trouble: str = ""
    unsafe_status: int = 204
    location: bytes = b""
    changes: tuple[bytes, ...] = ()
    """What that Location names, if it is of the same origin."""


Step = Say | Wait | Request_


@dataclass(frozen=True)
class Story:
    steps: Sequence[Step]
    store_bytes: int


# Making a story


def make_story(choose: Choose) -> Story:
    """Up to 16 steps, most of which are about one resource."""
    maker = _Maker(choose)
    steps = [maker.beginning(), *(maker.step() for _ in range(choose(range(2, 16))))]
    return Story(steps, choose(STORE_BYTES))


class _Maker:
    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._versions = dict.fromkeys(TARGETS, 1)
        self._words = dict.fromkeys(TARGETS, Words())
        self._last: Ask | None = None
        self._target = choose(TARGETS)
        self._troubles = choose((("",), ("",) * 6 + ("gone", "503", "breaks"), ("", "gone", "503")))
        self._targets = (self._target,) * 12 + TARGETS

    def beginning(self) -> Step:
        return self._say(self._target)

    def step(self) -> Step:
        match self._choose("aaarrrrrwwws"):
            case "s":
                return self._say(self._choose(self._targets))
            case "w":
                return Wait(self._choose((1.0, 0.25, 0.5, 4.0, 5.0, 9.0, 10.0, 10.0, 10.0, 11.0, 12.0, 30.0, 65.0)))
            case "r" if self._last is not None:
                return self._request(self._last)  # the same once more, in other words
        return self._request(None)

    def _rarely(self, value: T, otherwise: T) -> T:
        return value if self._choose(range(6)) == 5 else otherwise

    def _say(self, target: bytes) -> Say:
        choose = self._choose
        is_new = choose((False, True))
        size = choose((60, 60, 1500, MAX_ITEM_BYTES, MAX_ITEM_BYTES + 1))
        words = Words(
            status=choose(STATUSES),
            directives={**self._lifetime(target), **choose(RESTRICTIONS)},
            spelling=choose(range(4)),
            date_ago_s=self._rarely(choose((5, 20, None)), 0),
            expires_in_s=self._rarely(choose((10, 60, -5, "0")), None),
            age_s=self._rarely(choose((3, 9, 10, 100)), None),
            vary=choose(VARIES),
            tag=choose(('"', '"', 'W/"', "")),
            has_modified=choose((False, True)),
            sets_cookie=self._rarely(True, False),
            coding=self._rarely("gzip", "") if size < MAX_ITEM_BYTES else "",
            size_bytes=size,
        )
        self._words[target] = words
        self._versions[target] += is_new
        return Say(target, words, is_new)

    def _lifetime(self, target: bytes) -> Directives:
        """Nothing is said of most assets."""
        if target == FINGERPRINTED and self._choose((True, True, False)):
            return {}
        return cast(Directives, self._choose(LIFETIMES))

    def _request(self, like: Ask | None) -> Request_:
        choose = self._choose
        ask = self._ask(choose(self._targets) if like is None else like.target, like)
        self._last = ask
        origin = b"http://" + choose((ask.host.lower(), b"evil.example"))
        location = choose((b"", self._target, self._target[1:], origin + self._target))
        is_own = not (location.startswith(b"http://evil") or (ask.target == FINGERPRINTED and location[:1] in b"abs"))
        return Request_(
            ask,
            spelling=choose(range(3)),
            by_short_way=choose((True, True, False)),
            patience_s=self._rarely(choose((0.25, 1.0)), None),
            leaves_early=self._rarely(True, False),
            delay_s=choose((0.0,) * 6 + (0.5, 2.0, 7.0)),
            is_streamed=choose((False, False, True)),
            trouble=choose(self._troubles),
            unsafe_status=choose((204, 200, 303, 404, 500)),
            location=location,
            changes=(self._target,) * (location != b"" and is_own),
        )

    def _ask(self, target: bytes, like: Ask | None) -> Ask:
        choose, rarely = self._choose, self._rarely
        if like is not None and choose((False, False, False, False, True)):
            target = choose(TARGETS)
            return Ask(choose((b"POST", b"DELETE", b"BREW")), target, like.host, {}, ())
        method = choose((b"GET",) * 24 + (b"HEAD", b"HEAD", b"POST", b"DELETE", b"BREW", b"OPTIONS"))
        variant = [
            ("accept-language", choose((None, None, None, ("en",), ("en", "de")))),
            ("x-device", choose((None, None, None, ("phone",)))),
        ]
        ask = Ask(
            method,
            target,
            like.host if like is not None else choose((b"a.example",) * 12 + (b"b.example", b"A.example")),
            {},
            tuple((name, members) for name, members in variant if members is not None),
            accepts=choose(((), ("gzip",), ("br", "gzip"), ("zstd",))),
        )
        if choose((True, True, False)):
            return ask
        known = rarely(self._known(ask), ())
        range_ = choose((None, None, None, (0, 9), (5, None), (None, 7), (100_000, None)))
        return Ask(
            method,
            target,
            ask.host,
            choose(WISHES) if choose((False, True)) else {},
            ask.variant,
            accepts=ask.accepts,
            is_pragma=rarely(True, False),
            has_credentials=rarely(True, False),
            has_content=rarely(True, False),
            has_unkeyed_field=rarely(True, False),
            known_tags=known,
            known_since_s=rarely(choose((modified_s(1), modified_s(2), modified_s(2) + 1)), None),
            range_=range_,
            if_range=choose(("", self._tag(ask), '"old"', http_date(modified_s(self._versions[target])).decode()))
            if range_ is not None
            else rarely('"old"', ""),
        )

    def _known(self, ask: Ask) -> tuple[str, ...]:
        tag = self._tag(ask)
        opaque = tag.removeprefix("W/")
        choices: Sequence[tuple[str, ...]] = (
            (tag or '"none"', '"zz"'),
            (f"W/{opaque}" if opaque else 'W/"none"', '"zz"'),
            ('"zz"', f'{opaque[:-1]}~br"' if opaque else '"none"'),
            ("*",),
            ('"zz"', '"yy"'),
        )
        return cast(tuple[str, ...], self._choose(choices))

    def _tag(self, ask: Ask) -> str:
        return tag_of(ask, self._words[ask.target], self._versions[ask.target])


def language(ask: Ask, words: Words) -> str:
    return ".".join(ask.members("accept-language") or ()) if "accept-language" in words.vary else ""


def tag_of(ask: Ask, words: Words, version: int) -> str:
    name = ask.target.decode().replace("/", "") + "-" + ask.host.decode().lower() + "-" + language(ask, words)
    return f'{words.tag}{name}-{version}"' if words.tag else ""


def modified_s(version: int) -> int:
    return START_S - 100_000 + 100 * version


# Spelling


def spell(directives: Directives, spelling: int) -> list[FieldLine]:
    """Lines of Cache-Control that say the same in several ways."""
    words = [_directive(name, argument, spelling) for name, argument in directives.items()]
    if spelling == 1:
        words = [word.upper() if '"' not in word else word for word in words]
    values = words if spelling == 3 else [(" ,, " if spelling == 2 else ", ").join(words)] * bool(words)
    return [(b"cache-control", value.encode()) for value in values]


def _directive(name: str, argument: int | str | None, spelling: int) -> str:
    if argument is None:
        return name
    if isinstance(argument, int) and spelling in (2, 3):
        return f'{name}="{argument}"' if spelling == 3 else f"{name}=00{argument}"
    return f"{name}={argument}" if isinstance(argument, int) or argument == "1" else f'{name}="{argument}"'


def request_lines(request: Request_) -> list[FieldLine]:
    ask = request.ask
    lines = spell(ask.directives, request.spelling)
    for name, members in ask.variant:
        lines += [(name.encode(), (b" , ", b",", b", ")[request.spelling].join(m.encode() for m in members))]
    if ask.accepts:
        lines.append((b"accept-encoding", ", ".join(ask.accepts).encode()))
    if ask.known_tags:
        lines.append((b"if-none-match", ", ".join(ask.known_tags).encode()))
    if ask.known_since_s is not None:
        lines.append((b"if-modified-since", time.asctime(time.gmtime(ask.known_since_s)).encode()))
    if ask.range_ is not None:
        lines.append((b"range", b"bytes=" + "-".join("" if at is None else str(at) for at in ask.range_).encode()))
    flags = {
        (b"pragma", b"no-cache"): ask.is_pragma,
        (b"authorization", b"Basic dTpw"): ask.has_credentials,
        (b"x-original-url", b"/admin"): ask.has_unkeyed_field,
        (b"if-range", ask.if_range.encode()): bool(ask.if_range),
    }
    return lines + [line for line, is_sent in flags.items() if is_sent]


def response_lines(said: Said, words: Words) -> list[FieldLine]:
    lines = [(b"content-type", b"text/css"), (b"content-location", b"/serial/%d" % said.serial)]
    lines += spell(said.directives, words.spelling)
    lines += [(b"vary", name.encode()) for name in said.vary]
    values = {
        b"date": None if said.date_s is None else http_date(said.date_s),
        b"expires": http_date(said.expires_s) if isinstance(said.expires_s, int) else said.expires_s,
        b"age": said.age_s,
        b"etag": said.etag,
        b"last-modified": None if said.modified_s is None else http_date(said.modified_s),
        b"set-cookie": b"a=1" if said.sets_cookie else None,
        b"content-encoding": said.coding,
    }
    for name, value in values.items():
        if value is not None and value != "":
            lines.append((name, value if isinstance(value, bytes) else str(value).encode()))
    return lines
