"""Holds requests while no worker is ready, so that a boot, a restart or a switch looks like a slow answer.

Bounded in number and time; beyond that 503 with Retry-After, so that the client can decide for itself.
"""

import asyncio
from collections.abc import Awaitable

from thrust.http.message import Handler, Request, Response
from thrust.upstream.pool import Pool, not_ready

MAX_HELD = 1024
"""Requests held at once: at about 10 KB each they cost little memory, and a worker that has booted can bear them."""


class Hold:
    """Passes requests on when the worker is ready, for which they wait `patience_s` at most."""

    def __init__(self, following: Handler, pool: Pool, *, patience_s: float) -> None:
        self._following = following
        self._pool = pool
        self._patience_s = patience_s
        self._held = 0

    def __call__(self, request: Request) -> Awaitable[Response]:
        """Passes the request on, or raises UpstreamError with status 503."""
        return self._pass_later(request) if self._pool.port is None else self._following(request)

    async def _pass_later(self, request: Request) -> Response:
        await self._wait()
        return await self._following(request)

    async def _wait(self) -> None:
        if self._held >= MAX_HELD:
            raise not_ready(f"{MAX_HELD} requests wait already")
        self._held += 1
        try:
            async with asyncio.timeout(self._patience_s):
                await self._pool.wait_until_open()
        except TimeoutError as error:
            raise not_ready(f"the request waited {self._patience_s:g} s for it") from error
        finally:
            self._held -= 1
