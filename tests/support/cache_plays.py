"""Plays a story against thrust.handlers.cache on a clock that jumps, and has it judged.

The worker keeps versions of a few resources, and evaluates conditions and ranges as an origin server does. Each of its
answers has a serial, in Content-Location, which 304s have too, and in its content.
"""

import asyncio
import gzip
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import cast

from tests.support.background_coding import CoderOnDemand, coding_on_demand
from tests.support.cache_judge import Judge, knows, part
from tests.support.cache_model import MAX_ITEM_BYTES, UNSAFE, Ask, Call, Reply, Said, Seconds
from tests.support.cache_stories import (
    STORE_BYTES,
    TARGETS,
    Request_,
    Say,
    Step,
    Story,
    Wait,
    Words,
    language,
    modified_s,
    request_lines,
    response_lines,
    tag_of,
)
from tests.support.clock import JumpingLoop, run_jumping
from tests.support.wall_clock import wall_clock
from thrust.cache.fingerprint import recogniser
from thrust.cache.serving import Serving
from thrust.cache.store import Store
from thrust.cache.visit import Rules
from thrust.coding.codings import CODINGS, decompress
from thrust.errors import ThrustError, UpstreamError
from thrust.handlers.cache import Cache
from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Body, Request, Response


def complaints(story: Story) -> list[str]:
    """What was wrong in a story, each with the request that it is about."""
    loops: list[JumpingLoop] = []

    def new_loop() -> JumpingLoop:
        loops.append(JumpingLoop())
        return loops[-1]

    async def playing() -> Play:
        coder = CoderOnDemand(loops[0])
        with wall_clock(loops[0]), coding_on_demand(coder):
            play = Play(story.store_bytes, coder)
            await play.play(story.steps)
            return play

    play = run_jumping(playing, new_loop)
    judge = Judge(play.calls, forgets=story.store_bytes == min(STORE_BYTES))
    found = [f"{fault}\n  {reply}" for reply in play.replies for fault in judge.complaints(reply)]
    return found + play.faults + [f"on the loop: {error}" for error in loops[0].errors]


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

    def __init__(self, store_bytes: int, coder: CoderOnDemand) -> None:
        self._coder = coder
        self.calls: list[Call] = []
        self.replies: list[Reply] = []
        self.faults: list[str] = []
        self._tick = 0
        self._words = dict.fromkeys(TARGETS, Words())
        self._versions = dict.fromkeys(TARGETS, 1)
        self._asked: list[tuple[Request_, Reply, Exchange]] = []
        self.store = Store(store_bytes)
        self.cache = Cache(
            self._work,
            self.store,
            Serving(self.store, (b"br", b"zstd", b"gzip")),
            Rules(recogniser(True), MAX_ITEM_BYTES, CODINGS),
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
        if self.store.used_bytes > self.store.max_bytes:
            self.faults.append("the store is too full")

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
            response = self.cache.at_once(request) if step.by_short_way else None
            if response is None:
                async with asyncio.timeout(step.patience_s):
                    response = await self.cache(request)
        except TimeoutError:
            return
        except ThrustError as error:
            reply.error = str(error)
        except Exception as error:
            self.faults.append(f"{error!r}")
            return
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
        try:
            await asyncio.sleep(step.delay_s)
            if step.trouble == "gone":
                raise UpstreamError("the worker is gone")
        except (asyncio.CancelledError, UpstreamError):
            self._end(call, False)
            raise
        words = self._words[ask.target]
        call.headed_s = time.time()
        call.said = said = self._say(ask, call, words, step)
        lines = response_lines(said, words)
        if ask.method in UNSAFE and step.location:
            lines.append((b"location", step.location))
        content = b"" if said.content is None or ask.method == b"HEAD" else said.content
        if said.coding and content:
            content = gzip.compress(content, 1)
        body: Body = content
        breaks = step.trouble == "breaks"
        if content and (step.is_streamed or breaks) and said.status != 206 and ask.method not in UNSAFE:
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
        if ask.method in UNSAFE:
            return Said(serial, step.unsafe_status, b"done", date_s=date_s, changes=step.changes)
        tag, modified = tag_of(ask, words, version), modified_s(version) if words.has_modified else None
        whole = _content(ask, words, version, serial)
        status, content = words.status, cast(bytes | None, whole)
        if status == 200 and ask.method in (b"GET", b"HEAD"):
            status, content = _conditional(ask, call, tag, modified, whole)
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
        return part(ask.range_, content)
    return 200, content
