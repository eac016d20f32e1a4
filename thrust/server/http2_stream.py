"""One stream of an HTTP/2 connection: a request, the task that answers it, the content on its way (RFC 9113 §5, §8).

`http2` makes one per request, tells it what arrives, and has it send when its turn has come (`http2_sending`). Content
of the request is held in a bounded buffer; the client's window is opened as somebody reads, so that an app which does
not read holds back its own stream only. Of the answer there is one piece at a time. A client that opens no window for
it has the write timeout, like one that does not read.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from thrust.errors import BadMessage, ClientGone, ThrustError
from thrust.flow import BodyBuffer, Deadline, start_task
from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import BodyStream, FileContent, Request, Response, Tunnel
from thrust.server.http2_tunnel import accepts_tunnel, run_tunnel
from thrust.wire.http2.field_blocks import response_block
from thrust.wire.http2.frames import MAX_FRAME_BYTES, ErrorCode
from thrust.wire.http2.outgoing import STREAM_WINDOW_BYTES

if TYPE_CHECKING:
    from thrust.server.http2 import Http2Connection

MIN_PROGRESS_BYTES = 1024
"""What a client has to let through within the write timeout. A window that is opened by single bytes is no reading."""

RESET_AFTER_S = 0.2
"""Between the end of an answer and the reset that stops a request which still goes on; what comes is thrown away."""


_NO_REQUEST = Request(b"", b"", Headers(), b"", Exchange("", 0.0, 0.0))


class RequestBody(BodyBuffer):
    """Content that opens the client's window as it is read; nothing has to be paused, because the window is a bound."""

    __slots__ = ("_stream",)

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: "Http2Stream") -> None:
        super().__init__(loop, stream, stream.abandon_body)
        self._stream = stream

    async def read(self) -> bytes:
        """The next piece (BodyStream)."""
        piece = await super().read()
        if piece:
            self._stream.give_credit(len(piece))
        return piece


class Http2Stream:
    """A request and its answer; lives until both have ended, or one of them is given up."""

    __slots__ = (
        "_body",
        "_connection",
        "_content",
        "_credit_bytes",
        "_engine",
        "_front",
        "_has_begun_answer",
        "_has_ended_answer",
        "_is_over",
        "_loop",
        "_notes_end",
        "_open_bytes",
        "_progress_bytes",
        "_read_deadline",
        "_sent_waiter",
        "_task",
        "_write_deadline",
        "early",
        "exchange",
        "head",
        "id",
        "is_endless",
        "is_incremental",
        "is_queued",
        "request_ended",
        "urgency",
    )

    def __init__(self, connection: "Http2Connection", stream_id: int, head: Request, exchange: Exchange) -> None:
        self._connection = connection
        self._engine = connection.engine
        self._front = connection.front
        self._loop = connection.loop
        self.id = stream_id
        self.head = head
        self.exchange = exchange
        self.urgency = 3
        self.is_incremental = False
        self.is_queued = False
        self.is_endless = False
        """An event stream or a tunnel, for which nobody waits when the program is to end."""
        self.request_ended = True
        self.early: list[bytes] | None = None
        """Content that came with the head, before the task was started."""
        self._body: RequestBody | None = None
        self._open_bytes = STREAM_WINDOW_BYTES
        """How much the client may send before we open the window."""
        self._credit_bytes = 0
        self._content = memoryview(b"")
        self._notes_end = False
        self._progress_bytes = 0
        self._has_begun_answer = False
        self._has_ended_answer = False
        self._is_over = False
        self._sent_waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._read_deadline: Deadline | None = None
        self._write_deadline: Deadline | None = None

    # The request

    def begin(self) -> None:
        """Starts the task that answers, with the content that has come so far."""
        early, self.early = self.early, None
        head, content = self.head, b"".join(early or ())
        if self.head.wants_upgrade:
            self._body = RequestBody(self._loop, self)
        elif self.request_ended:
            head.body = content
            if head.content_length is None:
                self.exchange.request_content_length = len(content)
            head.content_length, head.expects_continue = len(content), False
        else:
            head.body = self._body = RequestBody(self._loop, self)
            if not head.expects_continue:  # else its time begins when the client is told to go on
                self._await_content()
        if self._body is not None and content:
            self._take_content(self._body, content)
        head.send_interim = self.send_interim
        task = start_task(self._loop, self._serve())
        if not task.done():
            self._task = task

    def receive(self, content: bytes, padding_bytes: int, *, has_ended: bool) -> None:
        """Takes content of the request."""
        self._open_bytes -= len(content) + padding_bytes
        if padding_bytes:
            self.give_credit(padding_bytes)
        self.request_ended = self.request_ended or has_ended
        if self.early is not None:
            self.early.append(content)
        elif self._body is not None:
            self._take_content(self._body, content)
            if has_ended:
                self.end_request(())

    def _take_content(self, body: RequestBody, content: bytes) -> None:
        if self.head.content_length is None:
            self.exchange.request_content_length += len(content)
        body.feed(content)
        self._await_content()

    def end_request(self, trailers: Sequence[FieldLine]) -> None:
        """The request is complete."""
        self._await_nothing()
        if self._body is not None:
            self._body.end(trailers)

    def break_request(self, reason: str) -> None:
        """The request has ended without being complete, and its answer goes on."""
        self._await_nothing()
        if self._body is not None:
            self._body.fail(BadMessage(reason))

    def _await_nothing(self) -> None:
        self.request_ended = True
        if self._read_deadline is not None:
            self._read_deadline.clear()

    def give_credit(self, size_bytes: int) -> None:
        """Somebody has read so much: opens the window, in large pieces."""
        self._credit_bytes += size_bytes
        if self._credit_bytes < STREAM_WINDOW_BYTES // 2 or self.request_ended:
            return
        self._engine.give_credit(self.id, self._credit_bytes)
        self._open_bytes += self._credit_bytes
        self._credit_bytes = 0
        self._await_content()
        self._connection.flush_soon()

    def abandon_body(self) -> None:
        """Nobody wants the rest of the request: its window stays as it is, and the answer's end ends it."""
        if self._read_deadline is not None:
            self._read_deadline.clear()

    def pause_reading(self) -> None:
        """Nothing: the window holds the client back (BodyBuffer's source)."""

    def resume_reading(self) -> None:
        """Nothing: `give_credit` opens the window (BodyBuffer's source)."""

    def _await_content(self) -> None:
        """Gives the client its time for the next piece; none runs while its window is closed, or nobody reads."""
        if self.request_ended or self._body is None or self._body.is_ended or self.head.wants_upgrade:
            return
        if self._read_deadline is None:
            self._read_deadline = Deadline(self._loop, self._read_expired)
        if self._open_bytes > 0:
            self._read_deadline.set(self._front.timeouts.read_s)
        else:
            self._read_deadline.clear()

    def _read_expired(self) -> None:
        if self._body is not None:
            limit_s = self._front.timeouts.read_s
            self._body.fail(BadMessage(f"the request's body stalled for {limit_s:g} s", status=408))

    # The answer

    async def _serve(self) -> None:
        exchange = self.exchange
        try:
            response = await self._front.handler(self.head)
            exchange.status = response.status
            exchange.response_headers = response.headers
            if isinstance(response.body, bytes):
                await self._write_whole(response, response.body)
            elif isinstance(response.body, Tunnel):
                await self._tunnel(response, response.body)
            else:
                await self._write_stream(response, response.body)
        except ClientGone as error:
            self.note_departure(str(error))
            self._reset(ErrorCode.CANCEL)
        except ThrustError as error:
            self._break_off(str(error))
        except OSError as error:
            self._break_off(f"a file could not be sent: {error.strerror}")
        except asyncio.CancelledError:
            self.note_departure("the client left before the response was complete")
            raise
        except Exception as error:
            self._break_off(f"internal error: {error!r}")
            self._loop.call_exception_handler({"message": "an answer could not be written", "exception": error})
        finally:
            self._task = None
            self.finish()

    def _break_off(self, reason: str) -> None:
        self.exchange.error = self.exchange.error or reason
        self._reset(ErrorCode.INTERNAL_ERROR)

    def answer_at_once(self, response: Response, body: bytes) -> None:
        """Sends what is in memory without a task; `finish` follows when the last of it has been sent."""
        self.exchange.status = response.status
        self.exchange.response_headers = response.headers
        self._send_whole(response, body)
        if not self.waiting_bytes:
            self.finish()

    async def _write_whole(self, response: Response, body: bytes) -> None:
        self._send_whole(response, body)
        await self._sent()

    def _send_whole(self, response: Response, body: bytes) -> None:
        block, body = self._connection.prepared(response, body, self.head.method, self.exchange)
        self._has_begun_answer = True
        self._engine.send_head(self.id, block, ends_stream=not body)
        self._connection.flush_soon()
        if body:
            self._put(body, ends_stream=True)

    async def _write_stream(self, response: Response, body: BodyStream) -> None:
        try:
            is_headless = self.head.method == b"HEAD" and isinstance(body, FileContent)
            self._send_head(response, ends_stream=is_headless)
            if is_headless:
                return
            if response.is_event_stream:
                self.is_endless = True
                self._front.notify()
            await self._write_to_end(body)
        finally:
            response.close()

    def _send_head(self, response: Response, *, ends_stream: bool = False) -> None:
        length = response.body.length if isinstance(response.body, FileContent) else response.content_length
        self._has_begun_answer = True
        block = self._connection.head_block(response, length, self.exchange)
        self._engine.send_head(self.id, block, ends_stream=ends_stream)
        self._connection.flush_soon()

    async def _write_to_end(self, body: BodyStream) -> None:
        while piece := await body.read():
            self._put(piece, ends_stream=False)
            await self._sent()
        if body.trailers:
            self._engine.send_trailers(self.id, body.trailers)
        else:
            self._engine.send_content(self.id, b"", ends_stream=True)
        self._has_ended_answer = True
        self._connection.flush_soon()

    async def _tunnel(self, response: Response, tunnel: Tunnel) -> None:
        """Extended CONNECT: 200 where the worker said 101, then content is what the tunnel carries (RFC 8441 §5)."""
        if not accepts_tunnel(self.head, response):
            tunnel.close()
            raise ThrustError("the worker's answer to the WebSocket handshake does not fit")
        self.exchange.status = response.status = 200
        self.is_endless = True
        self._front.notify()
        self._send_head(response)
        await run_tunnel(self._loop, tunnel, cast(RequestBody, self._body), self._write_to_end)

    def send_interim(self, status: int, lines: list[FieldLine]) -> None:
        """Sends an interim response, unless the answer has begun or the client does not read (SendInterim)."""
        if self._has_begun_answer or not self._connection.takes_more:
            return
        self._engine.send_head(self.id, response_block(status, lines), is_interim=True)
        self._connection.flush_soon()
        if status == 100 and not lines:
            self._await_content()

    # Content on its way

    @property
    def waiting_bytes(self) -> int:
        """How much content is ready to be sent (Sendable)."""
        return len(self._content)

    def send(self, size_bytes: int) -> None:
        """Sends so much of it, in one frame (Sendable)."""
        piece, self._content = self._content[:size_bytes], self._content[size_bytes:]
        is_last = not self._content
        self._engine.send_content(self.id, piece, ends_stream=is_last and self._notes_end)
        self.exchange.body_bytes += size_bytes
        self._progress_bytes += size_bytes
        if not is_last:
            return
        if self._write_deadline is not None:
            self._write_deadline.clear()
        if self._sent_waiter is not None:
            if not self._sent_waiter.done():
                self._sent_waiter.set_result(None)
        elif self._task is None and self._notes_end:
            self.finish()

    def _put(self, content: bytes, *, ends_stream: bool) -> None:
        """Has `content` sent: at once if that is in nobody's way, else when it is this stream's turn."""
        self._content = memoryview(content)
        self._notes_end = ends_stream
        may_go = self._connection.may_overtake and len(content) <= MAX_FRAME_BYTES
        if may_go and len(content) <= self._engine.sendable_bytes(self.id):
            self.send(len(content))
            self._connection.flush_soon()
            return
        self._progress_bytes = 0
        if self._write_deadline is None:
            self._write_deadline = Deadline(self._loop, self._write_expired)
        self._write_deadline.set(self._front.timeouts.write_s)
        self.window_opened()

    async def _sent(self) -> None:
        """Returns when everything that was put has been sent."""
        if self._content:
            self._sent_waiter = self._loop.create_future()
            try:
                await self._sent_waiter
            finally:
                self._sent_waiter = None

    def window_opened(self) -> None:
        """The client lets us send: takes a place in the queue."""
        if self._content and self._engine.stream_window_bytes(self.id) > 0:
            self._connection.sender.offer(self)
            self._connection.flush_soon()

    def _write_expired(self) -> None:
        limit_s = self._front.timeouts.write_s
        is_held_back = self._engine.sendable_bytes(self.id) == 0
        if self._progress_bytes >= MIN_PROGRESS_BYTES or not (is_held_back or self._progress_bytes):
            # It goes on, or it waits for its turn: then whoever does not read the connection has a deadline of his own.
            self._progress_bytes = 0
            if self._write_deadline is not None:
                self._write_deadline.set(limit_s)
            return
        self.cut(f"the client took {self._progress_bytes} bytes within {limit_s:g} s", ErrorCode.CANCEL)

    # Endings

    def cut(self, reason: str, code: ErrorCode) -> None:
        """Ends the stream, for a reason of ours."""
        self.exchange.error = self.exchange.error or reason
        self._reset(code)
        self.leave(reason)

    def leave(self, reason: str) -> None:
        """The stream is gone: whoever works for it hears of it."""
        if self._body is not None:
            self._body.fail(ClientGone(reason))
        if self._is_over:
            return
        if not self._has_ended_answer:  # else a tunnel is left in good order
            self.note_departure(reason)
        if self._task is not None:
            self._task.cancel()
        self.finish()  # not left to the task, which may not have begun

    def note_departure(self, how: str) -> None:
        """Blames the client for the end of the exchange, unless it is known to be somebody else's doing."""
        if not self.exchange.error:
            self.exchange.error = how
            self.exchange.status = self.exchange.status or ClientGone.status

    def finish(self) -> None:
        """The answer is over: the request's rest is not wanted, and the record is complete."""
        if self._is_over:
            return
        self._is_over = True
        self._content = memoryview(b"")
        if self._engine.is_open(self.id):
            # §8.1: the client may stop sending; what it has been sent is complete. Some fail to see that it is when
            # the reset is in the same read (curl 7.88), so that they get a moment to notice for themselves.
            self._loop.call_later(RESET_AFTER_S, self._reset, ErrorCode.NO_ERROR)
        if self._body is not None:
            self._body.close()
        self._let_go()
        self._connection.stream_over(self)
        self._front.finish(self.exchange)

    def _let_go(self) -> None:
        """Drops what refers to the stream, so that its memory is free now and not with the next garbage collection."""
        for deadline in (self._read_deadline, self._write_deadline):
            if deadline is not None:
                deadline.cancel()
        self._read_deadline = self._write_deadline = self._body = None
        self.head = _NO_REQUEST

    def _reset(self, code: ErrorCode) -> None:
        self._engine.reset(self.id, code)
        self._connection.flush_soon()

    def __repr__(self) -> str:
        return f"<Http2Stream {self.id} {self.exchange!r}, {len(self._content)} bytes waiting>"
