"""Understanding a response head of the worker (RFC 9112 §4, §6.3).

The worker is ours, but it may lie, crash half way or be tricked into a response split: what does not match exactly is
an UpstreamError (502), so that a client never sees a response that looks complete and is not.
"""

import re

from thrust.errors import UpstreamError
from thrust.http.headers import HOP_BY_HOP, FieldLine, tokens
from thrust.wire.http1.field_memory import FieldMemory
from thrust.wire.http1.heads import MAX_FIELDS, MAX_HEAD_BYTES, parse_content_length, shown

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?")

MAX_REMEMBERED_HEADS = 256
MAX_REMEMBERED_HEAD_BYTES = 1024
"""Per head. All are forgotten when there are too many: 0.5 MB at most."""

_FRAMING_FIELDS = frozenset({b"content-length", b"transfer-encoding"} | HOP_BY_HOP)
_RARE_FIELDS = _FRAMING_FIELDS - {b"content-length", b"connection"}


class ResponseHead:
    """What a response head says. `lines` holds end-to-end fields only, and no Content-Length.

    `content_length` is None when the head does not tell; then `is_chunked` says whether the body is, or whether it
    lasts until the connection closes. Which statuses and methods have a body at all is `has_body`'s to say.
    """

    __slots__ = ("content_length", "is_chunked", "keep_alive", "lines", "status", "upgrade")

    status: int
    lines: list[FieldLine]
    content_length: int | None
    is_chunked: bool
    keep_alive: bool
    upgrade: bytes


class ResponseParser:
    """Parses response heads; stateless but for its memory, so one serves all connections of an event loop."""

    __slots__ = ("_heads", "_memory")

    def __init__(self) -> None:
        self._heads: dict[bytes, ResponseHead] = {}
        self._memory = FieldMemory(malformed)

    def parse(self, head: bytes) -> ResponseHead:
        """The ResponseHead in `head`, which ends with its empty line; raises UpstreamError.

        Within a second, while Date stays, a busy worker sends many heads that are the same byte for byte. They are
        remembered, but for those that set a cookie, and cost a tenth of parsing (benchmark forward-1k). So the result
        may be shared, and is not to be changed.
        """
        known = self._heads.get(head)
        if known is not None:
            return known
        parsed = self._parse(head)
        if len(head) <= MAX_REMEMBERED_HEAD_BYTES and head.lower().find(b"set-cookie") == -1:
            if len(self._heads) >= MAX_REMEMBERED_HEADS:
                self._heads.clear()
            self._heads[head] = parsed
        return parsed

    def _parse(self, head: bytes) -> ResponseHead:
        first, *raw_lines = head[:-4].split(b"\r\n")
        match = _STATUS_LINE.fullmatch(first)
        if match is None:
            raise malformed(f"invalid status line {shown(first)}")
        if len(raw_lines) > MAX_FIELDS:
            raise malformed(f"{len(raw_lines)} field lines, at most {MAX_FIELDS} are accepted")
        return _understand(int(match[2]), int(match[1]), self._memory.read(raw_lines))


def has_body(status: int, request_method: bytes) -> bool:
    """Whether a response with `status` to a request with that method has content (RFC 9112 §6.3 rules 1 and 2)."""
    return request_method != b"HEAD" and status not in (204, 304) and status >= 200


def malformed(reason: str) -> UpstreamError:
    """The 502 for a response that cannot be understood."""
    return UpstreamError(f"the worker sent a malformed response: {reason}")


def head_too_large(held: bytearray) -> UpstreamError:
    """The 502 for a response head beyond MAX_HEAD_BYTES."""
    return malformed(f"head of more than {MAX_HEAD_BYTES} bytes")


def _understand(status: int, minor_version: int, lines: list[FieldLine]) -> ResponseHead:
    head = ResponseHead()
    head.status = status
    head.lines = lines
    head.content_length = None
    head.is_chunked = False
    head.keep_alive = minor_version == 1
    head.upgrade = b""
    fields = dict(lines)
    is_plain = len(fields) == len(lines) and minor_version == 1 and _RARE_FIELDS.isdisjoint(fields)
    if is_plain and fields.pop(b"connection", b"keep-alive") == b"keep-alive":
        # The common response of a keep-alive worker (benchmark forward-1k): a length, and perhaps a needless option.
        if b"content-length" in fields:
            head.content_length = parse_content_length(fields.pop(b"content-length"), malformed)
        head.lines = list(fields.items())
    else:
        special = [line for line in lines if line[0] in _FRAMING_FIELDS]
        _apply_framing(head, special, minor_version)
    if status == 204 or status < 200:
        _forget_content(head)
    return head


def _apply_framing(head: ResponseHead, special: list[FieldLine], minor_version: int) -> None:
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in special:
        by_name.setdefault(name, []).append(value)
    lengths, codings = by_name.get(b"content-length", []), by_name.get(b"transfer-encoding", [])
    if codings and lengths:
        raise malformed("both Transfer-Encoding and Content-Length")
    if codings:
        if minor_version == 0 or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise malformed("transfer-encoding " + shown(b", ".join(codings)) + ", only chunked is accepted")
        head.is_chunked = True
    elif lengths:
        if len(lengths) > 1:
            raise malformed(f"{len(lengths)} Content-Length fields, one is accepted")
        head.content_length = parse_content_length(lengths[0], malformed)

    options = tokens(by_name.get(b"connection", ()))
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True
    head.upgrade = b", ".join(by_name.get(b"upgrade", ()))
    dropped = _FRAMING_FIELDS.union(options)
    head.lines = [line for line in head.lines if line[0] not in dropped]


def _forget_content(head: ResponseHead) -> None:
    """Takes back the content that a 1xx or 204 announces and cannot have (RFC 9110 §8.6, RFC 9112 §6.1)."""
    if head.is_chunked or head.content_length:
        head.keep_alive = False  # whoever announces it may also send it, into the next response
    head.is_chunked = False
    head.content_length = None
