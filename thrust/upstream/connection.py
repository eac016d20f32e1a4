"""One HTTP/1.1 connection to the worker.

`begin` writes a request and returns the future of its response; the protocol callbacks fill it in. A small response is
complete when its future is, with the connection back in the pool by then; a larger one streams through a BodyBuffer.
Everything that the worker does wrong becomes an UpstreamError: on the future while no head has come, on the body after.
A connection is reused only if both messages ended exactly where their framing said (RFC 9112 §9.3).
"""

import asyncio
import select
import socket
import time
from typing import TYPE_CHECKING, cast

from thrust.errors import StaleConnection, ThrustError, UpstreamError
from thrust.flow import BodyBuffer, Deadline, WriteGate, start_task
from thrust.http.headers import Headers, names_file
from thrust.http.message import BodyStream, Request, Response, Tunnel
from thrust.upstream.request_head import request_head
from thrust.wire.http1.bodies import BodyReader, ChunkedReader, FixedLengthReader, UntilCloseReader
from thrust.wire.http1.heads import HeadBuffer
from thrust.wire.http1.responses import ResponseHead, ResponseParser, has_body, head_too_large, malformed
from thrust.wire.http1.writing import chunk, last_chunk

if TYPE_CHECKING:
    from thrust.upstream.pool import Pool

CONTINUE_AFTER_S = 1.0
"""How long the worker may think about `Expect: 100-continue` before the client is told to go on regardless; curl, too,
waits a second. Workers that do not know the field at all would leave careful clients waiting for ever."""

MAX_INTERIM_RESPONSES = 100
"""Per request (RFC 9110 §15.2). A worker has use for a few; Go's client gives up after 5."""

LAST_WORDS_BYTES = 1 << 18

STALE_WITHIN_S = 1.0
"""A reused connection that the worker had already closed tells so at once. One that breaks later broke under the
request, which the worker may have worked on, so that it is not sent again."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to the worker; idle in the pool, or owned by the exchange that `begin` started."""

    __slots__ = (
        "_answer",
        "_body",
        "_continue_timer",
        "_deadline",
        "_gate",
        "_heads",
        "_interim_count",
        "_keep_alive",
        "_loop",
        "_parser",
        "_pool",
        "_pump",
        "_reader",
        "_request",
        "_is_in_step",
        "_response_begun",
        "_silence_limit_s",
        "_spare",
        "_stalled_bytes",
        "_transport",
        "exchanges",
        "idle_since_s",
        "is_closed",
        "port",
    )

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: "Pool", port: int, parser: ResponseParser) -> None:
        self._loop = loop
        self._pool = pool
        self._parser = parser
        self._heads = HeadBuffer(malformed, head_too_large)
        self._deadline = Deadline(loop, self._expire)
        self._gate = WriteGate(loop)
        self._answer: asyncio.Future[Response] | None = None
        self._request: Request | None = None
        self._is_in_step = False
        """Whether both sides agree where the request ends, which is where the next one would begin."""
        self._response_begun = False
        self._silence_limit_s = 0.0
        self._spare: socket.socket | None = None
        """While a body is sent: the same socket once more, for `_last_words`."""
        self._stalled_bytes = 0
        self._keep_alive = False
        self._pump: asyncio.Task[None] | None = None
        self._continue_timer: asyncio.TimerHandle | None = None
        self._reader: BodyReader | None = None
        self._body: BodyBuffer | None = None
        self.port = port
        self.exchanges = 0
        self.idle_since_s = 0.0
        self.is_closed = False

    # Requests, from us to the worker

    def begin(self, request: Request) -> "asyncio.Future[Response]":
        """Sends `request`; returns the future of its response.

        The future raises UpstreamError, or the BadMessage that reading the request's body met. Whoever stops waiting
        for it calls `give_up`.
        """
        self.exchanges += 1
        self._request = request
        self._response_begun = False
        self._interim_count = self._stalled_bytes = 0
        self._answer = answer = self._loop.create_future()
        self._deadline.set(self._pool.answer_timeout_s)
        head, body = request_head(request, self._pool.told), request.body
        if isinstance(body, bytes):
            self._is_in_step = True
            self._transport.write(head + body)
            return answer
        self._is_in_step = False
        self._spare = self._transport.get_extra_info("socket").dup()
        # A piece waits for the one before it, where it grows with what follows: a transport that holds many small ones
        # takes hundreds of bytes for each.
        self._transport.set_write_buffer_limits(0)
        self._transport.write(head)
        if request.expects_continue:
            self._continue_timer = self._loop.call_later(CONTINUE_AFTER_S, self._send_continue)
        self._pump = start_task(self._loop, self._send_body(body, is_chunked=request.content_length is None))
        return answer

    async def _send_body(self, body: BodyStream, *, is_chunked: bool) -> None:
        try:
            await self._gate.drained()
            while piece := await self._next_piece(body):
                self._transport.write(chunk(piece) if is_chunked else piece)
                await self._gate.drained()
            if is_chunked:
                self._transport.write(last_chunk(body.trailers))
            self._is_in_step = not is_chunked
        except ThrustError as error:
            piece = b""  # the error lives on, and this frame with its traceback
            self.fail(error)

    async def _next_piece(self, body: BodyStream) -> bytes:
        """What the client sends next; the worker's time to answer does not run while both wait for that."""
        if self._reader is None:
            self._deadline.clear()
        piece = await body.read()
        if self._reader is None:
            self._deadline.set(self._pool.answer_timeout_s)
        return piece

    def _send_continue(self) -> None:
        """Tells the client to send its body; once per request."""
        if self._continue_timer is None or self._request is None or self._request.send_interim is None:
            return
        self._stop_continue_timer()
        self._request.send_interim(100, [])

    def _stop_continue_timer(self) -> None:
        if self._continue_timer is not None:
            self._continue_timer.cancel()
            self._continue_timer = None

    # Responses, from the worker to us

    def data_received(self, data: bytes) -> None:
        """Takes what the worker sent (asyncio.Protocol)."""
        if self._reader is None and self._answer is None:
            self.abort()  # bytes that nobody asked for: the next response on this connection could be a forged one
            return
        try:
            if self._reader is None:
                self._receive_head(data)
            else:
                self._receive_body(self._reader, data)
        except UpstreamError as error:
            self.fail(error)

    def _receive_head(self, data: bytes) -> None:
        self._response_begun = True
        while (head_bytes := self._heads.cut(data)) is not None:
            head = self._parser.parse(head_bytes)
            data = self._heads.rest
            if head.status >= 200:
                self._receive_final(head, data)
                return
            if head.status == 101:
                self._leave_http(head, data)
                return
            self._receive_interim(head)

    def _receive_interim(self, head: ResponseHead) -> None:
        request = cast(Request, self._request)
        self._interim_count += 1
        if self._interim_count > MAX_INTERIM_RESPONSES:
            raise malformed(f"more than {MAX_INTERIM_RESPONSES} interim responses")
        if head.status == 100:
            if request.expects_continue:
                self._send_continue()
        elif request.send_interim is not None:
            request.send_interim(head.status, [line for line in head.lines if not names_file(line[0])])

    def _receive_final(self, head: ResponseHead, data: bytes) -> None:
        request = cast(Request, self._request)
        self._keep_alive = head.keep_alive
        response = Response(head.status, Headers(head.lines.copy()), b"", head.content_length)
        if data and head.content_length == len(data) and request.method != b"HEAD" and head.status != 304:
            # The common response: it came in one piece (benchmark forward-1k).
            response.body = data
            self._answer_with(response)
            return
        self._stop_continue_timer()
        if not has_body(head.status, request.method):
            # Some servers send a body all the same, perhaps a little later (Waitress after HEAD). As the beginning of
            # the next response it would reach another client, so nothing that may be followed by one is reused.
            announces_body = request.method == b"HEAD" or head.is_chunked or bool(head.content_length)
            self._keep_alive = head.keep_alive and not announces_body and not data
            self._answer_with(response)
            return
        reader = _reader_for(head)
        content = reader.feed(data) if data and not reader.is_complete else b""
        if reader.is_complete:
            _check_end(reader, data)
            if not reader.trailers:
                response.body = content
                self._answer_with(response)
                return
        # An event stream may have nothing to say for hours; its client's leaving is what ends it.
        self._silence_limit_s = 0.0 if response.is_event_stream else self._pool.answer_timeout_s
        self._deadline.set(self._silence_limit_s)
        self._reader = reader
        ends_with_connection = isinstance(reader, UntilCloseReader)
        self._body = response.body = BodyBuffer(self._loop, self, self.abort, ends_with_connection=ends_with_connection)
        self._heads.rest = b""
        self._resolve(response)
        if not self.is_closed:
            self._take_content(reader, content)

    def _answer_with(self, response: Response) -> None:
        """Gives out a complete response, after the connection is free for the next exchange."""
        answer, self._answer = self._answer, None
        if self._spare is None and self._keep_alive and not self._transport.is_closing():
            self._request = None  # all that there is to forget where no body was sent
            self._deadline.clear()
            self._pool.put_back(self)
        else:
            self._finish()
        if answer is not None and not answer.done():
            answer.set_result(response)

    def _resolve(self, response: Response) -> None:
        """Gives out a response whose body is still to come."""
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            response.close()  # the one who waited has just been cancelled
        else:
            answer.set_result(response)

    def _receive_body(self, reader: BodyReader, data: bytes) -> None:
        self._deadline.set(self._silence_limit_s)
        self._take_content(reader, reader.feed(data))

    def _take_content(self, reader: BodyReader, content: bytes) -> None:
        body = cast(BodyBuffer, self._body)
        if not reader.is_complete:
            body.feed(content)
            return
        _check_end(reader, reader.rest)  # before the last bytes are given out: they would make the body look complete
        body.feed(content)
        body.end(reader.trailers)
        self._finish()

    def _leave_http(self, head: ResponseHead, data: bytes) -> None:
        """Hands the connection over as a tunnel, if the client asked for one (RFC 9110 §7.8)."""
        request = cast(Request, self._request)
        if not request.wants_upgrade or head.upgrade.lower() != b"websocket":
            raise malformed("101 (Switching Protocols) without a request for it")
        self._transport.pause_reading()
        self._deadline.cancel()
        self._pool.forget(self)
        self.is_closed = True
        self._resolve(Response(101, Headers(head.lines.copy()), Tunnel(self._transport, data)))
        self._clear()

    # Endings

    def eof_received(self) -> None:
        """The worker closed its side (asyncio.Protocol); the transport closes itself after this."""
        if self._reader is not None and self._reader.feed_eof():
            self._keep_alive = False
            cast(BodyBuffer, self._body).end()
            self._finish()
        elif self._reader is None and self._answer is None:
            self.abort()  # idle: the pool must not give it to anybody

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected (asyncio.Protocol)."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Closed by the worker or by us (asyncio.Protocol)."""
        if not self.is_closed and error is not None and (words := self._last_words()):
            self.data_received(words)
        if not self.is_closed:
            self.fail(self._loss(error))

    def _last_words(self) -> bytes:
        """What the worker said before it closed in the middle of our request (413, 401, a redirect to the login).

        Its reset ends the transport while the answer still waits in the kernel, which gives it out before the error.
        """
        if self._spare is None:
            return b""
        try:
            return self._spare.recv(LAST_WORDS_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            return b""

    def _loss(self, error: Exception | None) -> UpstreamError:
        """What the end of the connection means for the exchange under way."""
        how = f"the worker closed the connection ({error})" if error else "the worker closed the connection"
        if self._reader is not None:
            return UpstreamError(f"{how} after {self._reader!r} of the body")
        if self._response_begun:
            return UpstreamError(f"{how} in the middle of a response head")
        if self.exchanges > 1 and self._request is not None and _age_s(self._request) < STALE_WITHIN_S:
            return StaleConnection(f"{how}, which had been idle, before answering")
        return UpstreamError(f"{how} before answering")

    def _expire(self) -> None:
        limit_s = self._pool.answer_timeout_s
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._stalled_bytes:  # it has taken some of the request, if not all
            self._stalled_bytes = unsent
            self._deadline.set(limit_s)
        elif self._reader is not None:
            self.fail(UpstreamError(f"the worker was silent for {limit_s:g} s after {self._reader!r} of the body"))
        else:
            self.fail(UpstreamError(f"the worker did not answer within {limit_s:g} s", status=504))

    def fail(self, error: ThrustError) -> None:
        """Ends the exchange with `error` and the connection with it."""
        answer, body = self._answer, self._body
        self.abort()
        if body is not None:
            body.fail(error if isinstance(error, UpstreamError) else UpstreamError(str(error)))
        elif answer is not None and not answer.done():
            answer.set_exception(error)

    def give_up(self, answer: "asyncio.Future[Response]") -> None:
        """Nobody waits for `answer` any more: ends its exchange, so that the worker notices.

        If the answer has just come, this connection may be another's already, and only the response is closed.
        """
        if self._answer is answer:
            self.abort()
        elif not answer.cancelled() and answer.exception() is None:
            answer.result().close()

    def has_input(self) -> bool:
        """Whether an idle connection has something to read: its end, or bytes that nobody asked for."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Closes the connection at once, so that the worker notices; nobody is told anything more."""
        if self.is_closed:
            return
        self.is_closed = True
        self._clear()
        self._deadline.cancel()
        self._gate.fail(UpstreamError("the connection to the worker is closed"))
        self._pool.forget(self)
        self._transport.abort()

    def _finish(self) -> None:
        """The response is complete: back to the pool, or closed where framing or the worker demand it."""
        if self._is_in_step and self._keep_alive and not self._transport.is_closing():
            self._clear()
            self._deadline.clear()
            self._pool.put_back(self)
        else:
            self.abort()

    def _clear(self) -> None:
        self._stop_continue_timer()
        request = self._request
        self._answer = self._request = self._reader = self._body = None
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        if self._pump is not None:
            pump, self._pump = self._pump, None
            if not pump.done():
                pump.cancel()
                cast(BodyStream, cast(Request, request).body).close()  # so that the client can get rid of the rest

    # Flow control

    def pause_reading(self) -> None:
        """Lets the worker wait (BodyBuffer's source); a client that reads slowly is not the worker's silence."""
        self._deadline.clear()
        if not self.is_closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Goes on reading (BodyBuffer's source)."""
        if not self.is_closed:
            if self._reader is not None:
                self._deadline.set(self._silence_limit_s)
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The worker reads more slowly than the client sends (asyncio.Protocol)."""
        self._gate.pause()
        self._stalled_bytes = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """The worker reads again (asyncio.Protocol); its time to answer begins when it has the whole request."""
        self._gate.resume()
        self._stalled_bytes = self._transport.get_write_buffer_size()
        if self._answer is not None:
            self._deadline.set(self._pool.answer_timeout_s)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "idle" if self._request is None else f"busy with {self._request!r}"
        return f"<UpstreamConnection :{self.port} {state}, {self.exchanges} exchanges>"


def _age_s(request: Request) -> float:
    return time.perf_counter() - request.exchange.started_s


def _reader_for(head: ResponseHead) -> BodyReader:
    if head.is_chunked:
        return ChunkedReader(malformed)
    if head.content_length is not None:
        return FixedLengthReader(head.content_length)
    return UntilCloseReader()


def _check_end(reader: BodyReader, data: bytes) -> None:
    """Raises UpstreamError if bytes follow the end of a response: a body longer than it said, or a forged answer."""
    rest = data if isinstance(reader, FixedLengthReader) and reader.length == 0 else reader.rest
    if rest:
        raise malformed(f"{len(rest)} bytes after the end of the body")
