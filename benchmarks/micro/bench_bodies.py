"""What reading chunks costs (`thrust.wire.http1.bodies`), above all the smallest, which keep the loop longest."""

from functools import partial

from benchmarks.micro.run import bench
from thrust.errors import BadMessage
from thrust.wire.http1.bodies import ChunkedReader

READ_BYTES = 262144
"""The most that an event loop hands over in one call."""


def a_read_of(line: bytes, content: bytes) -> bytes:
    """One read full of the same chunk."""
    chunk = line + b"\r\n" + content + b"\r\n"
    return chunk * (READ_BYTES // len(chunk))


def feed(data: bytes) -> bytes:
    """The content of `data`, which starts a body."""
    return ChunkedReader(BadMessage).feed(data)


def main() -> None:
    """Prints a line per case."""
    bench("256 KB, chunks of 1 byte", partial(feed, a_read_of(b"1", b"x")))
    bench("256 KB, chunks of 1, with extension", partial(feed, a_read_of(b"1;", b"x")))
    bench("256 KB, chunks of 1, with leading zero", partial(feed, a_read_of(b"01", b"x")))
    bench("256 KB, chunks of 8", partial(feed, a_read_of(b"8", b"x" * 8)))
    bench("256 KB, chunks of 100", partial(feed, a_read_of(b"64", b"x" * 100)))
    bench("256 KB, chunks of 16 KB", partial(feed, a_read_of(b"4000", b"x" * 16384)))
    bench("1 KB in one chunk, and its end", partial(feed, b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"))


if __name__ == "__main__":
    main()
