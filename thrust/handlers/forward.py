"""The last link of the chain: passes the request to the worker and hands out its response.

A request that meets a pooled connection which the worker has just closed is sent once more on a new one, if its method
is safe (RFC 9110 §9.2.1) and its body has not been read away. Any other is not, because the worker may have acted on
it; for those the kernel is asked beforehand whether the connection still lives.
"""

from thrust.errors import StaleConnection
from thrust.http.message import Origin, Request, Response
from thrust.upstream.connection import UpstreamConnection
from thrust.upstream.pool import Pool
from thrust.wire.http1.writing import field_lines

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})

# Written from what the request says of itself, so that they are what was understood, not what was received.
_REWRITTEN = frozenset({b"host", b"content-length", b"expect"})


class Forward:
    """Sends requests to the worker that `pool` leads to."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __call__(self, request: Request) -> Response:
        """The worker's response. Raises UpstreamError, or the BadMessage that the request's body turned out to be."""
        head = request_head(request)
        is_repeatable = request.method in SAFE_METHODS and isinstance(request.body, bytes)
        connection = self._pool.take(checked=not is_repeatable) or await self._pool.dial()
        try:
            return await _exchange(connection, head, request)
        except StaleConnection:
            if not is_repeatable:
                raise
        return await _exchange(await self._pool.dial(), head, request)


async def _exchange(connection: UpstreamConnection, head: bytes, request: Request) -> Response:
    answer = connection.begin(head, request)
    try:
        return await answer
    except BaseException:
        # Also when we are cancelled because the client left: the worker notices by its connection.
        connection.abort()
        raise


def request_head(request: Request) -> bytes:
    """The bytes of the request's head as the worker gets it (RFC 9112 §3)."""
    framing = b""
    if request.content_length is None and not isinstance(request.body, bytes):
        framing = b"transfer-encoding: chunked\r\n"
    elif (length := _content_length(request)) or request.method in (b"POST", b"PUT", b"PATCH"):
        framing = b"content-length: %d\r\n" % length
    if request.expects_continue:
        framing += b"expect: 100-continue\r\n"
    if request.wants_upgrade:
        framing += b"connection: Upgrade\r\nupgrade: websocket\r\n"
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b%b\r\n" % (
        request.method,
        request.target,
        request.authority,
        field_lines([line for line in request.headers.lines if line[0] not in _REWRITTEN]),
        _origin_lines(request.origin) if request.origin is not None else b"",
        framing,
    )


def _origin_lines(origin: Origin) -> bytes:
    """The field lines that tell the worker where a request comes from."""
    lines = (
        b"x-forwarded-for: %b\r\nx-forwarded-host: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-port: %b\r\n"
        b"x-real-ip: %b\r\nx-request-start: %b\r\nx-request-id: %b\r\n"
    ) % (
        origin.forwarded_for,
        origin.host,
        origin.scheme,
        origin.port,
        origin.address,
        origin.request_start,
        origin.request_id,
    )
    return lines + b"forwarded: %b\r\n" % origin.forwarded if origin.forwarded else lines


def _content_length(request: Request) -> int:
    return len(request.body) if isinstance(request.body, bytes) else request.content_length or 0
