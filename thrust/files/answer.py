"""The response that is made of a file, described: status, field lines, and which bytes to send (RFC 9110 §13–15).

Called by the handlers that send files, with what `confined.py` has opened. What the app has said about the file wins,
what it has left unsaid is derived. Nothing is read and nothing sent here, so that every kind of front can do that in
its own way.

An app that names a file has often answered conditions and ranges itself, about content that it did not send: Werkzeug
makes a 206 with Content-Range, or a 412, and leaves X-Sendfile in it. So 206 and 416 count as the 200 that they would
have been, a 412 like a 304 sends nothing of the file, and what was said about the app's own, empty content is dropped.
(nginx makes every status a 200.)
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from thrust.files.description import content_type, etag, last_modified
from thrust.http.coded import varying_by_coding
from thrust.http.conditions import (
    GO_ON,
    NOT_MODIFIED,
    PRECONDITION_FAILED,
    confirmed_tag,
    etag_for,
    evaluate,
    may_use_range,
)
from thrust.http.fields import format_date
from thrust.http.headers import FieldLine, Headers
from thrust.http.negotiation import IDENTITY
from thrust.http.ranges import Range, content_range, multipart, parse_ranges, unsatisfied

Segment = bytes | Range
"""Bytes as they are, or the file's from the first position up to before the second."""

# Of the worker's message, not of the file; and of its Content-Length nobody knows here.
_OF_THE_MESSAGE = frozenset({b"accept-ranges", b"content-digest", b"content-length", b"content-md5", b"content-range"})

# Tags that frameworks make of the content that they see, which is none: MD5 (Django's ConditionalGetMiddleware), SHA-1
# (Werkzeug's add_etags). All files would have the same.
_TAGS_OF_NOTHING = (b'"d41d8cd98f00b204e9800998ecf8427e"', b'"da39a3ee5e6b4b0d3255bfef95601890afd80709"')

# What describes the file, and is of no use to whoever has it already (§15.4.5) or does not get it.
_OF_CONTENT = frozenset(
    {
        b"accept-ranges",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"digest",
        b"last-modified",
        b"repr-digest",
    }
)

# What would make caches keep a refusal in the file's place.
_OF_A_SUCCESS = _OF_CONTENT | {
    b"cache-control",
    b"cdn-cache-control",
    b"content-location",
    b"etag",
    b"expires",
    b"surrogate-control",
}

_ABOUT_RANGES = frozenset({206, 416})

_WITHOUT_CONTENT = frozenset({204, 205, 304})


@dataclass(frozen=True, slots=True)
class Content:
    """A file as far as an answer depends on it.

    `name` tells the type, and is the original's if a sibling is sent. `coding` is that of a sibling, IDENTITY for an
    original that may have some, None for a file that has none.
    """

    stat: os.stat_result
    name: bytes
    coding: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response but for its Date: `content_length` is the length of all `segments`, or in answer to HEAD GET's."""

    status: int
    lines: list[FieldLine]
    segments: list[Segment]
    content_length: int


def answer(
    method: bytes,
    headers: Headers,
    content: Content,
    now_s: float,
    *,
    status: int = 200,
    lines: Sequence[FieldLine] = (),
) -> Answer:
    """The answer to a request with `method` and `headers`; `status` and `lines` are the app's, if it named the file.

    Conditions and ranges count for a 200 to GET and HEAD; every other status goes out with the whole file.
    """
    own = [line for line in lines if line[0] not in _OF_THE_MESSAGE and not _is_of_nothing(line)]
    status = 200 if status in _ABOUT_RANGES else status
    if status in _WITHOUT_CONTENT:
        return Answer(status, own, [], 0)
    if status == PRECONDITION_FAILED:
        return Answer(status, _without(own, _OF_A_SUCCESS), [], 0)
    described = _described(own, content)
    if status != 200 or method not in (b"GET", b"HEAD"):
        return _whole(status, described, method, content)
    described = _validated(described, content, now_s)
    fields = Headers(described)
    result = evaluate(method, headers, fields.get(b"etag"), fields.get(b"last-modified"))
    if result == NOT_MODIFIED:
        return Answer(result, _confirmed(headers, _without(described, _OF_CONTENT), content), [], 0)
    if result != GO_ON:
        return Answer(result, _without(described, _OF_A_SUCCESS), [], 0)
    ranges = _wanted_ranges(method, headers, fields, content.stat.st_size, now_s)
    described.append((b"accept-ranges", b"bytes"))
    if ranges is None:
        return _whole(status, described, method, content)
    return _parts(ranges, described, content.stat.st_size)


def _described(own: list[FieldLine], content: Content) -> list[FieldLine]:
    """The app's lines, with the type and the coding of the file."""
    described = list(own)
    if b"content-type" not in Headers(own):
        described.append((b"content-type", content_type(content.name)))
    if content.coding is None:
        return described
    if content.coding != IDENTITY:
        described.append((b"content-encoding", content.coding))
    return varying_by_coding(described)


def _validated(described: list[FieldLine], content: Content, now_s: float) -> list[FieldLine]:
    """The lines with an entity-tag that is that of the coding, and a Last-Modified if one is known."""
    fields = Headers(described)
    tag = fields.get(b"etag") or etag(content.stat, now_s)
    lines = [line for line in described if line[0] != b"etag"]
    lines.append((b"etag", etag_for(tag, content.coding or IDENTITY)))
    if b"last-modified" not in fields and (modified := last_modified(content.stat, now_s)) is not None:
        lines.append((b"last-modified", modified))
    return lines


def _wanted_ranges(method: bytes, headers: Headers, fields: Headers, length: int, now_s: float) -> list[Range] | None:
    """The parts that a request asks for; [] if it can have none of them, None if it gets everything."""
    values = headers.get_all(b"range")
    if method != b"GET" or len(values) != 1:
        return None
    if not may_use_range(headers, fields.get(b"etag"), fields.get(b"last-modified"), format_date(now_s)):
        return None
    return parse_ranges(values[0], length)


def _confirmed(headers: Headers, lines: list[FieldLine], content: Content) -> list[FieldLine]:
    """The lines of a 304 with the tag that the client has, which may be that of another coding."""
    coding = content.coding or IDENTITY
    return [(name, confirmed_tag(headers, value, (coding,)) if name == b"etag" else value) for name, value in lines]


def _whole(status: int, lines: list[FieldLine], method: bytes, content: Content) -> Answer:
    length = content.stat.st_size
    segments: list[Segment] = [(0, length)] if length and method != b"HEAD" else []
    return Answer(status, lines, segments, length)


def _parts(ranges: list[Range], lines: list[FieldLine], length: int) -> Answer:
    if not ranges:
        return Answer(416, [*_without(lines, _OF_A_SUCCESS), (b"content-range", unsatisfied(length))], [], 0)
    if len(ranges) == 1:
        start, stop = ranges[0]
        return Answer(
            206, [*lines, (b"content-range", content_range(start, stop, length))], [(start, stop)], stop - start
        )
    framing = multipart(ranges, length, Headers(lines).get(b"content-type"), secrets.token_hex(16).encode())
    segments = [segment for pair in zip(framing.heads, ranges, strict=True) for segment in pair]
    lines = [*_without(lines, {b"content-type"}), (b"content-type", framing.content_type)]
    return Answer(206, lines, [*segments, framing.ending], framing.content_length)


def _without(lines: list[FieldLine], names: frozenset[bytes] | set[bytes]) -> list[FieldLine]:
    return [line for line in lines if line[0] not in names]


def _is_of_nothing(line: FieldLine) -> bool:
    """Whether the app says this of content that it did not send: a tag, or that it consists of parts."""
    name, value = line
    if name == b"content-type":
        return value.lower().startswith(b"multipart/byteranges")
    return name == b"etag" and value.removeprefix(b"W/") in _TAGS_OF_NOTHING
