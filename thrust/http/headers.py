"""Ordered header fields (RFC 9110 §5) as bytes, and which of them belong to one hop only.

A field line is a pair `(name, value)`: the name in lower case, the value without surrounding white space. Order and
repetition are kept. Lists are short (a browser sends a dozen), so look-ups scan: no index is built for the many
messages that are only passed on.
"""

from collections.abc import Iterable, Iterator
from typing import overload

FieldLine = tuple[bytes, bytes]

# RFC 9110 §7.6.1: fields that talk about this connection, not about the message. `proxy-connection` is a
# misunderstanding of the nineties that still arrives; `keep-alive` was never registered as anything but this.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# RFC 9110 §6.5.1: what would change framing, routing, authentication or the content's meaning may not come late; who
# the client is counts as routing, and is for a proxy to say.
_FORBIDDEN_IN_TRAILERS = HOP_BY_HOP | {
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"max-forwards",
    b"set-cookie",
    b"x-real-ip",
    b"x-request-id",
    b"x-request-start",
}
_FORBIDDEN_PREFIXES_IN_TRAILERS = (b"x-accel-", b"x-forwarded-", b"x-lighttpd-send-file", b"x-sendfile")
_FILE_PREFIXES = (b"x-accel-", b"x-lighttpd-send-file", b"x-sendfile")


class Headers:
    """The field lines of one message, in order."""

    __slots__ = ("lines",)

    def __init__(self, lines: list[FieldLine] | None = None) -> None:
        """Takes `lines` over, without a copy."""
        self.lines: list[FieldLine] = [] if lines is None else lines

    @overload
    def get(self, name: bytes) -> bytes | None: ...

    @overload
    def get(self, name: bytes, default: bytes) -> bytes: ...

    def get(self, name: bytes, default: bytes | None = None) -> bytes | None:
        """The value of the first line called `name` (lower case), or `default`."""
        for line in self.lines:
            if line[0] == name:
                return line[1]
        return default

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of all lines called `name` (lower case), in order."""
        return [value for line_name, value in self.lines if line_name == name]

    def add(self, name: bytes, value: bytes) -> None:
        """Appends a line; others of that name stay."""
        self.lines.append((name, value))

    def __contains__(self, name: bytes) -> bool:
        return any(line[0] == name for line in self.lines)

    def __iter__(self) -> Iterator[FieldLine]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.lines == other.lines

    def __repr__(self) -> str:
        return f"Headers({self.lines!r})"


def may_be_trailer(name: bytes) -> bool:
    """Whether a field called `name` (lower case) may follow the content instead of preceding it.

    Names with `_` may not: whoever merges trailers the WSGI way would take them for those with `-`.
    """
    return (
        name not in _FORBIDDEN_IN_TRAILERS and not name.startswith(_FORBIDDEN_PREFIXES_IN_TRAILERS) and b"_" not in name
    )


def names_file(name: bytes) -> bool:
    """Whether a field called `name` (lower case) is one by which an app tells the path of a file: not for clients."""
    return name.startswith(_FILE_PREFIXES)


def tokens(values: Iterable[bytes]) -> list[bytes]:
    """The members of a comma-separated list spread over `values`, in lower case (RFC 9110 §5.6.1)."""
    return [token for value in values for item in value.lower().split(b",") if (token := item.strip(b" \t"))]
