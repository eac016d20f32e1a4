"""Range requests (RFC 9110 §14): which bytes a client wants, and the framing of one or several parts.

Called for cache hits and for files, after If-Range (`conditions.may_use_range`), for GET only (§14.2). A Range field
may always be ignored, so whatever is malformed, unknown or costs more than the whole content is: the client gets a
200. Nothing here touches content; ranges are half-open pairs `(start, stop)`, as slices are.
"""

import re
from dataclasses import dataclass

MAX_RANGES = 16
"""Ranges in one request. PDF viewers ask for a handful; nginx allows any number, Apache 200."""

MAX_OVERLAPS = 2
"""Ranges that begin before an earlier one has ended; no honest client asks for bytes twice (§14.2, §17.15)."""

MAX_POSITION = 2**63 - 1  # beyond every content, and `int` refuses to read thousands of digits

Range = tuple[int, int]

_UNIT = re.compile(rb"bytes=", re.IGNORECASE)
_RANGE = re.compile(rb"[ \t]*+(?:([0-9]++)-([0-9]++)?|-([0-9]++))[ \t]*+")


def parse_ranges(value: bytes, length: int) -> list[Range] | None:
    """The satisfiable ranges in a Range field for content of `length` bytes, in the client's order.

    None: ignore the field and send everything. []: nothing of it can be satisfied, 416. Ranges are not joined: together
    they are never longer than the content, because a request for more than that is ignored. So is one for a part of
    nothing (`length` 0): clients that always send a Range would get 416 for an empty file.
    """
    unit = _UNIT.match(value)
    if unit is None or length == 0:
        return None
    items = [item for item in value[unit.end() :].split(b",") if item.strip(b" \t")]
    if not 1 <= len(items) <= MAX_RANGES:
        return None
    ranges = []
    for item in items:
        bounds = _bounds(item, length)
        if bounds is None:
            return None
        if bounds[0] < bounds[1]:
            ranges.append(bounds)
    return None if _is_abuse(ranges, length) else ranges


def content_range(start: int, stop: int, length: int) -> bytes:
    """The value of Content-Range for the bytes from `start` up to before `stop` (§14.4)."""
    return b"bytes %d-%d/%d" % (start, stop - 1, length)


def unsatisfied(length: int) -> bytes:
    """The value of Content-Range in a 416 (§15.5.17)."""
    return b"bytes */%d" % length


@dataclass(frozen=True, slots=True)
class Multipart:
    """The framing of several ranges in one body: `heads[i]`, then the bytes of range i, and so on; `ending` at last.

    `content_type` and `content_length` are those of the whole response, which has no Content-Range (§15.3.7.2).
    """

    heads: tuple[bytes, ...]
    ending: bytes
    content_type: bytes
    content_length: int


def multipart(ranges: list[Range], length: int, content_type: bytes | None, boundary: bytes) -> Multipart:
    """The framing of `ranges` of content of `length` bytes as multipart/byteranges (§14.6).

    `content_type` is that of the content. `boundary` consists of up to 70 letters and digits (RFC 2046 §5.1.1) that
    nobody can foresee, as `secrets.token_hex(16)`: foreseen, it could stand in the content.
    """
    type_line = b"" if content_type is None else b"Content-Type: %b\r\n" % content_type
    heads = tuple(
        b"%b--%b\r\n%bContent-Range: %b\r\n\r\n"
        % (b"\r\n" if number else b"", boundary, type_line, content_range(start, stop, length))
        for number, (start, stop) in enumerate(ranges)
    )
    ending = b"\r\n--%b--\r\n" % boundary
    content_length = sum(map(len, heads)) + sum(stop - start for start, stop in ranges) + len(ending)
    return Multipart(heads, ending, b"multipart/byteranges; boundary=" + boundary, content_length)


def _bounds(item: bytes, length: int) -> Range | None:
    """Start and stop within the content; the same position twice if unsatisfiable, None if malformed (§14.1.1)."""
    match = _RANGE.fullmatch(item)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return max(0, length - _position(suffix)), length
    start, stop = _position(first), length if last is None else _position(last) + 1
    if start >= stop and last is not None:
        return None
    return min(start, length), min(stop, length)


def _position(digits: bytes) -> int:
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= 18 else MAX_POSITION


def _is_abuse(ranges: list[Range], length: int) -> bool:
    if sum(stop - start for start, stop in ranges) > length:
        return True
    reached = overlaps = 0
    for start, stop in sorted(ranges):
        overlaps += start < reached
        reached = max(reached, stop)
    return overlaps > MAX_OVERLAPS
