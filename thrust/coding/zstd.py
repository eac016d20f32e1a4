"""The coding zstd (RFC 8878), with a window that HTTP clients accept (RFC 9659) and empty blocks as padding.

The library is the stdlib's from 3.14 on, and its backport before.

Padding goes into the frame as blocks without content, right after the frame header. A skippable frame would be the
format's own way, and does not work: Chromium drops what it has received after a frame that decodes to nothing
(net/filter/filter_source_stream.cc), and others stop after the first frame. Empty blocks come in two sizes, 3 bytes
(raw) and 4 (RLE), which make up every length from 6 on.
"""

import sys

from thrust.coding.codec import malformed, too_large, truncated

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Against zlib 6 for 30 KB of HTML (500 µs): level 2 60 µs and 8 % larger, 3 75 µs and 5 %, 5 200 µs and as large.
QUICK_LEVEL = 3

# Levels 20 to 22 gain less than 0.1 % on content below 400 KB, and from 8 MB on would use windows that clients refuse.
BEST_LEVEL = 19

MAX_WINDOW_LOG = 23
"""8 MB, the most that a client has to accept, and we do (RFC 9659 §3)."""

# For streams: tables a quarter of what level 3 takes, in exchange for 0.2 % of size, and a window of 128 KB. A stream
# holds 250 KB at first, 600 KB in the end.
_STREAM_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: QUICK_LEVEL,
    zstd.CompressionParameter.window_log: 17,
    zstd.CompressionParameter.hash_log: 15,
    zstd.CompressionParameter.chain_log: 14,
}
_DECODER_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}

# The library returns a copy of what follows each frame, so an input of tiny frames would be copied once for each.
_PIECE_BYTES = 16384

# Block_Header (RFC 8878 §3.1.1.2): not the last one, type, size 0; an RLE block has its one byte all the same.
_EMPTY_RAW_BLOCK = b"\x00\x00\x00"
_EMPTY_RLE_BLOCK = b"\x02\x00\x00\x00"


def compress_quickly(content: bytes, padding_bytes: int) -> bytes:
    """One frame at QUICK_LEVEL that says how long its content is."""
    return _padded(zstd.compress(content, QUICK_LEVEL), padding_bytes)


def compress_best(content: bytes) -> bytes:
    """One frame at BEST_LEVEL."""
    return zstd.compress(content, BEST_LEVEL)


def encoder(padding_bytes: int) -> "ZstdEncoder":
    """A new encoder at QUICK_LEVEL."""
    return ZstdEncoder(padding_bytes)


def decompress(content: bytes, max_bytes: int) -> bytes:
    """The content of all frames, one after the other; skippable ones have none (RFC 8878 §3.1)."""
    pieces = []
    room_bytes = max_bytes + 1
    frame = zstd.ZstdDecompressor(options=_DECODER_OPTIONS)
    view = memoryview(content)
    for start in range(0, len(content), _PIECE_BYTES):
        rest: bytes | memoryview = view[start : start + _PIECE_BYTES]
        while rest:
            if frame.eof:
                frame = zstd.ZstdDecompressor(options=_DECODER_OPTIONS)
            try:
                piece = frame.decompress(rest, room_bytes)
            except zstd.ZstdError as error:
                raise malformed("zstd") from error
            room_bytes -= len(piece)
            if not room_bytes:
                raise too_large("zstd", max_bytes)
            pieces.append(piece)
            # Without a frame's end there was room for all that `rest` says.
            rest = frame.unused_data
    if not frame.eof:
        raise truncated("zstd", content)
    return b"".join(pieces)


class ZstdEncoder:
    """Codes one stream as one frame."""

    __slots__ = ("_compressor", "_has_unflushed", "_unsent_padding_bytes")

    def __init__(self, padding_bytes: int) -> None:
        self._compressor = zstd.ZstdCompressor(options=_STREAM_OPTIONS)
        self._has_unflushed = False
        self._unsent_padding_bytes = padding_bytes

    def encode(self, content: bytes) -> bytes:
        """See `codec.Encoder`."""
        if not content:
            return b""
        self._has_unflushed = True
        return self._with_padding(self._compressor.compress(content))

    def flush(self) -> bytes:
        """See `codec.Encoder`."""
        # The library would send nothing either, but take all of its memory.
        if not self._has_unflushed:
            return b""
        self._has_unflushed = False
        return self._with_padding(self._compressor.flush(zstd.ZstdCompressor.FLUSH_BLOCK))

    def finish(self) -> bytes:
        """See `codec.Encoder`."""
        return self._with_padding(self._compressor.flush(zstd.ZstdCompressor.FLUSH_FRAME))

    def _with_padding(self, coded: bytes) -> bytes:
        """`coded`, with the padding in it if it is the first to be sent, and so begins with the frame header."""
        if not coded or not self._unsent_padding_bytes:
            return coded
        padding_bytes, self._unsent_padding_bytes = self._unsent_padding_bytes, 0
        return _padded(coded, padding_bytes)


def _padded(frame: bytes, padding_bytes: int) -> bytes:
    """`frame`, or its beginning, with blocks that decode to nothing: `padding_bytes` + 6, or none for 0."""
    if not padding_bytes:
        return frame
    end_of_header = _header_bytes(frame)
    needed_bytes = padding_bytes + 6
    rle_blocks = needed_bytes % 3
    raw_blocks = (needed_bytes - rle_blocks * len(_EMPTY_RLE_BLOCK)) // len(_EMPTY_RAW_BLOCK)
    padding = _EMPTY_RAW_BLOCK * raw_blocks + _EMPTY_RLE_BLOCK * rle_blocks
    return frame[:end_of_header] + padding + frame[end_of_header:]


def _header_bytes(frame: bytes) -> int:
    """The length of the frame header with its magic number, without a dictionary id (RFC 8878 §3.1.1.1)."""
    descriptor = frame[4]
    is_single_segment = descriptor >> 5 & 1
    window_descriptor_bytes = 1 - is_single_segment
    content_size_bytes = (is_single_segment, 2, 4, 8)[descriptor >> 6]
    return 5 + window_descriptor_bytes + content_size_bytes
