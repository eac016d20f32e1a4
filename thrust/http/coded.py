"""The fields of a message whose content has been coded on the way (RFC 9110 §8.4, §8.8.3.3, §12.5.5).

Called wherever we code what the worker sent plain: by the compression handler for a response that passes through, by
the cache for one that it keeps, later for files.
"""

from thrust.http.conditions import etag_for
from thrust.http.fields import cache_control
from thrust.http.headers import FieldLine, Headers, tokens
from thrust.http.negotiation import IDENTITY, accepted_codings

# What was said of the content as it was: checksums (RFC 9530, RFC 3230), and that parts of it can be had.
_OF_PLAIN_CONTENT = frozenset(
    {b"accept-ranges", b"content-digest", b"content-encoding", b"content-md5", b"digest", b"repr-digest"}
)


def coded_lines(lines: list[FieldLine], coding: bytes) -> list[FieldLine]:
    """The fields of a response after its content was coded: Content-Encoding, and an entity-tag of its own."""
    return [*coded_trailers(lines, coding), (b"content-encoding", coding)]


def coded_trailers(lines: list[FieldLine], coding: bytes) -> list[FieldLine]:
    """What remains of fields, also of those after the content, when that was coded."""
    return [
        line if line[0] != b"etag" else (b"etag", etag_for(line[1], coding))
        for line in lines
        if line[0] not in _OF_PLAIN_CONTENT
    ]


def varying_by_coding(lines: list[FieldLine]) -> list[FieldLine]:
    """`lines` with Accept-Encoding in Vary; the same list if it, or `*`, is there already."""
    values = [value for name, value in lines if name == b"vary"]
    if not values:
        return [*lines, (b"vary", b"accept-encoding")]
    named = tokens(values)
    if b"accept-encoding" in named or b"*" in named:
        return lines
    others = [line for line in lines if line[0] != b"vary"]
    return [*others, (b"vary", b", ".join([*values, b"accept-encoding"]))]


def codings_for(request_headers: Headers, offered: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of `offered` and identity in which a request may be answered, the best first (`accepted_codings`)."""
    if b"cache-control" in request_headers and forbids_transformation(request_headers):
        return (IDENTITY,)
    return accepted_codings(request_headers.get_all(b"accept-encoding"), offered)


def forbids_transformation(headers: Headers) -> bool:
    """Whether content has to stay as the worker made it (`no-transform`): says a response, or asks a request.

    RFC 9111 §5.2.2.6 and §5.2.1.6.
    """
    return b"no-transform" in cache_control(headers.get_all(b"cache-control"))
