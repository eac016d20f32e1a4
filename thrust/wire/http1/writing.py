"""Making heads, chunks and trailer sections (RFC 9112 §3–4, §7.1).

What is written here has come through the parsers of this folder or was made by us, so nothing is checked again.
"""

from collections.abc import Sequence
from http import HTTPStatus

from thrust.http.headers import FieldLine

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_WITH_COLON = b": ".join
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` with its CRLF; the reason phrase is empty for an unregistered status (§4)."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def field_lines(lines: Sequence[FieldLine]) -> bytes:
    """The field lines, each with its CRLF."""
    # All in C: half of what a formatted string per line costs (benchmark forward-1k).
    return b"\r\n".join(map(_WITH_COLON, lines)) + b"\r\n" if lines else b""


def chunk(content: bytes) -> bytes:
    """One chunk around `content`, which must not be empty: that would end the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def last_chunk(trailers: Sequence[FieldLine] = ()) -> bytes:
    """What ends a chunked body, with its trailer section."""
    return b"0\r\n%b\r\n" % field_lines(trailers)
