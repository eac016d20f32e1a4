"""Making the answer to one client out of a stored response: its coding, its conditions, its ranges.

The cache's handler calls `respond` when it has decided that a stored response may be used. Codings that are not there
yet are made on the way, once for all who want them: quickly for the client that waits, in a thread if the content is
large, and then once more as well as possible in the background.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from functools import partial

from thrust.cache.recoding import BackgroundCoder
from thrust.cache.store import Store
from thrust.cache.stored import Rendition, StoredResponse
from thrust.coding.codec import CodingError
from thrust.coding.codings import CODINGS, compress_quickly, decompress
from thrust.flow import compute, start_task
from thrust.http.coded import forbids_transformation
from thrust.http.conditions import is_not_modified, may_use_range
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Request, Response
from thrust.http.negotiation import IDENTITY, accepted_codings
from thrust.http.ranges import content_range, multipart, parse_ranges, unsatisfied

MAX_DECODED_BYTES = 1 << 24
"""For content that the worker has coded itself: what a client that cannot decode it is spared, at most."""

# RFC 9110 §15.4.5: what a 304 repeats; the client has the rest.
_IN_A_304 = frozenset(
    {
        b"age",
        b"cache-control",
        b"cache-status",
        b"content-location",
        b"date",
        b"etag",
        b"expires",
        b"set-cookie",
        b"vary",
        b"x-cache",
    }
)

_ANEW = (b"x-cache", b"miss")
"""Told of what the worker has just sent: it has no age yet, and to say so would mean that it comes out of memory."""


class Serving:
    """Responses out of `store`, in the worker's own coding or one of `codings`, in order of preference."""

    def __init__(self, store: Store, codings: Sequence[bytes]) -> None:
        self._store = store
        # What the worker has coded is sent as it is to whoever takes it, also if we never make that coding.
        self._offered = tuple(codings) + tuple(coding for coding in CODINGS if coding not in codings)
        self._background: BackgroundCoder | None = None
        self._making: dict[tuple[StoredResponse, bytes], asyncio.Task[Rendition]] = {}

    def at_once(self, stored: StoredResponse, accept_encoding: bytes | None, now_s: float) -> Response | None:
        """The prepared response to a plain hit, None if the coding has to be made first or nothing is fresh."""
        accepted = accepted_codings([] if accept_encoding is None else [accept_encoding], self._offered)
        rendition = stored.rendition_for(accepted)
        if rendition is None:
            return None
        response = rendition.prepared_hit(now_s)
        if response is not None:
            return response
        validity = stored.validity
        if validity.must_validate or not validity.is_fresh(now_s):
            return None
        return rendition.hit(stored.status, validity, now_s)

    async def respond(self, stored: StoredResponse, request: Request, told: Sequence[FieldLine]) -> Response:
        """The answer to `request`, with the lines `told` about the cache's part in it.

        Raises CodingError if what the worker has coded cannot be decoded.
        """
        headers = request.headers
        accepted = self._accepted(stored, headers)
        rendition = await self._rendition(stored, accepted)
        own = Headers(rendition.lines)
        if stored.status == 200:
            if is_not_modified(headers, own.get(b"etag"), stored.last_modified or own.get(b"date"), accepted):
                return not_modified([*rendition.lines, *_with_age(stored, told)])
            if request.method == b"GET" and (wanted := headers.get(b"range")) is not None:
                response = await self._part(stored, headers, wanted, accepted)
                if response is not None:
                    response.headers.lines += _with_age(stored, told)
                    return response
        lines = [*rendition.lines, *_with_age(stored, told)]
        response = Response(stored.status, Headers(lines), rendition.body, len(rendition.body))
        if not stored.is_dynamic:
            response.head_memo = b""  # what is plain now stays plain: nobody tries to code it once more
        return response

    async def prepare(self, stored: StoredResponse, request_headers: Headers) -> None:
        """Makes the coding that such a request gets, so that the next one need not wait for it."""
        with contextlib.suppress(CodingError):
            await self._rendition(stored, self._accepted(stored, request_headers))

    def _accepted(self, stored: StoredResponse, request_headers: Headers) -> Sequence[bytes]:
        """The codings in which the client may get it, best first: no other than the worker's own with no-transform."""
        accepted = accepted_codings(request_headers.get_all(b"accept-encoding"), self._offered)
        if b"cache-control" in request_headers and forbids_transformation(request_headers):
            return [coding for coding in accepted if coding in (stored.own_coding, IDENTITY)]
        return accepted

    async def _part(
        self, stored: StoredResponse, headers: Headers, wanted: bytes, accepted: Sequence[bytes]
    ) -> Response | None:
        """206 or 416 (RFC 9110 §14), None if the Range field does not count; always of the plain content.

        A date does not validate it for a client that may hold a part of a coded one, of the same date (§8.8.2.2).
        """
        rendition = await self._rendition(stored, (IDENTITY,))
        own, body = Headers(rendition.lines), rendition.body
        last_modified = None if stored.is_coded_for(accepted) else stored.last_modified
        if not may_use_range(headers, own.get(b"etag"), last_modified, own.get(b"date")):
            return None
        ranges = parse_ranges(wanted, len(body))
        if ranges is None:
            return None
        if not ranges:
            return Response(416, Headers([(b"content-range", unsatisfied(len(body)))]))
        if len(ranges) == 1:
            start, stop = ranges[0]
            lines = [*rendition.lines, (b"content-range", content_range(start, stop, len(body)))]
            return Response(206, Headers(lines), body[start:stop])
        framing = multipart(ranges, len(body), own.get(b"content-type"), secrets.token_hex(16).encode())
        pieces = [head + body[start:stop] for head, (start, stop) in zip(framing.heads, ranges, strict=True)]
        lines = [line for line in rendition.lines if line[0] != b"content-type"]
        lines.append((b"content-type", framing.content_type))
        return Response(206, Headers(lines), b"".join([*pieces, framing.ending]))

    async def _rendition(self, stored: StoredResponse, accepted: Sequence[bytes]) -> Rendition:
        coding = stored.coding_for(accepted)
        rendition = stored.renditions.get(coding)
        if rendition is not None:
            return rendition
        making = self._making.get((stored, coding))
        if making is None:
            making = start_task(asyncio.get_running_loop(), self._make(stored, coding))
            self._making[stored, coding] = making
            making.add_done_callback(partial(self._made, stored, coding))
        made = await asyncio.shield(making)  # whoever leaves does not take it from the others
        return stored.renditions[made.coding]  # with the fields of by now, as the age will be

    def _made(self, stored: StoredResponse, coding: bytes, making: "asyncio.Task[Rendition]") -> None:
        del self._making[stored, coding]
        if not making.cancelled():
            making.exception()  # seen by those who wait; nobody may be left

    async def _make(self, stored: StoredResponse, coding: bytes) -> Rendition:
        """Adds a rendition that somebody waits for."""
        plain = stored.renditions.get(IDENTITY) or await self._decode(stored)
        if coding == IDENTITY:
            return plain
        coded = await compute(len(plain.body), compress_quickly, coding, plain.body)
        if len(coded) >= len(plain.body):
            stored.unprofitable |= {coding}
            return plain
        if self._background is None:
            self._background = BackgroundCoder(asyncio.get_running_loop())
        self._background.submit(stored, coding, self._improve)
        return self._add(stored, coding, coded)

    async def _decode(self, stored: StoredResponse) -> Rendition:
        coded = stored.renditions[stored.own_coding].body
        plain = await compute(len(coded), decompress, stored.own_coding, coded, MAX_DECODED_BYTES)
        return self._add(stored, IDENTITY, plain)

    def _improve(self, stored: StoredResponse, coding: bytes, coded: bytes) -> None:
        """The best coding is there: swaps it in, if anybody may still want it."""
        if self._store.holds(stored) and len(coded) < len(stored.renditions[coding].body):
            self._add(stored, coding, coded)

    def _add(self, stored: StoredResponse, coding: bytes, body: bytes) -> Rendition:
        before_bytes = stored.size_bytes
        rendition = stored.add(coding, body)
        self._store.resize(stored, before_bytes)
        return rendition


def told(x_cache: bytes, how: bytes) -> Sequence[FieldLine]:
    """The lines that tell what the cache did."""
    return (b"x-cache", x_cache), (b"cache-status", b"thrust; " + how)


def nothing_stored() -> Response:
    """The answer to `only-if-cached` (RFC 9111 §5.2.1.7)."""
    lines = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    body = b"Nothing that is stored may answer this request.\n"
    return Response(504, Headers([*lines, *told(b"miss", b"detail=only-if-cached")]), body)


def _with_age(stored: StoredResponse, told: Sequence[FieldLine]) -> Sequence[FieldLine]:
    """`told`, after the age of what is stored by now: it may have been validated while a coding was made."""
    age_s = stored.validity.age_s(time.time())
    return told if _ANEW in told and not age_s else [(b"age", b"%d" % age_s), *told]


def not_modified(lines: Sequence[FieldLine]) -> Response:
    """The 304 in place of a 200 with these fields."""
    return Response(304, Headers([line for line in lines if line[0] in _IN_A_304]))
