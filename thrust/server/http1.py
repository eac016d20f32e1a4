"""One HTTP/1.x connection of a client (RFC 9112).

`data_received` cuts heads out of the stream and starts one task per request, which asks the handler and writes the
answer; requests that are pipelined wait until the one before them is answered. The read path never awaits: a body goes
into a bounded BodyBuffer, later requests into `_held`, and whoever sends faster than it is consumed is paused.

Endings are told apart with care. A client that closes in the middle cancels its task, and with it the worker's work. A
client that only ends its sending side (half-close) still gets its answer. A response that breaks is aborted with a
reset, so that it never looks complete. After an error that leaves unread input we linger (RFC 9112 §9.6).
"""

import asyncio
import time
from typing import cast

from thrust.errors import BadMessage, ClientGone, ThrustError
from thrust.flow import STREAM_HIGH_WATER_BYTES, BodyBuffer, start_task
from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine
from thrust.http.message import Body, BodyStream, FileContent, Response, Tunnel
from thrust.server.connection import LINGER_S, ClientConnection
from thrust.server.departure import DepartureWatch
from thrust.server.file_sending import send_file
from thrust.server.front import Front
from thrust.server.tunnel import splice
from thrust.wire.http1.bodies import BodyReader, ChunkedReader, FixedLengthReader
from thrust.wire.http1.heads import HeadBuffer
from thrust.wire.http1.requests import RequestHead, head_too_large
from thrust.wire.http1.writing import CONTINUE, chunk, field_lines, last_chunk, status_line

JOINED_BODY_BYTES = 65536
"""Bodies up to this are copied behind their head and written as one; larger ones are written as they are."""


class Http1Connection(ClientConnection):
    """A client's connection; created by the listener, lives until `connection_lost`."""

    __slots__ = (
        "_body",
        "_exchange",
        "_head",
        "_heads",
        "_held",
        "_ignores_input",
        "_is_event_stream",
        "_reader",
        "_scheme",
        "_task",
    )

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop, scheme: bytes = b"http") -> None:
        super().__init__(front, loop)
        self._scheme = scheme
        self._heads = HeadBuffer(BadMessage, head_too_large)
        self._head: RequestHead | None = None
        """The request that a task answers; None between requests."""
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._reader: BodyReader | None = None
        self._body: BodyBuffer | None = None
        self._held = b""
        self._ignores_input = False
        self._is_event_stream = False

    # Reading

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent (asyncio.Protocol)."""
        if self._ignores_input:
            return
        try:
            if self._reader is not None:
                self._receive_body(self._reader, data)
            elif self._head is not None or self._held:
                self._hold(data)
            else:
                self._receive_head(data)
        except BadMessage as error:
            self._refuse(error)

    def _receive_head(self, data: bytes) -> None:
        head_bytes = self._heads.cut(data)
        if head_bytes is None:
            if self._heads.was_empty:
                self._read_deadline.set(self._front.timeouts.read_s)
            return
        self._exchange = exchange = Exchange(self.peer_address, time.time(), time.perf_counter())
        head = self._front.parser.parse(head_bytes)
        self._read_deadline.clear()
        head.exchange = exchange
        head.scheme = self._scheme
        exchange.describe(head, "HTTP/1.1" if head.minor_version else "HTTP/1.0")
        if head.content_length != 0:
            head.body = self._begin_body(head, exchange, self._heads.rest)
        elif self._heads.rest:
            self._hold(self._heads.rest)
        self._heads.rest = b""
        if self._front.at_once is not None:
            response = self._front.at_once(head)
            if response is not None:
                self._answer_at_once(response, exchange, head)
                return
        if head.minor_version:
            head.send_interim = self._send_interim
        self._head = head
        task = start_task(self._loop, self._serve(head, exchange))
        if not task.done():
            self._task = task

    def _begin_body(self, head: RequestHead, exchange: Exchange, data: bytes) -> Body:
        """The body of a request: bytes if `data` holds all of it, else a stream; what follows it is held."""
        reader: BodyReader
        reader = ChunkedReader(BadMessage) if head.content_length is None else FixedLengthReader(head.content_length)
        content = reader.feed(data) if data else b""
        if reader.is_complete and not reader.trailers:
            if reader.rest:
                self._hold(reader.rest)
            head.expects_continue = False
            if head.content_length is None:
                exchange.request_content_length = len(content)
            return content
        self._reader = reader
        self._body = body = BodyBuffer(self._loop, self, self._abandon_body)
        if not head.expects_continue:  # else its time begins when the client is told to go on
            self._read_deadline.set(self._front.timeouts.read_s)
        self._take_content(reader, body, content)
        return body

    def _receive_body(self, reader: BodyReader, data: bytes) -> None:
        self._read_deadline.set(self._front.timeouts.read_s)
        content = reader.feed(data)
        self._take_content(reader, cast(BodyBuffer, self._body), content)

    def _take_content(self, reader: BodyReader, body: BodyBuffer, content: bytes) -> None:
        if isinstance(reader, ChunkedReader):
            cast(Exchange, self._exchange).request_content_length += len(content)
        body.feed(content)
        if reader.is_complete:
            self._reader = self._body = None
            self._read_deadline.clear()
            body.end(reader.trailers)
            if reader.rest:
                self._hold(reader.rest)

    def _hold(self, data: bytes) -> None:
        """Keeps pipelined requests for later; a client that sends many has to wait."""
        self._held += data
        if len(self._held) > STREAM_HIGH_WATER_BYTES:
            self.pause_reading()

    def _abandon_body(self) -> None:
        """Nobody wants the rest of the request's body: it is read and ignored, during the answer and after it."""
        if self._reader is not None:
            self._read_deadline.clear()

    # Answering

    def _answer_at_once(self, response: Response, exchange: Exchange, head: RequestHead) -> None:
        """Writes what is in memory, without a task; a client that does not read it waits before its next request."""
        exchange.status = response.status
        exchange.response_headers = response.headers
        self._write_whole(response, cast(bytes, response.body), exchange, head)
        self._front.finish(exchange)
        self._end_exchange(head)

    async def _serve(self, head: RequestHead, exchange: Exchange) -> None:
        """Answers one request; the task of `_receive_head`."""
        try:
            response = await self._front.handler(head)
            exchange.status = response.status
            exchange.response_headers = response.headers
            if isinstance(response.body, bytes):
                self._write_whole(response, response.body, exchange, head)
            else:
                await self._answer(response, response.body, exchange, head)
        except ClientGone as error:
            self._note_departure(exchange, str(error))
            self._reset()
        except ThrustError as error:
            exchange.error = exchange.error or str(error)
            self._reset()
        except asyncio.CancelledError:
            self._note_departure(exchange, "the client closed the connection before the response was complete")
            raise
        except Exception as error:
            exchange.error = f"internal error: {error!r}"
            self._reset()
            self._loop.call_exception_handler({"message": "an answer could not be written", "exception": error})
        finally:
            self._task = None
            self._front.finish(exchange)
        self._end_exchange(head)

    async def _answer(
        self, response: Response, body: BodyStream | Tunnel, exchange: Exchange, head: RequestHead
    ) -> None:
        """Writes a response that takes its time."""
        if isinstance(body, Tunnel):
            self._transport.write(status_line(101) + b"connection: Upgrade\r\nupgrade: websocket\r\n")
            self._transport.write(field_lines(response.headers.lines) + b"\r\n")
            await self._tunnel(body, exchange)
            return
        try:
            if isinstance(body, FileContent):
                await self._write_file(response, body, exchange, head)
            else:
                await self._write_stream(response, body, exchange, head)
        finally:
            response.close()

    def _write_whole(self, response: Response, body: bytes, exchange: Exchange, head: RequestHead) -> None:
        length: int | None = len(body)
        if head.method == b"HEAD" or response.status in (204, 304):
            length = response.length_without_content(body)
            body = b""
        data = response.head_memo
        if not data:
            framing = b"" if length is None else b"content-length: %d\r\n" % length
            data = self._fields(response, framing, exchange)
            if response.head_memo is not None:
                response.head_memo = data
        data += self._persistence(head)
        exchange.body_bytes = len(body)
        if len(body) <= JOINED_BODY_BYTES:
            self._transport.write(data + body)
        else:
            # Not writelines: that of CPython 3.12 and 3.13 never tells us to pause, however much is left unsent.
            self._transport.write(data)
            self._transport.write(body)

    async def _write_stream(self, response: Response, body: BodyStream, exchange: Exchange, head: RequestHead) -> None:
        is_chunked = False
        framing = b""
        if response.content_length is not None:
            framing = b"content-length: %d\r\n" % response.content_length
        elif head.minor_version:
            is_chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        else:
            head.keep_alive = False  # HTTP/1.0 knows no chunks: the end of the connection ends the body
        self._transport.write(self._fields(response, framing, exchange) + self._persistence(head))
        if response.is_event_stream:
            self._is_event_stream = True
            self._front.notify()
        while piece := await body.read():
            exchange.body_bytes += len(piece)
            self._transport.write(chunk(piece) if is_chunked else piece)
            if not self._gate.is_open:
                piece = b""  # the transport has its own, for as long as the client takes
                await self._gate.drained()
        if is_chunked:
            self._transport.write(last_chunk(body.trailers))

    async def _write_file(self, response: Response, body: FileContent, exchange: Exchange, head: RequestHead) -> None:
        data = self._fields(response, b"content-length: %d\r\n" % body.length, exchange) + self._persistence(head)
        if head.method == b"HEAD":
            self._transport.write(data)
        else:
            await send_file(self._loop, self._transport, self._gate, data, body, exchange)

    def _fields(self, response: Response, framing: bytes, exchange: Exchange) -> bytes:
        """The head of a response, but for what depends on the connection and the empty line."""
        data = status_line(response.status) + field_lines(response.headers.lines)
        # `find`, because `in` costs ten times as much: it first tries to read its operand as one byte's number.
        has_date = data.find(b"\r\ndate: ") != -1
        date = b"" if has_date else b"date: %b\r\n" % self._front.date(exchange.started_at)
        return b"%b%b%b" % (data, date, framing)

    def _persistence(self, head: RequestHead) -> bytes:
        """The end of a response's head; decides whether the connection persists (RFC 9112 §9.3)."""
        if self._front.is_draining or self._reader is not None or (self._saw_eof and not self._held):
            head.keep_alive = False
        if not head.keep_alive:
            return b"connection: close\r\n\r\n"
        return b"\r\n" if head.minor_version else b"connection: keep-alive\r\n\r\n"

    def _send_interim(self, status: int, lines: list[FieldLine]) -> None:
        if self._transport.is_closing() or not self._gate.is_open:
            return  # nobody has to get one, least of all a client that does not read
        if status == 100 and not lines:
            self._transport.write(CONTINUE)
            if self._reader is not None:
                self._read_deadline.set(self._front.timeouts.read_s)
        else:
            self._transport.write(status_line(status) + field_lines(lines) + b"\r\n")

    async def _tunnel(self, tunnel: Tunnel, exchange: Exchange) -> None:
        """Leaves HTTP: bytes go both ways until both sides are done."""
        cast(RequestHead, self._head).keep_alive = False
        self._read_deadline.cancel()
        self._write_deadline.cancel()
        self._front.notify()
        self.resume_reading()
        held, self._held = self._held, b""
        try:
            exchange.body_bytes = await splice(
                self._loop, self._transport, held, tunnel, client_ended=self._saw_eof, patience_s=LINGER_S
            )
        finally:
            self._front.dismiss(self)

    # Between requests

    def _end_exchange(self, head: RequestHead) -> None:
        """Goes on to the next request, or ends the connection, after an answer was written."""
        self._head = self._exchange = None
        self._is_event_stream = False
        if self._transport.is_closing():
            return
        if self._reader is not None:
            self._reader = self._body = None
            self._linger()
        elif not head.keep_alive or (self._saw_eof and not self._held) or self._front.is_draining:
            self._close()
        elif not self._gate.is_open:
            self.pause_reading()  # no next request before the client has taken this answer: resume_writing goes on
        elif self._held:
            self._loop.call_soon(self._take_held)
        else:
            self._read_deadline.set(self._front.timeouts.idle_s)
            if self._read_paused:
                self.resume_reading()

    def _take_held(self) -> None:
        if self._head is not None or self._transport.is_closing():
            return
        held, self._held = self._held, b""
        self.resume_reading()
        self.data_received(held)
        if not self._saw_eof:
            return
        if self._exchange is None:
            self._close()
        else:
            self._watch_departure(self._exchange, may_ask=False)

    def _refuse(self, error: BadMessage) -> None:
        """Answers bytes that are not HTTP, and closes: what follows them cannot be trusted."""
        if self._body is not None:  # the framing of a body broke while the handler is at work: it will hear of it
            self._body.fail(error)
            self._ignores_input = True
            return
        exchange = self._exchange or Exchange(self.peer_address, time.time(), time.perf_counter())
        response = self._front.refusal(error, self._scheme)
        exchange.status = response.status
        exchange.error = str(error)
        exchange.response_headers = response.headers
        head = RequestHead(b"", 1)
        head.keep_alive = False
        self._write_whole(response, cast(bytes, response.body), exchange, head)
        self._front.finish(exchange)
        self._exchange = None
        self._linger()

    # Endings

    def eof_received(self) -> bool:
        """The client ends its sending side (asyncio.Protocol); True keeps ours open."""
        self._saw_eof = True
        if self._exchange is None:
            if not self._held:
                self._close()
        elif self._body is not None and not self._body.is_ended:
            self._body.fail(ClientGone("the client closed the connection in the middle of its request's body"))
        else:
            self._watch_departure(self._exchange, may_ask=self._head is not None and self._head.minor_version == 1)
        return True

    def _watch_departure(self, exchange: Exchange, *, may_ask: bool) -> None:
        watch = DepartureWatch(
            self._loop, self._transport, self._gate, exchange, lambda: self._exchange is not exchange
        )
        watch.begin(may_ask=may_ask)

    def _abandon(self, gone: ClientGone) -> None:
        if self._body is not None:
            self._body.fail(gone)
        if self._task is not None:
            self._task.cancel()

    def _note_departure(self, exchange: Exchange, how: str) -> None:
        """Blames the client for the end of `exchange`, unless it is known to be somebody else's doing."""
        if not exchange.error:
            exchange.error = how
            exchange.status = exchange.status or ClientGone.status

    def _linger(self) -> None:
        self._ignores_input = True
        self._held = b""
        super()._linger()

    @property
    def is_busy(self) -> bool:
        """Whether a shutdown waits: for an answer, unless it is an event stream or a tunnel, or for its last bytes."""
        if self._head is None or self._exchange is None:
            return super().is_busy
        return not self._is_event_stream and self._exchange.status != 101

    def drain(self) -> None:
        """Closes the connection now if it is idle, else after the exchange under way."""
        if self._head is None and not self._is_lingering and not self._transport.is_closing():
            self._close()

    def end_stream(self, *, also_tunnel: bool = False) -> None:
        """Ends an event stream, whose client will come again, and a tunnel if asked to; anything else goes on."""
        if self._is_event_stream:
            self.abort()
        elif also_tunnel and self._exchange is not None and self._exchange.status == 101:
            self._exchange.error = "thrust is stopping"
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection now; an exchange under way counts as broken."""
        if self._exchange is not None:
            self._exchange.error = self._exchange.error or "thrust is stopping"
        if self._exchange is not None or self._transport.get_write_buffer_size():
            self._reset()
        else:
            self._transport.abort()  # all was said, and what the kernel still has to send shall arrive

    # What ClientConnection asks

    def _read_expired(self) -> None:
        if self._is_lingering or (self._head is None and self._heads.is_empty):
            self._close()
            return
        limit_s = self._front.timeouts.read_s
        what = "the request's body stalled" if self._body is not None else "the request's head was not complete"
        self._refuse(BadMessage(f"{what} for {limit_s:g} s", status=408))

    def _blame_reader(self, reason: str) -> None:
        if self._exchange is not None:
            self._exchange.error = reason

    def resume_reading(self) -> None:
        """Goes on reading; the rest of a body has its time from now on (BodyBuffer's source)."""
        if self._read_paused and self._reader is not None and not self._transport.is_closing():
            self._read_deadline.set(self._front.timeouts.read_s)
        super().resume_reading()

    def _writing_resumed(self) -> None:
        if self._head is not None:
            return
        if self._held:
            self._take_held()
        else:
            self._read_deadline.set(self._front.timeouts.idle_s)
            self.resume_reading()

    def __repr__(self) -> str:
        state = "closing" if self._is_closing else "idle" if self._head is None else f"busy with {self._exchange!r}"
        return f"<Http1Connection {self.peer_address} {state}>"
