"""Codes what passes through for clients that accept it: br, zstd or gzip (RFC 9110 §8.4, §12.5.3).

Only what `coding/compressible.py` knows to be worth it, and only if nobody has coded it yet: what the cache hands out
is as it should be. Content that is here is coded in one go, content that streams piece by piece, and after each piece
everything is flushed, so that an event or a token of a language model is never held back. Larger pieces are coded in a
thread. The lengths of what is coded here are blurred against BREACH (GZIP_COMPRESSION_JITTER), and requests with
credentials may be left out altogether (GZIP_COMPRESSION_DISABLE_ON_AUTH).
"""

import secrets
from collections.abc import Sequence

from thrust.coding.codec import Encoder
from thrust.coding.codings import compress_quickly, encoder
from thrust.coding.compressible import MIN_BYTES, is_compressible
from thrust.flow import compute
from thrust.http.coded import coded_lines, forbids_transformation, varying_by_coding
from thrust.http.conditions import IF_MATCH, IF_NONE_MATCH, etag_without_coding, for_worker
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import BodyStream, Handler, Request, Response, Tunnel
from thrust.http.negotiation import IDENTITY, accepted_codings

_CREDENTIALS = frozenset({b"authorization", b"cookie", b"x-csrf-token"})  # those that Thruster looks at

_TAGGED = frozenset({IF_MATCH, IF_NONE_MATCH})
_SPOKEN_FOR = frozenset({b"content-encoding", b"content-range"})
_VARY = (b"vary", b"accept-encoding")
_WITHOUT_CONTENT = frozenset({101, 204, 205, 304})


class Compression:
    """Codes in one of `codings`, which stand in order of preference."""

    def __init__(
        self, following: Handler, codings: Sequence[bytes], *, jitter_bytes: int, spares_credentials: bool
    ) -> None:
        self._following = following
        self._codings = tuple(codings)
        self._jitter_bytes = jitter_bytes
        self._spares_credentials = spares_credentials

    async def __call__(self, request: Request) -> Response:
        """The response from below, coded if the client accepts that and it is worth it."""
        fields = dict(request.headers.lines)
        if _TAGGED.isdisjoint(fields):
            response = await self._following(request)
        else:
            response = await self._with_plain_tags(request)
        if response.head_memo is not None or not _could_be_coded(request, response):
            return response
        _vary(response.headers)
        if b"accept-encoding" not in fields or (self._spares_credentials and not _CREDENTIALS.isdisjoint(fields)):
            return response
        accepted = accepted_codings(request.headers.get_all(b"accept-encoding"), self._codings)
        if accepted and accepted[0] != IDENTITY:
            await self._code(request, response, accepted[0])
        return response

    async def _with_plain_tags(self, request: Request) -> Response:
        """The response to the request as the worker understands it: it knows nothing of our entity-tags."""
        lines = request.headers.lines
        request.headers.lines = for_worker(lines)
        try:
            response = await self._following(request)
        finally:
            request.headers.lines = lines
        if response.status == 304:
            _restore_tag(response.headers, request.headers)
        return response

    async def _code(self, request: Request, response: Response, coding: bytes) -> None:
        body = response.body
        if isinstance(body, bytes) and request.method != b"HEAD":
            coded = await compute(len(body), compress_quickly, coding, body, self._padding())
            if len(coded) >= len(body):
                return
            response.body = coded
        else:
            response.content_length = None
            if not isinstance(body, (bytes, Tunnel)):
                response.body = CodedStream(body, encoder(coding, self._padding()))
        response.headers.lines = coded_lines(response.headers.lines, coding)

    def _padding(self) -> int:
        return secrets.randbelow(self._jitter_bytes + 1) if self._jitter_bytes else 0


class CodedStream:
    """A BodyStream that codes another one on the way, and flushes after each piece."""

    __slots__ = ("_encoder", "_is_finished", "_source", "trailers")

    def __init__(self, source: BodyStream, encoder: Encoder) -> None:
        self._source = source
        self._encoder = encoder
        self._is_finished = False
        self.trailers: list[FieldLine] = source.trailers

    async def read(self) -> bytes:
        """The next coded piece; b"" at the end."""
        if self._is_finished:
            return b""
        while piece := await self._source.read():
            if coded := await compute(len(piece), self._code, piece):
                return coded
        self._is_finished = True
        return self._encoder.finish()

    def close(self) -> None:
        """Gives up the rest."""
        self._source.close()

    def _code(self, piece: bytes) -> bytes:
        return self._encoder.encode(piece) + self._encoder.flush()


def _could_be_coded(request: Request, response: Response) -> bool:
    """Whether the response would be coded for a client that accepts everything."""
    body, length = response.body, response.content_length
    if isinstance(body, bytes) and request.method != b"HEAD":
        length = len(body)
    if (length is not None and length < MIN_BYTES) or response.status in _WITHOUT_CONTENT:
        return False
    fields = dict(response.headers.lines)
    if not is_compressible(fields.get(b"content-type", b"")) or not _SPOKEN_FOR.isdisjoint(fields):
        return False
    return b"cache-control" not in fields or not forbids_transformation(response.headers)


def _vary(headers: Headers) -> None:
    """Tells caches that another client may get another coding (RFC 9110 §12.5.5)."""
    if b"vary" in dict(headers.lines):
        headers.lines = varying_by_coding(headers.lines)
    else:
        headers.lines.append(_VARY)


def _restore_tag(headers: Headers, request_headers: Headers) -> None:
    """Puts the client's own tag into a 304: the worker has confirmed it by the name that it knows."""
    confirmed = headers.get(b"etag")
    if confirmed is None:
        return
    for value in request_headers.get_all(IF_NONE_MATCH):
        for tag in value.split(b","):
            if etag_without_coding(tag.strip()) == confirmed:
                headers.lines = [(name, tag.strip() if name == b"etag" else old) for name, old in headers.lines]
                return
