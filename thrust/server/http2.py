"""One HTTP/2 connection of a client (RFC 9113).

`data_received` gives bytes to the engine and acts on its events, all in one turn of the loop: a fresh hit of the cache
is answered before the next frame is read, anything else becomes a stream with a task. The read path never awaits. What
is to be sent gathers and leaves in one write per turn; content of many streams takes turns (`http2_sending`), and only
as much is given to the transport as it takes at once, so that whoever speaks next is heard soon.

A connection ends when the client leaves, when it has been idle for too long, when it breaks a rule (GOAWAY with the
RFC's code), or when we stop: then a first GOAWAY asks for no more streams, a PING shows that the client has read it,
and a second one says which are still served (§6.8).
"""

import asyncio
import time
from collections.abc import Sequence

from thrust.errors import ClientGone
from thrust.http.exchange import Exchange
from thrust.http.headers import FieldLine
from thrust.http.message import Request, Response
from thrust.server.connection import ClientConnection
from thrust.server.front import Front
from thrust.server.http2_sending import Sender, limit_unsent
from thrust.server.http2_stream import Http2Stream
from thrust.server.http2_tunnel import ask_for_tunnel
from thrust.wire.http2.engine import Engine
from thrust.wire.http2.events import (
    ClientLeaves,
    ConnectionFailed,
    ContentReceived,
    Event,
    PongReceived,
    PriorityChanged,
    RequestBroken,
    RequestReceived,
    RequestRefused,
    StreamEnded,
    TrailersReceived,
    WindowOpened,
)
from thrust.wire.http2.field_blocks import response_block
from thrust.wire.http2.frames import MAX_FRAME_BYTES, ErrorCode

WRITE_AHEAD_BYTES = 65536
"""What may wait in the transport: asyncio's own high-water mark, at which it tells us to pause."""

GATHERED_BYTES = 65536
"""Of answers, given to the transport before the next frame is read, lest one read of small requests (256 KB, 14 bytes
for each) queue megabytes before the transport can say that it is full."""

MAX_UNREAD_BYTES = 524288
"""Of replies to a client that does not read them but goes on asking, PING by PING (CVE-2019-9512); then it is cut.
Heads count, too: there is room for those of MAX_CONCURRENT_STREAMS answers with 5 KB each."""

ANNOUNCE_S = 1.0
"""How long the reply to the PING behind the first GOAWAY is awaited; new streams are served meanwhile."""

_DRAIN_PING = b"draining"


class Http2Connection(ClientConnection):
    """A client's connection; created by the listener, lives until `connection_lost`. `scheme` is that of its port."""

    __slots__ = (
        "_announce_timer",
        "_client_leaves",
        "_is_announcing",
        "_is_ending",
        "_is_flushing_soon",
        "_is_receiving",
        "_progress",
        "_scheme",
        "_starting",
        "_streams",
        "_unread_bytes",
        "engine",
        "front",
        "loop",
        "sender",
    )

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop, scheme: bytes = b"http") -> None:
        super().__init__(front, loop)
        self.front = front
        self.loop = loop
        self.engine = Engine(front.parser, loop.time)
        self.sender = Sender(self.engine)
        self._scheme = scheme
        self._streams: dict[int, Http2Stream] = {}
        self._starting: list[Http2Stream] = []
        self._progress = -1
        self._unread_bytes = 0
        self._client_leaves = False
        self._is_announcing = False
        self._is_ending = False
        self._is_receiving = False
        self._is_flushing_soon = False
        self._announce_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted (asyncio.Protocol): says our settings."""
        self.engine.begin()
        limit_unsent(transport)
        super().connection_made(transport)
        self._flush()

    # Reading

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent (asyncio.Protocol)."""
        if self._is_lingering:
            return
        self._is_receiving = True
        for event in self.engine.receive(data):
            if type(event) is RequestReceived:
                self._receive_request(event)
            else:
                self._receive_other(event)
            if self.engine.output_bytes > GATHERED_BYTES:
                self._flush()
                if self._transport.is_closing():
                    self._starting.clear()  # it has asked for too much; nobody will read the answers to the rest
                    break
        starting, self._starting = self._starting, []
        for stream in starting:
            if stream.id in self._streams:
                stream.begin()
        self._is_receiving = False
        if self.engine.has_failed:
            return
        self._flush()
        self._set_patience()

    def _receive_other(self, event: Event) -> None:
        match event:
            case WindowOpened(0):
                for stream in self._streams.values():
                    stream.window_opened()
            case WindowOpened(stream_id):
                if stream_id in self._streams:
                    self._streams[stream_id].window_opened()
            case ContentReceived(stream_id, content, padding_bytes, has_ended):
                if stream_id in self._streams:
                    self._streams[stream_id].receive(content, padding_bytes, has_ended=has_ended)
            case TrailersReceived(stream_id, trailers):
                if stream_id in self._streams:
                    self._receive_trailers(self._streams[stream_id], trailers)
            case RequestBroken(stream_id, reason):
                if stream_id in self._streams:
                    self._streams[stream_id].break_request(reason)
            case StreamEnded(stream_id, _, reason, is_ours):
                if stream_id in self._streams:
                    self._lose_stream(self._streams[stream_id], reason, 400 if is_ours else 0)
            case RequestRefused():
                self._receive_refused(event)
            case PriorityChanged(stream_id, urgency, is_incremental):
                if stream_id in self._streams:
                    self._change_priority(self._streams[stream_id], urgency, is_incremental=is_incremental)
            case PongReceived(opaque):
                if opaque == _DRAIN_PING and self._is_announcing:
                    self._end_announcing()
            case ClientLeaves():
                self._client_leaves = True
            case ConnectionFailed():
                self._fail(event)

    def _receive_request(self, event: RequestReceived) -> None:
        head = event.head
        exchange = self._record(head)
        if head.protocol:
            ask_for_tunnel(head)
        elif event.has_ended and self.front.at_once is not None:
            response = self.front.at_once(head)
            if response is not None and isinstance(response.body, bytes):
                self._answer_at_once(event.stream_id, head, exchange, response, response.body)
                return
        stream = self._add_stream(event.stream_id, head, exchange)
        stream.urgency, stream.is_incremental = head.urgency, head.is_incremental
        stream.request_ended = event.has_ended
        if event.has_ended or head.protocol:
            stream.begin()
        else:
            # Content that came with the head is in the same read: the task begins when it has been looked at.
            stream.early = []
            self._starting.append(stream)

    def _record(self, head: Request) -> Exchange:
        """The record of a request, with what it says about itself."""
        exchange = Exchange(self.peer_address, time.time(), time.perf_counter())
        exchange.describe(head, "HTTP/2")
        head.exchange = exchange
        head.scheme = self._scheme
        return exchange

    def _add_stream(self, stream_id: int, head: Request, exchange: Exchange) -> Http2Stream:
        self._streams[stream_id] = stream = Http2Stream(self, stream_id, head, exchange)
        return stream

    def _answer_at_once(
        self, stream_id: int, head: Request, exchange: Exchange, response: Response, body: bytes
    ) -> None:
        """Sends what is in memory, without a stream of our own if it is small (benchmark h2-cached-10k)."""
        engine = self.engine
        if len(body) <= MAX_FRAME_BYTES and self.may_overtake and len(body) <= engine.sendable_bytes(stream_id):
            exchange.status = response.status
            exchange.response_headers = response.headers
            block, body = self.prepared(response, body, head.method, exchange)
            engine.send_head(stream_id, block, ends_stream=not body)
            if body:
                engine.send_content(stream_id, body, ends_stream=True)
            exchange.body_bytes = len(body)
            self.front.finish(exchange)
            return
        stream = self._add_stream(stream_id, head, exchange)
        stream.answer_at_once(response, body)

    def _receive_refused(self, event: RequestRefused) -> None:
        """A request that is no HTTP, or more than we take: a reset was all, or the status is the answer."""
        exchange = Exchange(self.peer_address, time.time(), time.perf_counter())
        exchange.protocol = "HTTP/2"
        exchange.error = str(event.error)
        if event.is_reset:
            exchange.status = event.error.status
            self.front.finish(exchange)
            return
        response = self.front.refusal(event.error, self._scheme)
        head = Request(b"", b"", response.headers, b"", exchange)
        stream = self._add_stream(event.stream_id, head, exchange)
        stream.request_ended = event.has_ended
        stream.answer_at_once(response, response.body if isinstance(response.body, bytes) else b"")

    def _receive_trailers(self, stream: Http2Stream, trailers: Sequence[FieldLine]) -> None:
        if stream in self._starting:
            self._starting.remove(stream)
            stream.begin()
        stream.end_request(trailers)

    def _lose_stream(self, stream: Http2Stream, reason: str, status: int) -> None:
        """The stream is gone; `status` is noted if it was for breaking a rule, and no answer has been sent."""
        if status:
            stream.exchange.error = stream.exchange.error or reason
            stream.exchange.status = stream.exchange.status or status
        stream.leave(f"{reason} before the response was complete")

    def _change_priority(self, stream: Http2Stream, urgency: int, *, is_incremental: bool) -> None:
        was_queued = stream.is_queued
        self.sender.withdraw(stream)
        stream.urgency, stream.is_incremental = urgency, is_incremental
        if was_queued:
            self.sender.offer(stream)

    def stream_over(self, stream: Http2Stream) -> None:
        """The stream has nothing more to say, and is not in the way of an end any more."""
        self.sender.withdraw(stream)
        self._streams.pop(stream.id, None)
        if self._streams or self._is_receiving:
            return
        self._set_patience()
        if self._is_ending:
            self.front.notify()

    def _set_patience(self) -> None:
        """How long the client may be silent now; closes if there is nothing left to wait for."""
        if self._transport.is_closing() or self._is_lingering:
            return
        if not self.engine.is_between_frames:
            if self._progress != self.engine.progress:  # each frame has its own time, from its first byte on
                self._progress = self.engine.progress
                self._read_deadline.set(self.front.timeouts.read_s)
            return
        self._progress = -1
        if self._streams:
            self._read_deadline.clear()
        elif self._is_ending or self._client_leaves:
            self._flush()
            self._close()
        else:
            self._read_deadline.set(self.front.timeouts.idle_s)

    # Writing

    @property
    def takes_more(self) -> bool:
        """Whether the client reads what it is sent."""
        return self._gate.is_open and not self._transport.is_closing()

    @property
    def may_overtake(self) -> bool:
        """Whether something small may be sent now, because nobody waits for his turn."""
        return self._gate.is_open and self.sender.is_empty

    def prepared(self, response: Response, body: bytes, method: bytes, exchange: Exchange) -> tuple[bytes, bytes]:
        """The head of a response whose body is all here, and the content that follows it."""
        length: int | None = len(body)
        if method == b"HEAD" or response.status in (204, 304):
            length = response.length_without_content(body)
            body = b""
        if response.head_memo is None:
            return self.head_block(response, length, exchange), body
        if not response.field_block_memo:
            response.field_block_memo = self.head_block(response, length, exchange)
        return response.field_block_memo, body

    def head_block(self, response: Response, length: int | None, exchange: Exchange) -> bytes:
        """The field block of a response's head."""
        lines = response.headers.lines.copy()
        if b"date" not in dict(lines):
            lines.append((b"date", self.front.date(exchange.started_at)))
        if length is not None:
            lines.append((b"content-length", b"%d" % length))
        return response_block(response.status, lines)

    def flush_soon(self) -> None:
        """Has what is queued written in this turn of the loop, together with what others still queue."""
        if not self._is_flushing_soon and not self._is_receiving:
            self._is_flushing_soon = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._is_flushing_soon = False
        self._flush()

    def _flush(self) -> None:
        if self._transport.is_closing() or self._is_lingering:
            return
        sender = self.sender
        if self._gate.is_open and sender.is_ready:
            sender.fill(WRITE_AHEAD_BYTES - self._transport.get_write_buffer_size())
        data = self.engine.take_output()
        if data:
            if not self._gate.is_open:
                self._count_unread(len(data))
            self._transport.write(data)
        if self._gate.is_open and sender.is_ready:
            self.flush_soon()  # after the others have had their turn

    def _count_unread(self, size_bytes: int) -> None:
        self._unread_bytes += size_bytes
        if self._unread_bytes > MAX_UNREAD_BYTES:
            self._blame_reader("the client asks and does not read")
            self._reset()

    def _writing_resumed(self) -> None:
        self._unread_bytes = 0
        self._flush()

    # Endings

    def _fail(self, event: ConnectionFailed, status: int = 400) -> None:
        """The client has broken the rules: says so, and stops whatever it has asked for."""
        reason = f"{event.reason} ({event.code.name})"
        if not self._streams:
            exchange = Exchange(self.peer_address, time.time(), time.perf_counter())
            exchange.protocol = "HTTP/2"
            exchange.error, exchange.status = reason, status
            self.front.finish(exchange)
        for stream in list(self._streams.values()):
            self._lose_stream(stream, reason, status)
        self._flush()
        self._linger()

    def eof_received(self) -> bool:
        """The client is gone (asyncio.Protocol), as for nginx: without its half nobody opens windows.

        Other than in HTTP/1.1 nobody half-closes to say that a request is complete; END_STREAM and GOAWAY say it.
        """
        self._saw_eof = True
        return False

    def _abandon(self, gone: ClientGone) -> None:
        if self._announce_timer is not None:
            self._announce_timer.cancel()
        for stream in list(self._streams.values()):
            stream.leave(str(gone))

    def _read_expired(self) -> None:
        if self._is_lingering:
            self._close()
        elif self.engine.is_between_frames:
            self._say_end("idle for too long")
            self._linger()
        else:
            limit_s = self.front.timeouts.read_s
            reason = f"a frame was not complete for {limit_s:g} s"
            self.engine.fail(ErrorCode.PROTOCOL_ERROR, reason)
            self._fail(ConnectionFailed(ErrorCode.PROTOCOL_ERROR, reason), 408)

    def _blame_reader(self, reason: str) -> None:
        for stream in self._streams.values():
            stream.exchange.error = stream.exchange.error or reason

    def _say_end(self, reason: str = "") -> None:
        self._is_ending = True
        self.engine.end(ErrorCode.NO_ERROR, reason)
        self._flush()

    @property
    def is_busy(self) -> bool:
        """Whether a shutdown waits: for answers, unless they are endless, and for the client to hear of it."""
        if self._is_announcing or any(not stream.is_endless for stream in self._streams.values()):
            return True
        return super().is_busy

    def drain(self) -> None:
        """Asks for no more streams, and closes when those under way have ended."""
        if self._is_announcing or self._is_ending or self._is_lingering or self._transport.is_closing():
            return
        self._is_announcing = True
        self.engine.announce_end()
        self.engine.ping(_DRAIN_PING)
        self._flush()
        self._announce_timer = self._loop.call_later(ANNOUNCE_S, self._end_announcing)

    def _end_announcing(self) -> None:
        self._is_announcing = False
        if self._announce_timer is not None:
            self._announce_timer.cancel()
        if not self._transport.is_closing() and not self._is_lingering:
            self._say_end()
            self._set_patience()
        self.front.notify()

    def end_stream(self, *, also_tunnel: bool = False) -> None:
        """Ends the event streams, whose clients will come again, and tunnels if asked to; the rest goes on."""
        for stream in list(self._streams.values()):
            if stream.is_endless and (also_tunnel or not stream.head.wants_upgrade):
                stream.cut("thrust is stopping", ErrorCode.CANCEL)

    def abort(self) -> None:
        """Ends the connection now; exchanges under way count as broken."""
        if self._transport.is_closing():
            self._transport.abort()
            return
        is_busy = bool(self._streams)
        self._blame_reader("thrust is stopping")
        if not self._is_ending and not self._is_lingering:
            self._say_end()
        if is_busy or self._transport.get_write_buffer_size():
            self._reset()
        else:
            self._transport.abort()

    def __repr__(self) -> str:
        state = "closing" if self._is_closing else "ending" if self._is_ending else "open"
        return f"<Http2Connection {self.peer_address} {state}, {len(self._streams)} streams>"
