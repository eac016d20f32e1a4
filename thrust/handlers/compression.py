"""Codes what passes through for clients that accept it: br, zstd or gzip (RFC 9110 §8.4, §12.5.3).

Only what `coding/compressible.py` knows to be worth it, and only if nobody has coded it yet: what the cache hands out
is as it should be. Content that is here is coded in one go, content that streams piece by piece, and after each piece
everything is flushed, so that an event or a token of a language model is never held back. Larger pieces are coded in a
thread. Files are read and coded as a whole if they are small enough; others stay as they are, and are sent by the
kernel. The lengths of what is coded here are blurred against BREACH (GZIP_COMPRESSION_JITTER), and requests with
credentials may be left out altogether (GZIP_COMPRESSION_DISABLE_ON_AUTH).

Parts (206) are never coded, and fit only to plain content: what a client holds of a coded one has a tag of its own, but
the same Last-Modified.
"""

import secrets
from collections.abc import Sequence

from thrust.coding.codings import compress_quickly, encoder
from thrust.coding.compressible import MIN_BYTES, is_compressible
from thrust.flow import compute
from thrust.handlers.files import whole_content
from thrust.http.coded import coded_lines, coded_trailers, codings_for, forbids_transformation, varying_by_coding
from thrust.http.conditions import CODINGS, IF_MATCH, IF_NONE_MATCH, IF_RANGE, confirmed_tag, for_worker
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import BodyStream, FileContent, Handler, Request, Response, Tunnel
from thrust.http.negotiation import IDENTITY

_CREDENTIALS = frozenset({b"authorization", b"cookie", b"x-csrf-token"})  # those that Thruster looks at

_TAGGED = frozenset({IF_MATCH, IF_NONE_MATCH})
_RANGE = frozenset({IF_RANGE, b"range"})
_VARY = (b"vary", b"accept-encoding")
_WITHOUT_CONTENT = frozenset({101, 204, 205, 304})


class Compression:
    """Codes in one of `codings`, which stand in order of preference; files of up to `max_file_bytes`."""

    def __init__(
        self,
        following: Handler,
        codings: Sequence[bytes],
        *,
        jitter_bytes: int,
        spares_credentials: bool,
        max_file_bytes: int,
    ) -> None:
        self._following = following
        self._codings = tuple(codings)
        self._jitter_bytes = jitter_bytes
        self._spares_credentials = spares_credentials
        self._max_file_bytes = max_file_bytes

    async def __call__(self, request: Request) -> Response:
        """The response from below, coded if the client accepts that and it is worth it."""
        fields = dict(request.headers.lines)
        if _TAGGED.isdisjoint(fields):
            response = await self._following(request)
        else:
            response = await self._with_plain_tags(request)
        if response.head_memo is not None or not _could_be_coded(request, response):
            return response
        if isinstance(response.body, FileContent) and _length_of_whole(response) > self._max_file_bytes:
            return response
        _vary(response.headers)
        if b"accept-encoding" not in fields:
            return response
        if self._spares_credentials and not _CREDENTIALS.isdisjoint(fields):
            return response
        accepted = codings_for(request.headers, self._codings)
        if response.status == 206:
            may_hold_coded = any(coding != IDENTITY for coding in accepted)
            return await self._whole(request, response) if may_hold_coded and _is_by_date(request) else response
        if accepted and accepted[0] != IDENTITY:
            await self._code(request, response, accepted[0])
        return response

    async def _whole(self, request: Request, part: Response) -> Response:
        """All of the content instead of a part that need not fit to what the client holds (RFC 9110 §13.1.5).

        Last-Modified is the same for all codings, and therefore no strong validator here (§8.8.2.2).
        """
        part.close()
        lines = request.headers.lines
        request.headers.lines = [line for line in lines if line[0] not in _RANGE]
        try:
            return await self(request)
        finally:
            request.headers.lines = lines

    async def _with_plain_tags(self, request: Request) -> Response:
        """The response to the request as the worker understands it: it knows nothing of our entity-tags."""
        lines = request.headers.lines
        accepted = codings_for(request.headers, CODINGS)  # also one that we make no more, but the client still has
        request.headers.lines = for_worker(lines, accepted)
        try:
            response = await self._following(request)
        finally:
            request.headers.lines = lines
        if response.status == 304:
            _restore_tag(request, response.headers, accepted)
        return response

    async def _code(self, request: Request, response: Response, coding: bytes) -> None:
        if isinstance(response.body, FileContent):
            response.body = await _file_content(request, response.body)
        content = _whole_content(request, response)
        if content is not None:
            coded = await compute(len(content), compress_quickly, coding, content, self._padding())
            if len(coded) >= len(content):
                return
            response.body = coded
        elif not isinstance(response.body, (bytes, Tunnel)):
            response.body = CodedStream(response.body, coding, self._padding())
        response.content_length = None
        response.headers.lines = coded_lines(response.headers.lines, coding)

    def _padding(self) -> int:
        return secrets.randbelow(self._jitter_bytes + 1) if self._jitter_bytes else 0


class CodedStream:
    """A BodyStream that codes another one on the way, and flushes after each piece."""

    __slots__ = ("_coding", "_encoder", "_is_finished", "_source", "trailers")

    def __init__(self, source: BodyStream, coding: bytes, padding_bytes: int) -> None:
        self._source = source
        self._coding = coding
        self._encoder = encoder(coding, padding_bytes)
        self._is_finished = False
        self.trailers: list[FieldLine] = []

    async def read(self) -> bytes:
        """The next coded piece; b"" at the end."""
        if self._is_finished:
            return b""
        while piece := await self._source.read():
            if coded := await compute(len(piece), self._code, piece):
                return coded
        self._is_finished = True
        self.trailers = coded_trailers(self._source.trailers, self._coding)
        return self._encoder.finish()

    def close(self) -> None:
        """Gives up the rest."""
        self._source.close()

    def _code(self, piece: bytes) -> bytes:
        return self._encoder.encode(piece) + self._encoder.flush()


def _restore_tag(request: Request, headers: Headers, accepted: Sequence[bytes]) -> None:
    """Puts the client's own tag into a 304: the worker has confirmed it by the name that it knows."""
    for number, (name, etag) in enumerate(headers.lines):
        if name == b"etag":
            confirmed = confirmed_tag(request.headers, etag, accepted)
            if confirmed != etag:
                headers.lines[number] = (name, confirmed)
                _vary(headers)
            return


def _is_by_date(request: Request) -> bool:
    """Whether a part was asked for by the date of the whole, in a request that can be sent once more."""
    dates = [value for value in request.headers.get_all(IF_RANGE) if not value.startswith((b'"', b"W/"))]
    return bool(dates) and request.content_length == 0


def _length_of_whole(response: Response) -> int:
    """The length of the file that the response is, or is a part of."""
    complete = response.headers.get(b"content-range", b"").rpartition(b"/")[2]
    return int(complete) if complete.isdigit() else response.content_length or 0


def _could_be_coded(request: Request, response: Response) -> bool:
    """Whether the response, or the whole that a 206 is a part of, would be coded for a client that accepts it."""
    status, content = response.status, _whole_content(request, response)
    length = response.content_length if content is None else len(content)
    if (length is not None and length < MIN_BYTES and status != 206) or status in _WITHOUT_CONTENT:
        return False
    fields = dict(response.headers.lines)
    if b"content-encoding" in fields or not is_compressible(fields.get(b"content-type", b"")):
        return False
    return b"cache-control" not in fields or not forbids_transformation(response.headers)


def _whole_content(request: Request, response: Response) -> bytes | None:
    """All of the content if it is here; in answer to HEAD the cache may have it, and then it is coded as for GET."""
    body = response.body
    return body if isinstance(body, bytes) and (body or request.method != b"HEAD") else None


async def _file_content(request: Request, content: FileContent) -> bytes:
    """All of a file that is going to be coded; nothing in answer to HEAD, where it will not be sent."""
    if request.method != b"HEAD":
        return await whole_content(content)
    content.close()
    return b""


def _vary(headers: Headers) -> None:
    """Tells caches that another client may get another coding (RFC 9110 §12.5.5)."""
    if b"vary" in dict(headers.lines):
        headers.lines = varying_by_coding(headers.lines)
    else:
        headers.lines.append(_VARY)
