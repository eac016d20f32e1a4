"""The coding br (RFC 7932), with metadata as padding.

Padding goes into meta-blocks that hold metadata, which a decoder skips (§9.2). The library does not write them, but a
flush ends at a byte boundary, where a meta-block can be put in by hand. So the padding follows an encoder's first,
empty flush: after the stream header that only the library can write, and before everything that has to be hidden.

What a flush makes decodable is not always seen: a brotli decoder hands out one buffer full at the end of its input, and
keeps the rest until it is asked again. Chromium asks; Firefox has a buffer as large as our window; curl 7.88 shows no
more than 16 KB of one flush before the next.
"""

import brotli

from thrust.coding.codec import malformed, too_large, truncated

# Against zlib 6, for 30 KB of HTML (500 µs) and 100 KB of script (2.8 ms):
# quality 2 165 µs and 5 % larger, 0.75 ms and 7 % larger; 3 205 µs and 3 %, 0.9 ms and 5 %;
# 4 360 µs and 2 % smaller, 1.4 ms and 3 % larger; 5 490 µs and 8 % smaller, 2 ms and 3 % smaller.
QUICK_QUALITY = 3

# The library's text mode changes not a byte at these qualities, in HTML, script, SVG or Japanese.
BEST_QUALITY = 11

# Windows are as large as the content, from 64 KB to the 4 MB that are brotli's default: neither side holds more than it
# needs, and nothing gets larger.
_MIN_WINDOW_LOG = 16
_MAX_WINDOW_LOG = 22

# For streams 128 KB, Firefox's buffer. A stream holds 275 KB at first, 1 MB in the end; with 256 KB it would be 1.2 MB.
_STREAM_WINDOW_LOG = 17

# A meta-block of metadata at a byte boundary: ISLAST 0, MNIBBLES 11, a reserved 0, MSKIPBYTES 01, then the length less
# one in 8 bits, and two bits to the next boundary, all from the lowest bit on.
_METADATA_HEADER_BYTES = 2
_LARGEST_METADATA_BYTES = 256


def compress_quickly(content: bytes, padding_bytes: int) -> bytes:
    """One stream at QUICK_QUALITY."""
    window_log = _window_log(content)
    if not padding_bytes:
        coded: bytes = brotli.compress(content, quality=QUICK_QUALITY, lgwin=window_log)
        return coded
    stream = BrotliEncoder(padding_bytes, window_log)
    return stream.encode(content) + stream.finish()


def compress_best(content: bytes) -> bytes:
    """One stream at BEST_QUALITY."""
    coded: bytes = brotli.compress(content, quality=BEST_QUALITY, lgwin=_window_log(content))
    return coded


def encoder(padding_bytes: int) -> "BrotliEncoder":
    """A new encoder at QUICK_QUALITY."""
    return BrotliEncoder(padding_bytes, _STREAM_WINDOW_LOG)


def decompress(content: bytes, max_bytes: int) -> bytes:
    """The content of the one stream that there may be."""
    decoder = brotli.Decompressor()
    try:
        decoded: bytes = decoder.process(content, output_buffer_limit=max_bytes + 1)
    except brotli.error as error:
        raise malformed("br") from error
    if len(decoded) > max_bytes:
        raise too_large("br", max_bytes)
    if not decoder.is_finished():
        raise truncated("br", content)
    return decoded


class BrotliEncoder:
    """Codes one stream."""

    __slots__ = ("_compressor", "_has_begun", "_unsent")

    def __init__(self, padding_bytes: int, window_log: int) -> None:
        self._compressor = brotli.Compressor(quality=QUICK_QUALITY, lgwin=window_log)
        self._has_begun = False
        # The stream header and the padding, which travel with the first content.
        self._unsent = self._compressor.flush() + _metadata(padding_bytes) if padding_bytes else b""

    def encode(self, content: bytes) -> bytes:
        """See `codec.Encoder`."""
        if not content:
            return b""
        self._has_begun = True
        return self._with_unsent(self._compressor.process(content))

    def flush(self) -> bytes:
        """See `codec.Encoder`."""
        # The library sends nothing twice, but the first flush would send a stream header with nothing to follow it.
        if not self._has_begun:
            return b""
        return self._with_unsent(self._compressor.flush())

    def finish(self) -> bytes:
        """See `codec.Encoder`."""
        return self._with_unsent(self._compressor.finish())

    def _with_unsent(self, coded: bytes) -> bytes:
        """`coded`, after the padding if there is something to send for the first time."""
        if not coded or not self._unsent:
            return coded
        unsent, self._unsent = self._unsent, b""
        return unsent + coded


def _window_log(content: bytes) -> int:
    """The base-2 logarithm of the smallest window that `content` fits into, within limits."""
    return min(max(len(content).bit_length(), _MIN_WINDOW_LOG), _MAX_WINDOW_LOG)


def _metadata(padding_bytes: int) -> bytes:
    """`padding_bytes` + 2 bytes of meta-blocks that decode to nothing; belongs at a byte boundary."""
    # Each meta-block but the last takes 256 bytes with its header, so the headers but one count as padding.
    others, last = divmod(padding_bytes - 1, _LARGEST_METADATA_BYTES)
    return _metadata_block(_LARGEST_METADATA_BYTES - _METADATA_HEADER_BYTES) * others + _metadata_block(last + 1)


def _metadata_block(skip_bytes: int) -> bytes:
    """A meta-block with 1 to 256 bytes of metadata (RFC 7932 §9.2)."""
    header = 0b01_0_11_0 | skip_bytes - 1 << 6
    return header.to_bytes(_METADATA_HEADER_BYTES, "little") + b"-" * skip_bytes
