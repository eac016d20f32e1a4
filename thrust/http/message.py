"""Request, Response, the kinds of body, and the shape of a handler: what all rooms speak to each other (RFC 9110).

A body is `bytes` when it is all here, otherwise something with `read`; one that comes out of a file can be sent by the
kernel instead. HTTP versions differ in framing only, which is the business of `wire/`, so nothing here knows of
Content-Length against chunks.
"""

import errno
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from thrust.http.exchange import Exchange, Texts
from thrust.http.headers import FieldLine, Headers
from thrust.http.ranges import Range

if TYPE_CHECKING:
    import asyncio

FILE_PIECE_BYTES = 65536
"""What is read of a file at once where the kernel cannot send it; a client that does not read keeps so much in memory,
over HTTP/2 for each of its streams."""

_NO_WAITING: int | None = getattr(os, "RWF_NOWAIT", None)

T = TypeVar("T")


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


class InThread(Protocol):
    """Runs a function that may wait for a disk off the event loop: `asyncio.to_thread`, or threads of its own."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class Descriptor:
    """A file descriptor that is closed when nobody holds this object any more.

    A thread that waits for a disk cannot be called back. It holds the object too, so that the number is not given to
    another file or connection before the thread has returned.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class FileContent:
    """Parts of a file with bytes between them; a BodyStream, of which the kernel may send what is left.

    `segments` are literal bytes and half-open ranges of the file, in the order in which they are sent; `length` is what
    they are together, and becomes the response's `content_length`. The descriptor `fd` is ours from now on. There is
    one reader, which calls `read`, or takes what `upcoming` shows by other means and says so with `advance`.
    """

    __slots__ = ("_descriptor", "_segments", "in_thread", "length", "trailers")

    def __init__(self, fd: int, segments: Sequence[bytes | Range], in_thread: InThread) -> None:
        self._descriptor: Descriptor | None = Descriptor(fd)
        sizes = [_segment_bytes(segment) for segment in segments]
        self._segments = deque(segment for segment, size in zip(segments, sizes, strict=True) if size)
        self.in_thread = in_thread
        self.length = sum(sizes)
        self.trailers: list[FieldLine] = []

    @property
    def descriptor(self) -> Descriptor:
        """The file; stays open for as long as it is held. OSError after `close`."""
        if self._descriptor is None:
            raise _given_up()
        return self._descriptor

    @property
    def upcoming(self) -> bytes | Range | None:
        """The first segment that has not been taken, or the rest of it; None at the end."""
        return self._segments[0] if self._segments else None

    def advance(self, count: int) -> None:
        """So many bytes of `upcoming` have been taken."""
        segment = self._segments.popleft()
        if count < _segment_bytes(segment):
            rest = segment[count:] if isinstance(segment, bytes) else (segment[0] + count, segment[1])
            self._segments.appendleft(rest)

    async def read(self) -> bytes:
        """The next FILE_PIECE_BYTES or fewer, b"" at the end.

        Raises OSError, which the caller translates: what the disk says, that the file has become shorter than its
        segments, that `close` was called meanwhile.
        """
        descriptor = self.descriptor
        segment = self.upcoming
        if segment is None:
            return b""
        if isinstance(segment, bytes):
            piece = segment
        else:
            start, stop = segment
            stop = min(stop, start + FILE_PIECE_BYTES)
            piece = read_cached(descriptor, start, stop)
            if not piece:
                piece = await self.in_thread(partial(_read_at, descriptor, start, stop - start))
            if self._descriptor is None:
                raise _given_up()
            if not piece:
                raise OSError(errno.EIO, "the file became shorter while it was sent")
        self.advance(len(piece))
        return piece

    def close(self) -> None:
        """Gives up the rest. Closes the file, at once or when a thread that still reads it has returned."""
        self._descriptor = None
        self._segments.clear()

    def __repr__(self) -> str:
        return f"<FileContent {'closed' if self._descriptor is None else 'open'}, {len(self._segments)} segments left>"


def _given_up() -> OSError:
    return OSError(errno.EBADF, "the file was given up")


def _segment_bytes(segment: bytes | Range) -> int:
    return len(segment) if isinstance(segment, bytes) else segment[1] - segment[0]


def read_cached(descriptor: Descriptor, start: int, stop: int) -> bytes:
    """What of a range can be had without waiting for a disk; b"" if that is not known."""
    if _NO_WAITING is None:
        return b""
    room = bytearray(stop - start)
    try:
        count = os.preadv(descriptor.number, [room], start, _NO_WAITING)
    except OSError:
        return b""
    return bytes(memoryview(room)[:count])


def _read_at(descriptor: Descriptor, offset: int, count: int) -> bytes:
    return os.pread(descriptor.number, count, offset)


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

    # Defaults on the class, because setting them one by one costs every request (benchmark forward-1k).
    method: bytes
    target: bytes
    headers: Headers
    authority: bytes
    exchange: Exchange
    body: Body = b""
    content_length: int | None = 0
    expects_continue: bool = False
    wants_upgrade: bool = False
    send_interim: SendInterim | None = None
    """Writes an interim (1xx) response at once; None where the client cannot take one (HTTP/1.0)."""
    scheme: bytes = b"http"
    origin: Origin | None = None
    texts: Texts | None = None
    """Method, path and query for the record, where they have been made already."""
    cache_key: tuple[bytes, ...] | None = None
    """The cache's own: what the resource is known by, once that has been put together."""

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

    __slots__ = ("body", "content_length", "field_block_memo", "head_memo", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: "Body | Tunnel" = b"",
        content_length: int | None = None,
    ) -> None:
        self.head_memo: bytes | None = None
        """b"" if this very response will be sent again: a server may keep here what it has made of its head."""
        self.field_block_memo = b""
        """The same for HTTP/2, whose heads look different; kept if `head_memo` is not None."""
        self.status = status
        self.headers = headers
        self.body = body
        self.content_length = content_length

    @property
    def is_event_stream(self) -> bool:
        """Whether the body goes on for as long as there are events (text/event-stream, HTML §9.2)."""
        return self.headers.get(b"content-type", b"").lower().startswith(b"text/event-stream")

    def length_without_content(self, body: bytes) -> int | None:
        """The Content-Length where `body` is left out (HEAD, 204, 304): that of the GET, if known (RFC 9110 §8.6)."""
        if self.status == 204:
            return None
        return self.content_length if self.content_length is not None else len(body) or None

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
