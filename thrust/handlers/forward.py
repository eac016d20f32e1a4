"""The last link of the chain: passes the request to the worker and hands out its response.

A request that meets a pooled connection which the worker has just closed is sent once more on a new one, if its method
is safe (RFC 9110 §9.2.1) and its body has not been read away. Any other is not, because the worker may have acted on
it; for those the kernel is asked beforehand whether the connection still lives.
"""

from thrust.errors import StaleConnection, UpstreamError
from thrust.http.message import Request, Response
from thrust.upstream.pool import Pool

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


class Forward:
    """Sends requests to the worker that `pool` leads to."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(self, request: Request) -> Response:
        """The worker's response. Raises UpstreamError, or the BadMessage that the request's body turned out to be."""
        is_repeatable = request.method in SAFE_METHODS and isinstance(request.body, bytes)
        connection = self._pool.take(checked=not is_repeatable) or await self._pool.dial()
        answer = connection.begin(request)
        try:
            return await answer
        except StaleConnection as error:
            if not is_repeatable:
                raise
            stale = error
        except BaseException:
            # Also when we are cancelled because the client left: the worker notices by its connection.
            connection.give_up(answer)
            raise
        return await self._try_again(request, stale)

    async def _try_again(self, request: Request, stale: StaleConnection) -> Response:
        try:
            connection = await self._pool.dial()
        except UpstreamError as error:
            raise stale from error  # it was not the connection that the worker had left: it has left altogether
        answer = connection.begin(request)
        try:
            return await answer
        except BaseException:
            connection.give_up(answer)
            raise
