"""Random conversations of clients, cache and worker, played on a clock that jumps, for `cache_model` to judge.

A story is made first, by a function that chooses one of several options again and again: hypothesis does so for tests
that shrink what they find, `random` for long runs. Options are sorted by how dull they are. Then it is played against
thrust.handlers.cache, with a worker that keeps versions of a few resources and evaluates conditions and ranges.

Every answer of the worker has a serial, in Content-Location and in its content, and Content-Location is also in 304s.
What a client says in conditions is spelled so that it differs from what the cache says on its own.
"""

import asyncio
import gzip
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from tests.support.background_coding import CoderOnDemand, coding_on_demand
from tests.support.cache_model import (
    FINGERPRINTED,
    MAX_ITEM_BYTES,
    Ask,
    Call,
    Directives,
    Judge,
    Reply,
    Said,
    Seconds,
    http_date,
    knows,
    part,
)
from tests.support.clock import JumpingLoop, run_jumping
from tests.support.wall_clock import START_S, wall_clock
from thrust.cache.fingerprint import recogniser
from thrust.cache.serving import Serving
from thrust.cache.store import Store
from thrust.cache.visit import Rules
from thrust.coding.codings import decompress
from thrust.errors import ThrustError, UpstreamError
from thrust.handlers.cache import Cache
from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Body, Request, Response

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]

TARGETS = (b"/a", b"/a?x=1", b"/b", FINGERPRINTED)
STORE_BYTES = 1_000_000

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
)
VARIES = (*[()] * 10, ("accept-language",), ("x-device",), ("accept-language", "x-device"), ("accept-encoding",), ("cookie",), ("*",))
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
    leaves_early: bool = False
    delay_s: float = 0.0
    is_streamed: bool = False
    trouble: str = ""
    unsafe_status: int = 204
    location: bytes = b""
    changes: tuple[bytes, ...] = ()
    """What that Location names, if it is of the same origin."""


Step = Say | Wait | Request_


# Making a story


def make_story(choose: Choose) -> list[Step]:
    """Up to 16 steps, most of which are about one resource."""
    maker = _Maker(choose)
    return [maker.beginning(), *(maker.step() for _ in range(choose(range(2, 16))))]


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
            directives={**choose(LIFETIMES), **choose(RESTRICTIONS)},
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
            range_=rarely(choose(((0, 9), (5, None), (None, 7), (100_000, None))), None),
            if_range=rarely(self._tag(ask), ""),
        )

    def _known(self, ask: Ask) -> tuple[str, ...]:
        tag = self._tag(ask)
        opaque = tag.removeprefix("W/")
        return self._choose(
            (
                (tag or '"none"', '"zz"'),
                (f"W/{opaque}" if opaque else 'W/"none"', '"zz"'),
                ('"zz"', f'{opaque[:-1]}~br"' if opaque else '"none"'),
                ("*",),
                ('"zz"', '"yy"'),
            )
        )

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


# Playing it


class Stream:
    """A body that takes its time, and may break off."""

    def __init__(self, pieces: list[bytes], pause_s: float, on_end: Callable[[bool], None], breaks: bool) -> None:
        self._pieces = pieces
        self._pause_s = pause_s
        self._on_end = on_end
        self._breaks = breaks
        self.trailers: list[FieldLine] = []

    async def read(self) -> bytes:
        await asyncio.sleep(self._pause_s)
        if self._breaks and len(self._pieces) == 1:
            self._on_end(False)
            raise UpstreamError("the worker closed the connection in the middle of its response")
        if not self._pieces:
            self._on_end(True)
            return b""
        return self._pieces.pop(0)

    def close(self) -> None:
        self._on_end(False)


class Play:
    """One story being played: `calls` and `replies` are what came of it."""

    def __init__(self, coder: CoderOnDemand) -> None:
        self._coder = coder
        self.calls: list[Call] = []
        self.replies: list[Reply] = []
        self.faults: list[str] = []
        self._tick = 0
        self._words = dict.fromkeys(TARGETS, Words())
        self._versions = dict.fromkeys(TARGETS, 1)
        self._asked: list[tuple[Request_, Reply, Exchange]] = []
        self.store = Store(STORE_BYTES)
        self.cache = Cache(
            self._work,
            self.store,
            Serving(self.store, (b"br", b"zstd", b"gzip")),
            Rules(recogniser(True), MAX_ITEM_BYTES, makes_codings=True),
        )

    def tick(self) -> int:
        self._tick += 1
        return self._tick

    async def play(self, steps: Sequence[Step]) -> None:
        """Returns when everything has happened that comes of `steps`."""
        async with asyncio.TaskGroup() as clients:
            for step in steps:
                match step:
                    case Wait(seconds):
                        self._coder.work()
                        await asyncio.sleep(seconds)
                    case Say(target, words, is_new):
                        self._words[target] = words
                        self._versions[target] += is_new
                    case Request_():
                        clients.create_task(self._ask(step))
                        await asyncio.sleep(0)
        await asyncio.sleep(100)
        if "0 under way" not in repr(self.cache):
            self.faults.append(f"something is left: {self.cache!r}")
        if self.store.used_bytes != sum(stored.size_bytes for stored in self.store):
            self.faults.append("the store's sum is wrong")

    # The client

    async def _ask(self, step: Request_) -> None:
        now_s = time.time()
        reply = Reply(step.ask, now_s, self.tick(), [])
        exchange = Exchange("198.51.100.7", now_s, now_s)
        lines = [(b"user-agent", b"%d" % len(self._asked)), *request_lines(step)]
        self._asked.append((step, reply, exchange))
        request = Request(
            step.ask.method,
            step.ask.target,
            Headers(list(lines)),
            step.ask.host,
            exchange,
            body=b"x" if step.ask.has_content else b"",
            content_length=1 if step.ask.has_content else 0,
        )
        try:
            response = (self.cache.at_once(request) if step.by_short_way else None) or await self.cache(request)
        except ThrustError as error:
            reply.error = str(error)
        except Exception as error:
            self.faults.append(f"{error!r}")
            raise
        else:
            reply.status, reply.lines = response.status, list(response.headers.lines)
            reply.answered_s, reply.answered_tick = time.time(), self.tick()
            reply.log_word = exchange.cache
            await self._read(reply, response, step)
        if request.headers.lines != lines:
            self.faults.append("the request's fields were left changed")
        self.replies.append(reply)

    async def _read(self, reply: Reply, response: Response, step: Request_) -> None:
        body = response.body
        if not isinstance(body, bytes):
            pieces = []
            try:
                while piece := await body.read():  # type: ignore[union-attr]
                    pieces.append(piece)
                    if step.leaves_early:
                        return
            except ThrustError:
                return
            finally:
                response.close()
            body = b"".join(pieces)
        if reply.status not in (206, 304) and (coding := Headers(reply.lines).get(b"content-encoding")):
            body = b"" if step.ask.method == b"HEAD" else decompress(coding, body, 100_000)
        reply.content = body

    # The worker

    async def _work(self, request: Request) -> Response:
        step, reply, exchange = self._asked[int(request.headers.get(b"user-agent", b""))]
        ask, is_own = step.ask, request.exchange is exchange
        if not is_own:  # the cache asks by itself, as this client did
            ask = replace(Ask(b"GET", ask.target, ask.host, {}, ask.variant), accepts=ask.accepts)
        call = Call(ask, time.time(), self.tick(), _validated_by(request.headers))
        self.calls.append(call)
        if is_own:
            reply.calls.append(call)
        await asyncio.sleep(step.delay_s)
        if step.trouble == "gone":
            self._end(call, False)
            raise UpstreamError("the worker is gone")
        words = self._words[ask.target]
        call.headed_s = time.time()
        call.said = said = self._say(ask, call, words, step)
        lines = response_lines(said, words)
        if ask.method in _UNSAFE and step.location:
            lines.append((b"location", step.location))
        content = b"" if said.content is None or ask.method == b"HEAD" else said.content
        if said.coding and content:
            content = gzip.compress(content, 1)
        body: Body = content
        breaks = step.trouble == "breaks"
        if content and (step.is_streamed or breaks) and said.status != 206 and ask.method not in _UNSAFE:
            third = len(content) // 3 + 1
            pieces = [content[at : at + third] for at in range(0, len(content), third)]
            body = Stream(pieces, step.delay_s / 4, lambda is_whole: self._end(call, is_whole), breaks)
        else:
            self._end(call, True)
        return Response(said.status, Headers(lines), body, len(content) if step.spelling == 1 else None)

    def _end(self, call: Call, is_whole: bool) -> None:
        if not call.ended_tick:
            call.ended_s, call.ended_tick, call.is_complete = time.time(), self.tick(), is_whole

    def _say(self, ask: Ask, call: Call, words: Words, step: Request_) -> Said:
        serial, version, date_s = self.calls.index(call) + 1, self._versions[ask.target], int(time.time())
        if step.trouble == "503":
            return Said(serial, 503, b"sorry", date_s=date_s)
        if ask.method in _UNSAFE:
            return Said(serial, step.unsafe_status, b"done", date_s=date_s, changes=step.changes)
        tag, modified = tag_of(ask, words, version), modified_s(version) if words.has_modified else None
        status, content = words.status, _content(ask, words, version, serial)
        if status == 200 and ask.method in (b"GET", b"HEAD"):
            status, content = _conditional(ask, call, tag, modified, content)
        date = None if words.date_ago_s is None else date_s - words.date_ago_s
        expires = words.expires_in_s
        return Said(
            serial,
            status,
            content,
            words.directives,
            date_s=date,
            expires_s=expires + (date if date is not None else date_s) if isinstance(expires, int) else expires,
            age_s=words.age_s,
            vary=words.vary,
            etag=tag,
            modified_s=modified,
            sets_cookie=words.sets_cookie,
            coding=words.coding if content and status != 206 else "",
        )


_UNSAFE = (b"POST", b"DELETE", b"BREW")


def _content(ask: Ask, words: Words, version: int, serial: int) -> bytes:
    if words.status == 204:
        return b""
    name = f"{ask.target.decode()} {ask.host.decode().lower()} {language(ask, words)} v{version} #{serial} "
    numbers = " ".join(str(number) for number in range(words.size_bytes // 3))
    return (name + numbers)[: words.size_bytes].ljust(words.size_bytes, ".").encode()


def _validated_by(headers: Headers) -> tuple[str, Seconds] | None:
    """The validators that the cache has put into a request; a client's are spelled in other ways."""
    tag, since = headers.get(b"if-none-match", b""), headers.get(b"if-modified-since", b"")
    own_tag = tag.decode() if b"zz" not in tag and tag != b"*" else ""
    date = re.fullmatch(rb"\w{3}, .* GMT", since)
    since_s = None if date is None else int(parsedate_to_datetime(since.decode()).timestamp())
    return (own_tag, since_s) if own_tag or since_s is not None else None


def _conditional(ask: Ask, call: Call, tag: str, modified: Seconds, content: bytes) -> tuple[int, bytes | None]:
    """What an origin server makes of a request's conditions and Range."""
    if call.validates is not None:
        known_tag, since_s = call.validates
        is_known = known_tag == tag if known_tag else modified is not None and since_s == modified
        return (304, None) if is_known else (200, content)
    if knows(ask, tag, modified):
        return 304, None
    if ask.range_ is not None and not ask.if_range and ask.method == b"GET":
        status, content = part(ask.range_, content)
        return status, content
    return 200, content


# Judging it


def complaints(steps: Sequence[Step]) -> list[str]:
    """What was wrong in a story, each with the request that it is about."""
    loops: list[JumpingLoop] = []

    def new_loop() -> JumpingLoop:
        loops.append(JumpingLoop())
        return loops[-1]

    async def story() -> Play:
        coder = CoderOnDemand()
        with wall_clock(loops[0]), coding_on_demand(coder):
            play = Play(coder)
            await play.play(steps)
            return play

    play = run_jumping(story, new_loop)
    judge = Judge(play.calls)
    found = [f"{fault}\n  {reply}" for reply in play.replies for fault in judge.complaints(reply)]
    return found + play.faults + [f"on the loop: {error}" for error in loops[0].errors]
