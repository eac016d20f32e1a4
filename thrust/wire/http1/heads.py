"""Cutting complete heads out of a stream of bytes, and the grammar that all heads have to match (RFC 9112 §2–5).

A head is the start line and the field lines up to and including the empty line. The grammar is deliberately narrower
than what RFC 9112 lets a recipient tolerate: no bare LF or CR, no folded lines, no white space before a colon, no NUL
or other controls in values, because each of them has been read differently by two parsers in a chain (§11.2).
"""

import re
from collections.abc import Callable

from thrust.errors import ThrustError
from thrust.http.headers import FieldLine

MAX_HEAD_BYTES = 65536
"""Start line and fields together. nginx: 4 × 8 KB, Go (Thruster, Caddy): 1 MB; large sites need 32 KB for cookies."""

MAX_FIELDS = 100
"""Field lines per message; gunicorn and Apache use 100 too."""

MAX_TARGET_BYTES = 16384
"""Bytes of the request-target. RFC 9112 §3 recommends to support at least 8000."""

END_OF_HEAD = b"\r\n\r\n"

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 §5.6.2
FIELD_LINES = rb"(?:" + TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+"

_FIELD_LINE = re.compile(TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+")
_FIELD_SECTION = re.compile(FIELD_LINES)
_FIELD = re.compile(rb"(" + TOKEN + rb"++):[\t ]*+([\t\x20-\x7e\x80-\xff]*+)\r\n")
# What can be refused before the head is complete, so that a client which ends its lines in LF is not left to wait.
# A match for what is sound, because a search for what is not costs six times as much (60 KB: 1.5 ms).
_SOUND = re.compile(rb"(?:[\t\x20-\x7e\x80-\xff]*+\r\n)*+[\t\x20-\x7e\x80-\xff]*+")

Malformed = Callable[[str], ThrustError]
"""Makes the error for a broken message: BadMessage for a client's, UpstreamError for a worker's."""

TooLarge = Callable[[bytearray], ThrustError]
"""Makes the error for an endless head from its first bytes."""


class HeadBuffer:
    """Gathers received bytes until a head is complete. One per connection; empty, it holds no memory."""

    __slots__ = ("_held", "_malformed", "_too_large", "rest", "was_empty")

    def __init__(self, malformed: Malformed, too_large: TooLarge) -> None:
        self._malformed = malformed
        self._too_large = too_large
        self._held: bytearray | None = None
        self.rest = b""
        """The bytes that followed the head which `cut` returned last."""
        self.was_empty = True
        """When `cut` returned None: whether that was the beginning of a head."""

    @property
    def is_empty(self) -> bool:
        """Whether no part of a head has arrived; the empty line that old clients send after a body is none."""
        return not self._held or self._held == b"\r\n"

    def cut(self, data: bytes) -> bytes | None:
        """The head that `data` completes, or None as long as more bytes are needed.

        Raises the connection's error for a head beyond MAX_HEAD_BYTES, and for bytes that no head contains.
        """
        if self._held is None:
            end = data.find(END_OF_HEAD) + 4
            if 4 <= end <= MAX_HEAD_BYTES:
                self.rest = data[end:]
                return data[:end]
            self._held = bytearray()
        self.was_empty = self.is_empty
        return self._cut_held(self._held, data)

    def _cut_held(self, held: bytearray, data: bytes) -> bytes | None:
        seen = len(held)
        held += data
        end = held.find(END_OF_HEAD, max(0, seen - 3)) + 4
        if (end if end >= 4 else len(held)) > MAX_HEAD_BYTES:
            self._held = None
            raise self._too_large(held)
        if end >= 4:
            self._held = None
            self.rest = bytes(held[end:])
            return bytes(held[:end])
        # The bytes seen before were sound, but for a CR at their end that waited for its LF.
        at = _end_of_sound(held, seen - held.endswith(b"\r", 0, seen))
        if at < len(held):
            self._held = None
            raise self._malformed(f"byte 0x{held[at]:02x} at {at} does not belong into a head")
        return None


def _end_of_sound(held: bytearray, start: int) -> int:
    """The position of the first byte from `start` on that no head contains, or the length of `held`."""
    match = _SOUND.match(held, start)
    assert match is not None  # it matches b"" as well
    end = match.end()
    return len(held) if held[end:] == b"\r" else end


def explain_fields(head: bytes, malformed: Malformed) -> ThrustError:
    """The error for a head whose start line is good and whose field lines are not."""
    for line in head[: -len(END_OF_HEAD)].split(b"\r\n")[1:]:
        if not _FIELD_LINE.fullmatch(line):
            return malformed(f"invalid field line {shown(line)}")
    return malformed("invalid head")


def parse_field_section(section: bytes, malformed: Malformed) -> list[FieldLine]:
    """The field lines of a trailer section, names in lower case (RFC 9112 §7.1.2)."""
    if not _FIELD_SECTION.fullmatch(section):
        raise malformed(f"invalid trailer section {shown(section)}")
    return [(name.lower(), value.rstrip(b"\t ")) for name, value in _FIELD.findall(section)]


def without_trailing_space(lines: list[FieldLine]) -> list[FieldLine]:
    """`lines` without the white space after their values, which llhttp leaves in place (RFC 9112 §5.1)."""
    return [(name, value.rstrip(b"\t ")) for name, value in lines]


def parse_content_length(value: bytes, malformed: Malformed) -> int:
    """The number of bytes that a Content-Length announces (RFC 9110 §8.6): digits only, no list, no sign."""
    # 18 digits are less than 2**63, which every implementation behind us can count to.
    if not value.isdigit() or len(value) > 18:
        raise malformed(f"invalid content-length {shown(value)}: one decimal number is accepted")
    return int(value)


def shown(data: bytes) -> str:
    """`data` for an error message: printable, quoted, and cut when long."""
    return repr(data[:60] + b"..." if len(data) > 60 else data)[1:]
