"""http-01: tells a certificate authority what it wants to read while an order is under way (RFC 8555 §8.3).

What to say comes from `tls/answers`, through a function, and there is something to say for a few seconds every few
weeks. It lies in a file, so a thread looks. A path that nobody has ordered for goes on to the app, which may have an
ACME client of its own.
"""

import asyncio
from collections.abc import Callable

from thrust.http.headers import Headers
from thrust.http.message import Handler, Request, Response

PREFIX = b"/.well-known/acme-challenge/"

Answer = Callable[[bytes], bytes | None]
"""Path without query → the key authorization to answer with, or None."""


class AcmeChallenge:
    """Answers challenges, and lets everything else through."""

    def __init__(self, following: Handler, answer: Answer) -> None:
        self._following = following
        self._answer = answer

    async def __call__(self, request: Request) -> Response:
        """The key authorization, or what comes from below."""
        if request.target.startswith(PREFIX) and request.method in (b"GET", b"HEAD"):
            found = await asyncio.to_thread(self._answer, request.target.partition(b"?")[0])
            if found is not None:
                return Response(200, Headers([(b"content-type", b"application/octet-stream"), _NOT_STORED]), found)
        return await self._following(request)


_NOT_STORED = (b"cache-control", b"no-store")
