"""MAX_REQUEST_BODY: refuses requests whose content is too large with 413 (RFC 9110 §15.5.14).

A declared length is judged before the worker hears of the request; chunked content while it passes.
"""

from collections.abc import Awaitable

from thrust.errors import BadMessage
from thrust.http.headers import FieldLine
from thrust.http.message import BodyStream, Handler, Request, Response


class BodyLimit:
    """Lets requests with at most `max_bytes` of content through."""

    def __init__(self, following: Handler, *, max_bytes: int) -> None:
        self._following = following
        self._max_bytes = max_bytes

    def __call__(self, request: Request) -> Awaitable[Response]:
        """Passes the request on, or raises BadMessage with status 413."""
        body = request.body
        known_bytes = len(body) if isinstance(body, bytes) else request.content_length
        if known_bytes is not None and known_bytes > self._max_bytes:
            raise too_large(known_bytes, self._max_bytes)
        if known_bytes is None and not isinstance(body, bytes):
            request.body = _LimitedBody(body, self._max_bytes)
        return self._following(request)


def too_large(seen_bytes: int, max_bytes: int) -> BadMessage:
    """The 413 for content of `seen_bytes`, or of that much so far."""
    return BadMessage(f"request body of {seen_bytes} bytes or more, at most {max_bytes} are accepted", status=413)


class _LimitedBody:
    """A BodyStream that fails once more than `max_bytes` have been read from the one behind it."""

    def __init__(self, body: BodyStream, max_bytes: int) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self._seen_bytes = 0
        self.trailers: list[FieldLine] = body.trailers

    async def read(self) -> bytes:
        """The next piece; raises BadMessage with status 413 beyond the limit."""
        piece = await self._body.read()
        self._seen_bytes += len(piece)
        if self._seen_bytes > self._max_bytes:
            raise too_large(self._seen_bytes, self._max_bytes)
        return piece

    def close(self) -> None:
        """Gives up the body behind."""
        self._body.close()
