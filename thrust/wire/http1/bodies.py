"""Reading the content that follows a head (RFC 9112 §6–7), in whatever pieces the bytes arrive.

Three readers with one interface: `feed` takes received bytes and returns the content in them; `is_complete` tells when
the body is over, `rest` then holds what came after it, which belongs to the next message. A fourth way to have a body,
none at all, needs no reader. Errors are made by the function given at construction, as in `heads`.
"""

import re
from typing import Protocol

from thrust.http.headers import FieldLine, may_be_trailer
from thrust.wire.http1.heads import END_OF_HEAD, MAX_FIELDS, Malformed, parse_field_section, shown

MAX_CHUNK_LINE_BYTES = 512
"""Chunk size and extensions of one chunk, with CRLF. Extensions are ignored (§7.1.1), so nobody needs long ones."""

MAX_TRAILERS_BYTES = 8192
"""The trailer section; trailers are few (checksums, a status), and kept in memory until the end."""

# Other fields that may not be trailers are dropped; with one of these somebody wants two readers to disagree.
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

# Fifteen digits are less than 2**63. White space before an extension, which RFC 9112 §7.1.1 tolerates as bad, is
# refused as llhttp and h11 do: others have read a size differently with something behind it.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15}+)(?:;[\t\x20-\x7e\x80-\xff]*+)?+\r\n")
_SIZE_LINE_SO_FAR = re.compile(rb"(?:[0-9A-Fa-f]{1,15}+(?:;[\t\x20-\x7e\x80-\xff]*+)?+\r?+)?+")

# What stands between two chunks, in one match: a client that sends a byte per chunk may not hold up the event loop
# (benchmark bodies). Sixteen of the limit's bytes are the digits and the semicolon, two are CRLF; a longer line is not
# matched here, and left to _SIZE_LINE to judge.
_BORDER = re.compile(rb"\r\n([0-9A-Fa-f]{1,15}+)(?:;[\t\x20-\x7e\x80-\xff]{0,%d}+)?+\r\n" % (MAX_CHUNK_LINE_BYTES - 18))
# The borders before the smallest chunks, of which most fit into a read; looking one up costs a third of a match.
_SMALL_BORDERS = {b"\r\n%c\r\n" % digit: int(chr(digit), 16) for digit in b"123456789abcdefABCDEF"}
_SMALL_BORDER_BYTES = 5


class BodyReader(Protocol):
    """Turns received bytes into content."""

    is_complete: bool
    rest: bytes
    trailers: list[FieldLine]

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, possibly b"". Must not be called once the body is complete."""
        ...

    def feed_eof(self) -> bool:
        """Whether the body may end where the sender closed its side."""
        ...


class FixedLengthReader:
    """A body of exactly `length` bytes (§6.2)."""

    __slots__ = ("is_complete", "length", "remaining", "rest", "trailers")

    def __init__(self, length: int) -> None:
        self.length = length
        self.remaining = length
        self.is_complete = length == 0
        self.rest = b""
        self.trailers: list[FieldLine] = []

    def feed(self, data: bytes) -> bytes:
        """The content in `data`."""
        if len(data) < self.remaining:
            self.remaining -= len(data)
            return data
        content, self.rest = data[: self.remaining], data[self.remaining :]
        self.remaining = 0
        self.is_complete = True
        return content

    def feed_eof(self) -> bool:
        """False: an early end is a truncated body."""
        return False

    def __repr__(self) -> str:
        return f"{self.length - self.remaining} of {self.length} bytes"


class UntilCloseReader:
    """A response body that lasts until the worker closes the connection (§6.3 rule 8)."""

    __slots__ = ("is_complete", "received", "rest", "trailers")

    def __init__(self) -> None:
        self.received = 0
        self.is_complete = False
        self.rest = b""
        self.trailers: list[FieldLine] = []

    def feed(self, data: bytes) -> bytes:
        """All of `data`."""
        self.received += len(data)
        return data

    def feed_eof(self) -> bool:
        """True: this is the only way it ends."""
        self.is_complete = True
        return True

    def __repr__(self) -> str:
        return f"{self.received} bytes"


class ChunkedReader:
    """A chunked body (§7.1), read strictly: hexadecimal size, CRLF after every line and after every chunk's data."""

    __slots__ = ("_held", "_malformed", "_remaining", "_state", "is_complete", "received", "rest", "trailers")

    _SIZE, _DATA, _DATA_END, _TRAILERS = range(4)

    def __init__(self, malformed: Malformed) -> None:
        self._malformed = malformed
        self._state = self._SIZE
        self._held = b""  # an incomplete line, bounded by the limits above
        self._remaining = 0  # bytes of the current chunk still to come
        self.received = 0
        self.is_complete = False
        self.rest = b""
        self.trailers: list[FieldLine] = []

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, the framing removed; raises the connection's error for invalid framing."""
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._state == self._DATA:
                at = self._read_chunks(data, at, pieces)
                continue
            after = self._read_framing(data, at)
            if after == at:
                self._held = data[at:]
                break
            at = after
            if self.is_complete:
                self.rest = data[at:]
                break
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.received += len(content)
        return content

    def feed_eof(self) -> bool:
        """False: the last chunk has not been seen."""
        return False

    def _read_chunks(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Adds the content of the chunk that goes on at `at`, and of those behind it; returns the position after them.

        It goes from chunk to chunk as long as a whole border is between them. What is not one, because bytes are
        missing or wrong, is left to `_read_framing`: there is nothing here that could refuse or take it.
        """
        size = self._remaining
        while (end := at + size) < len(data):
            pieces.append(data[at:end])
            if small := _SMALL_BORDERS.get(data[end : end + _SMALL_BORDER_BYTES]):
                at, size = end + _SMALL_BORDER_BYTES, small
                continue
            border = _BORDER.match(data, end)
            if border is None:
                self._state = self._DATA_END
                return end
            at, size = border.end(), int(border[1], 16)
            if not size:
                self._state = self._TRAILERS
                return at
        if at < len(data):
            pieces.append(data[at:])
        self._remaining = end - len(data)
        self._state = self._DATA if self._remaining else self._DATA_END
        return len(data)

    def _read_framing(self, data: bytes, at: int) -> int:
        """The position after the framing element at `at`, or `at` itself if it is not all there."""
        if self._state == self._SIZE:
            return self._read_size(data, at)
        if self._state == self._DATA_END:
            if len(data) - at < 2 and data[at] == 0x0D:
                return at
            if data[at : at + 2] != b"\r\n":
                raise self._malformed(f"invalid end of a chunk {shown(data[at : at + 2])}, CRLF is accepted")
            self._state = self._SIZE
            return at + 2
        return self._read_trailers(data, at)

    def _read_size(self, data: bytes, at: int) -> int:
        line = _SIZE_LINE.match(data, at, at + MAX_CHUNK_LINE_BYTES)
        if line is None:
            seen = data[at : at + MAX_CHUNK_LINE_BYTES]
            if not _SIZE_LINE_SO_FAR.fullmatch(seen):
                raise self._malformed("invalid chunk size " + shown(seen.partition(b"\r\n")[0]))
            if len(seen) == MAX_CHUNK_LINE_BYTES:
                raise self._malformed(f"chunk size line of more than {MAX_CHUNK_LINE_BYTES} bytes")
            return at
        self._remaining = int(line[1], 16)
        self._state = self._DATA if self._remaining else self._TRAILERS
        return line.end()

    def _read_trailers(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self.is_complete = True
            return at + 2
        end = data.find(END_OF_HEAD, at, at + MAX_TRAILERS_BYTES)
        if end == -1:
            if len(data) - at >= MAX_TRAILERS_BYTES:
                raise self._malformed(f"trailer section of more than {MAX_TRAILERS_BYTES} bytes")
            return at
        fields = parse_field_section(data[at : end + 2], self._malformed)
        if len(fields) > MAX_FIELDS:
            raise self._malformed(f"{len(fields)} trailer fields, at most {MAX_FIELDS} are accepted")
        if late := [name.decode() for name, _ in fields if name in _FRAMING]:
            raise self._malformed(f"{late[0]} in a trailer section")
        self.trailers = [field for field in fields if may_be_trailer(field[0])]
        self.is_complete = True
        return end + 4

    def __repr__(self) -> str:
        return f"{self.received} bytes in chunks"
