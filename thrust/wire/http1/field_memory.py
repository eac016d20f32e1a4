"""Reading the field lines of a head one by one, and remembering those that come again and again (RFC 9112 §5).

A worker sends the same Server, Content-Type and Date with every response, byte for byte. A line that has been read
once need not be read again: looking it up costs a fifth of parsing it (benchmark forward-1k), and what is remembered
has passed the same grammar as any other line. Used for the worker's responses; clients vary too much, and what they
send is read by httptools as well.
"""

import re

from thrust.http.headers import FieldLine
from thrust.wire.http1.heads import TOKEN, Malformed, shown

MAX_REMEMBERED_LINES = 1024
MAX_REMEMBERED_BYTES = 128
"""Per line. All are forgotten when there are too many: at worst a line is parsed again, in 0.2 MB of memory."""

_FIELD_LINE = re.compile(rb"(" + TOKEN + rb"++):[\t ]*+([\t\x20-\x7e\x80-\xff]*+)")


class FieldMemory(dict[bytes, FieldLine]):
    """Raw field lines, without their CRLF, and what they say; one for all connections of an event loop.

    A dictionary that reads what it is asked for and does not know, so that known lines never leave C.
    """

    __slots__ = ("_malformed",)

    def __init__(self, malformed: Malformed) -> None:
        super().__init__()
        self._malformed = malformed

    def read(self, raw_lines: list[bytes]) -> list[FieldLine]:
        """The field lines in `raw_lines`; raises the connection's error."""
        return list(map(self.__getitem__, raw_lines))

    def __missing__(self, raw: bytes) -> FieldLine:
        match = _FIELD_LINE.fullmatch(raw)
        if match is None:
            raise self._malformed(f"invalid field line {shown(raw)}")
        line = match[1].lower(), match[2].rstrip(b"\t ")
        if len(raw) <= MAX_REMEMBERED_BYTES and line[0] != b"set-cookie":
            if len(self) >= MAX_REMEMBERED_LINES:
                self.clear()
            self[raw] = line
        return line
