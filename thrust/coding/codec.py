"""What every content coding can do, and the error when content is not what it claims to be.

Each of `br.py`, `zstd.py` and `gzip.py` is a Codec: a module with the functions below. They are found by name in
`codings.py`, and that is where callers go; nobody else imports them, because each loads its library.
"""

from typing import Protocol

from thrust.errors import ThrustError


class CodingError(ThrustError):
    """Coded content that cannot be decoded: malformed, cut short, followed by something else, or too large.

    The content came from the worker, so what it means for the client is for the caller to say.
    """


class Encoder(Protocol):
    """Codes one stream of content. Not to be used by two threads at once; nothing may follow `finish`."""

    def encode(self, content: bytes) -> bytes:
        """What is ready to be sent after `content` was added; b"" while it is being held back."""
        ...

    def flush(self) -> bytes:
        """The rest of what the client needs to decode all that was added so far; b"" if it has it already."""
        ...

    def finish(self) -> bytes:
        """The end of the stream, never empty: the coding of no content is not no bytes."""
        ...


class Codec(Protocol):
    """One coding; `codings.py` says what each function promises."""

    def compress_quickly(self, content: bytes, padding_bytes: int) -> bytes: ...

    def compress_best(self, content: bytes) -> bytes: ...

    def encoder(self, padding_bytes: int) -> Encoder: ...

    def decompress(self, content: bytes, max_bytes: int) -> bytes: ...


def malformed(coding: str) -> CodingError:
    """The error for content that breaks the coding's grammar, or goes on after its end."""
    return CodingError(f"malformed {coding} content")


def truncated(coding: str, content: bytes) -> CodingError:
    """The error for `content` that stops before the coding's end."""
    return CodingError(f"{coding} content ends too early, after {len(content)} bytes")


def too_large(coding: str, max_bytes: int) -> CodingError:
    """The error for content that is a bomb, or just more than the caller has room for."""
    return CodingError(f"decoded {coding} content exceeds {max_bytes} bytes")
