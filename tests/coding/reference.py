"""Decoders that are not ours, whole and piece by piece, and content to try them with.

They stand for the clients: the reference implementations of brotli and zstd are what browsers and curl have inside.
"""

import random
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CLIENTS_WINDOW_LOG = 23
"""Browsers refuse zstd windows above 8 MB (RFC 9659)."""

WORDS = [
    "".join(random.Random(number).choices("etaoinshrdlucmfwypvbgk", k=2 + number % 9)).encode() for number in range(900)
]


@cache
def text(length: int, seed: int = 1) -> bytes:
    """`length` bytes of words, some much more common than others, as compressible as prose."""
    chance = random.Random(seed)
    words = (WORDS[int(chance.paretovariate(0.6)) % len(WORDS)] for _ in range(length // 2 + 1))
    return b" ".join(words)[:length]


Decode = Callable[[bytes], bytes]
"""Takes the next piece of coded content, returns all that can be decoded by now."""


def incremental_decoder(coding: bytes) -> Decode:
    """A client that decodes what comes, as it comes."""
    match coding:
        case b"br":
            return brotli_decoder()
        case b"zstd":
            options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: CLIENTS_WINDOW_LOG}
            return zstd.ZstdDecompressor(options=options).decompress
        case b"gzip":
            return zlib.decompressobj(wbits=31).decompress
    raise AssertionError(coding)


def brotli_decoder() -> Decode:
    """A decoder that is asked for the rest, as Chromium does it: brotli hands out what fits one buffer at a time."""
    decoder = brotli.Decompressor()

    def decode(content: bytes) -> bytes:
        pieces = [decoder.process(content)]
        while pieces[-1] and not decoder.is_finished():
            pieces.append(decoder.process(b""))
        return b"".join(pieces)

    return decode


def decoded(coding: bytes, content: bytes) -> bytes:
    """What a strict client makes of `content`: exactly one stream, frame or member, complete, with nothing after it."""
    match coding:
        case b"br":
            return brotli.decompress(content)  # type: ignore[no-any-return]  # has no types
        case b"zstd":
            options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: CLIENTS_WINDOW_LOG}
            frame = zstd.ZstdDecompressor(options=options)
            result = frame.decompress(content)
            assert frame.eof and not frame.unused_data
            return result
        case b"gzip":
            member = zlib.decompressobj(wbits=31)
            result = member.decompress(content)
            assert member.eof and not member.unused_data
            return result
    raise AssertionError(coding)


def curl_knows(coding: bytes) -> bool:
    """Whether there is a curl here, and it decodes `coding`."""
    if shutil.which("curl") is None:
        return False
    features = subprocess.run(["curl", "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    return {b"br": "brotli", b"zstd": "zstd", b"gzip": "libz"}[coding] in features.split()


def zstd_frame(content: bytes, window_log: int) -> bytes:
    """A frame that asks for a window of that size."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: window_log}
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(content) + compressor.flush()
