"""The head of a request as the worker gets it (RFC 9112 §3): what was understood, not what was received.

Called by `connection` for every request. Framing, Host and the fields about the request's origin are written anew;
everything else passes as it came, in the same order.
"""

from thrust.http.message import Origin, Request
from thrust.wire.http1.writing import field_lines


def request_head(request: Request, told: bytes = b"") -> bytes:
    """The bytes of the request's head as the worker gets it (RFC 9112 §3), with the field lines `told` of our own."""
    framing = told
    if request.content_length is None and not isinstance(request.body, bytes):
        framing += b"transfer-encoding: chunked\r\nconnection: close\r\n"  # some workers do not read chunks
    elif (length := _content_length(request)) or request.method in (b"POST", b"PUT", b"PATCH"):
        framing += b"content-length: %d\r\n" % length
    if request.expects_continue:
        framing += b"expect: 100-continue\r\n"
    if request.wants_upgrade:
        framing += b"connection: Upgrade\r\nupgrade: websocket\r\n"
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b%b\r\n" % (
        request.method,
        request.target,
        request.authority,
        field_lines(request.headers.lines),
        _origin_lines(request.origin, request) if request.origin is not None else b"",
        framing,
    )


def _origin_lines(origin: Origin, request: Request) -> bytes:
    """The field lines that tell the worker where a request comes from, and when (`t=<Unix time in milliseconds>`)."""
    lines = (
        b"x-forwarded-for: %b\r\nx-forwarded-host: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-port: %b\r\n"
        b"x-real-ip: %b\r\nx-request-start: %b\r\nx-request-id: %b\r\n"
    ) % (
        origin.forwarded_for,
        origin.host,
        origin.scheme,
        origin.port,
        origin.address,
        origin.request_start or b"t=%d" % (request.exchange.started_at * 1000),
        origin.request_id,
    )
    return lines + b"forwarded: %b\r\n" % origin.forwarded if origin.forwarded else lines


def _content_length(request: Request) -> int:
    return len(request.body) if isinstance(request.body, bytes) else request.content_length or 0
