"""Coding and decoding content by the coding's name: the door of this room (RFC 9110 §8.4.1).

Called by the handlers for what passes through, and by the cache for what it keeps. The library of a coding is imported
when the coding is used for the first time (brotli 1 ms, isal 2 ms, zstd 9 ms), because start-up waits for no client
that might want it. Names are bytes as in Accept-Encoding and Content-Encoding: lower case, and not `x-gzip`.

Whether content is worth coding is for `compressible.py` to say, which coding a client gets for `http/`.

**Length jitter.** BREACH reads a secret out of the length of compressed content that repeats what the attacker sent.
`padding_bytes` makes content longer without changing what it decodes to: by so many bytes and a few more, the same for
every padding but 0, which adds nothing. Callers draw the number at random for each response. What that is worth is
limited: of a hundred answers to the same request the shortest has next to no padding in 0..32, so an attacker has to
ask some hundred times where once was enough. It is a brake, not a wall; the wall is not to compress what carries a
secret (GZIP_COMPRESSION_DISABLE_ON_AUTH). All padding of a stream travels with its first piece: pieces that are flushed
later show their own lengths to whoever counts TLS records.
"""

from functools import cache

from thrust.coding.codec import Codec, CodingError, Encoder

CODINGS = (b"br", b"zstd", b"gzip")
"""Every coding there is, in the order of preference by default."""


def compress_quickly(coding: bytes, content: bytes, padding_bytes: int = 0) -> bytes:
    """`content` coded at a price that a client can be made to wait for, `padding_bytes` longer than it need be.

    CPU for 30 KB of HTML and 100 KB of script: gzip 0.04 and 0.16 ms, zstd 0.07 and 0.35 ms, br 0.2 and 0.9 ms
    (`benchmarks/micro/bench_coding.py`). The GIL is released meanwhile, so that a thread can do it for large content.
    """
    return _codec(coding).compress_quickly(content, padding_bytes)


def compress_best(coding: bytes, content: bytes) -> bytes:
    """`content` as small as `coding` gets it within reason, for what is sent many times; call it in a thread.

    100 KB of script take 115 ms in br, 25 ms in zstd, 5 ms in gzip. All three libraries release the GIL for
    nearly the whole time, on every supported CPython (other threads were seen to run all along).
    """
    return _codec(coding).compress_best(content)


def encoder(coding: bytes, padding_bytes: int = 0) -> Encoder:
    """A new Encoder for content that comes piece by piece, `padding_bytes` longer than it need be.

    Memory per stream: 10 KB before the first piece, 80 KB (gzip), 250 KB (zstd), 275 KB (br) while events of some
    hundred bytes are flushed, and in the end at most 400 KB, 600 KB and 1 MB, however long the stream.
    """
    return _codec(coding).encoder(padding_bytes)


def decompress(coding: bytes, content: bytes, max_bytes: int) -> bytes:
    """What `content` decodes to, all of it.

    Stops as soon as that is more than `max_bytes`, holding little more than these. Raises CodingError then, and for
    content that is malformed, cut short, or followed by anything else.
    """
    return _codec(coding).decompress(content, max_bytes)


@cache
def _codec(coding: bytes) -> Codec:
    """The module for `coding`, which may have to be loaded; raises CodingError if there is none."""
    match coding:
        case b"br":
            from thrust.coding import br

            return br
        case b"zstd":
            from thrust.coding import zstd

            return zstd
        case b"gzip":
            from thrust.coding import gzip

            return gzip
    raise CodingError(f"unknown content coding {coding[:30]!r}, known are br, zstd and gzip")
