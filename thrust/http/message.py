"""Request, Response, the kinds of body, and the shape of a handler: what all rooms speak to each other (RFC 9110).

A body is `bytes` when it is all here, otherwise something with `read`. HTTP versions differ in framing only, which
is the business of `wire/`, so nothing here knows of Content-Length against chunks.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine, Headers

if TYPE_CHECKING:
    import asyncio


class BodyStream(Protocol):
    """Content that is not all here yet. One reader, which reads to the end or closes."""

    trailers: list[FieldLine]
    """Trailer fields; complete once `read` has returned b""."""

    async def read(self) -> bytes:
        """The next piece, never empty; b"" at the end, and again after it.

        Waits for the sender. Raises BadMessage or UpstreamError when the content cannot become complete.
        """
        ...

    def close(self) -> None:
        """Gives up the rest, at any time and as often as wanted; wakes a waiting `read` with an error."""
        ...


Body = bytes | BodyStream

SendInterim = Callable[[int, list[FieldLine]], None]
"""Sends an interim response (1xx, RFC 9110 §15.2) with these fields at once."""


class Origin:
    """Where a request comes from, as far as we know or trust those who say so (`handlers/identify.py`).

    Bytes as they are written to the worker: `forwarded_for` is the list of addresses up to our peer, `forwarded` the
    trusted peer's own Forwarded field (RFC 7239), `request_start` its X-Request-Start, b"" if it did not say any.
    """

    __slots__ = ("address", "forwarded", "forwarded_for", "host", "port", "request_id", "request_start", "scheme")

    def __init__(
        self,
        address: bytes,
        forwarded_for: bytes,
        scheme: bytes,
        host: bytes,
        port: bytes,
        request_start: bytes,
        request_id: bytes,
        forwarded: bytes = b"",
    ) -> None:
        self.address = address
        self.forwarded_for = forwarded_for
        self.scheme = scheme
        self.host = host
        self.port = port
        self.request_start = request_start
        self.request_id = request_id
        self.forwarded = forwarded


class Request:
    """One request, the same for every HTTP version.

    `target` is in origin-form (`/path?query`) or `*`, byte for byte as it arrived. `authority` is the Host that the
    client meant, b"" for an HTTP/1.0 client that did not say. `headers` never name what has an attribute: Host,
    Content-Length, Expect. `content_length` is None when unknown in advance (chunked). `origin` is None until the
    request has been identified. `wants_upgrade` is set when a WebSocket handshake (RFC 6455 §4.1) may be answered
    with 101.
    """

    __slots__ = (
        "authority",
        "body",
        "content_length",
        "exchange",
        "expects_continue",
        "headers",
        "method",
        "origin",
        "scheme",
        "send_interim",
        "target",
        "wants_upgrade",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        authority: bytes,
        exchange: Exchange,
        body: Body = b"",
        content_length: int | None = 0,
        expects_continue: bool = False,
        wants_upgrade: bool = False,
        send_interim: SendInterim | None = None,
        scheme: bytes = b"http",
    ) -> None:
        self.origin: Origin | None = None
        self.method = method
        self.target = target
        self.headers = headers
        self.authority = authority
        self.exchange = exchange
        self.scheme = scheme
        self.body = body
        self.content_length = content_length
        self.expects_continue = expects_continue
        self.wants_upgrade = wants_upgrade
        self.send_interim = send_interim
        """Writes an interim (1xx) response at once; None where the client cannot take one (HTTP/1.0)."""

    def __repr__(self) -> str:
        return f"<Request {self.method.decode()} {self.target!r}>"


class Tunnel:
    """The worker's half of a connection that has left HTTP after a 101 (RFC 9110 §7.8).

    `transport` is paused; whoever takes the tunnel sets its own protocol on it, passes `leftover` on first, resumes
    reading and closes it in the end. `close` is for whoever cannot.
    """

    __slots__ = ("leftover", "transport")

    def __init__(self, transport: "asyncio.Transport", leftover: bytes) -> None:
        self.transport = transport
        self.leftover = leftover

    def close(self) -> None:
        """Closes the worker's half without having used it."""
        self.transport.abort()


class Response:
    """One final response (or 101), the same for every HTTP version.

    `headers` never name a Content-Length: `content_length` is that of a body that is streamed, None when unknown; a
    body of bytes knows its own. For the answer to HEAD it is the length that GET would have had. Whoever drops a
    Response calls `close`.
    """

    __slots__ = ("body", "content_length", "head_memo", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: "Body | Tunnel" = b"",
        content_length: int | None = None,
    ) -> None:
        self.head_memo: bytes | None = None
        """b"" if this very response will be sent again: a server may keep here what it has made of its head."""
        self.status = status
        self.headers = headers
        self.body = body
        self.content_length = content_length

    @property
    def is_event_stream(self) -> bool:
        """Whether the body goes on for as long as there are events (text/event-stream, HTML §9.2)."""
        return self.headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")

    def close(self) -> None:
        """Gives up a body that nobody will read."""
        if not isinstance(self.body, bytes):
            self.body.close()

    def __repr__(self) -> str:
        return f"<Response {self.status} {type(self.body).__name__}>"


Handler = Callable[[Request], Awaitable[Response]]
"""Answers a request. Expected failures leave it as a ThrustError; see `handlers/chain.py` for who catches them."""

AtOnce = Callable[[Request], Response | None]
"""Answers a request from memory, without waiting for anything; None if that is not possible. Its body is bytes."""
