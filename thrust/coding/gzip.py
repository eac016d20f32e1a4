"""The coding gzip (RFC 1952): DEFLATE in an envelope that is written here, with a comment as padding.

Compressing is done by isal, ten times as fast as zlib's default, or by zlib where isal has no wheel. Both make raw
DEFLATE (RFC 1951), and header and trailer are ours. The best coding and all decoding are zlib's: isal has nothing like
level 9, and decoding serves the rare client that cannot take what the worker compressed.

Padding goes into the header as FCOMMENT. Every client has to skip it, and those that read the header by themselves do:
Chromium (net/filter/gzip_header.cc), Firefox (nsHTTPCompressConv.cpp). FEXTRA would do too, but Firefox has misread its
length for many years.
"""

import zlib
from struct import Struct

from thrust.coding.codec import malformed, too_large, truncated

try:
    from isal import isal_zlib as deflate

    # For 30 KB of HTML level 2 takes 40 µs and level 3 90 µs (zlib 6: 500 µs). Against zlib 6, a page of rows out of a
    # template becomes 4.5 % and 3.5 % larger, 453 pages of manuals, by the median, 9 % and 6.5 %. Twice the time is too
    # much for that; and a client that minds takes zstd or br.
    QUICK_LEVEL = 2
except ImportError:
    import zlib as deflate  # type: ignore[no-redef]

    # Level 3 230 µs and 8 % larger than zlib 6, level 4 290 µs and 2 %, 5 370 µs and 1 %.
    QUICK_LEVEL = 4

BEST_LEVEL = 9

# The largest window there is. A stream holds 80 KB at first, 400 KB in the end.
_RAW = -zlib.MAX_WBITS
_WRAPPED = 16 + zlib.MAX_WBITS

# RFC 1952 §2.3: magic, method 8 (deflate), flags, mtime 0 (unknown), XFL 0, OS 255 (unknown).
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_HEADER_WITH_COMMENT = b"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xff"
_TRAILER = Struct("<LL")

# zlib returns a copy of what follows each member, so an input of tiny members would be copied once for each.
_PIECE_BYTES = 16384


def compress_quickly(content: bytes, padding_bytes: int) -> bytes:
    """One member, made by isal at QUICK_LEVEL."""
    return b"".join(
        (
            _header(padding_bytes),
            deflate.compress(content, QUICK_LEVEL, wbits=_RAW),
            _trailer(deflate.crc32(content), len(content)),
        )
    )


def compress_best(content: bytes) -> bytes:
    """One member, made by zlib at BEST_LEVEL."""
    return zlib.compress(content, BEST_LEVEL, wbits=_WRAPPED)


def encoder(padding_bytes: int) -> "GzipEncoder":
    """A new encoder at QUICK_LEVEL."""
    return GzipEncoder(padding_bytes)


def decompress(content: bytes, max_bytes: int) -> bytes:
    """The content of all members, one after the other (RFC 1952 §2.2)."""
    pieces = []
    room_bytes = max_bytes + 1
    member = zlib.decompressobj(_WRAPPED)
    view = memoryview(content)
    for start in range(0, len(content), _PIECE_BYTES):
        rest: bytes | memoryview = view[start : start + _PIECE_BYTES]
        while rest:
            if member.eof:
                member = zlib.decompressobj(_WRAPPED)
            try:
                piece = member.decompress(rest, room_bytes)
            except zlib.error as error:
                raise malformed("gzip") from error
            room_bytes -= len(piece)
            if not room_bytes:
                raise too_large("gzip", max_bytes)
            pieces.append(piece)
            # Without a member's end there was room for all that `rest` says.
            rest = member.unused_data
    if not member.eof:
        raise truncated("gzip", content)
    return b"".join(pieces)


class GzipEncoder:
    """Codes one stream as one member."""

    __slots__ = ("_crc", "_deflate", "_has_unflushed", "_length", "_unsent_header")

    def __init__(self, padding_bytes: int) -> None:
        self._deflate = deflate.compressobj(QUICK_LEVEL, deflate.DEFLATED, _RAW)
        self._unsent_header = _header(padding_bytes)
        self._has_unflushed = False
        self._crc = 0
        self._length = 0

    def encode(self, content: bytes) -> bytes:
        """See `codec.Encoder`."""
        if not content:
            return b""
        self._has_unflushed = True
        self._crc = deflate.crc32(content, self._crc)
        self._length += len(content)
        return self._with_header(self._deflate.compress(content))

    def flush(self) -> bytes:
        """See `codec.Encoder`."""
        # isal writes an empty block for every flush, zlib for the first: five bytes that tell the client nothing.
        if not self._has_unflushed:
            return b""
        self._has_unflushed = False
        return self._with_header(self._deflate.flush(deflate.Z_SYNC_FLUSH))

    def finish(self) -> bytes:
        """See `codec.Encoder`."""
        return self._with_header(self._deflate.flush() + _trailer(self._crc, self._length))

    def _with_header(self, coded: bytes) -> bytes:
        """`coded`, after the member's header if there is something to send for the first time."""
        if not coded or not self._unsent_header:
            return coded
        header, self._unsent_header = self._unsent_header, b""
        return header + coded


def _header(padding_bytes: int) -> bytes:
    """A member's header; padding costs one byte more, the comment's end."""
    if not padding_bytes:
        return _HEADER
    return _HEADER_WITH_COMMENT + b"-" * padding_bytes + b"\x00"


def _trailer(crc: int, length: int) -> bytes:
    """CRC-32 and length modulo 2**32 of the content (RFC 1952 §2.3.1)."""
    return _TRAILER.pack(crc, length & 0xFFFFFFFF)
