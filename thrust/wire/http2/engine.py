"""One HTTP/2 connection without its socket: bytes in, events out; answers in, bytes out (RFC 9113).

The seam around the h2 library, which nobody else knows. h2 keeps the connection's settings and each stream's state and
windows, reads SETTINGS and PING, and judges them. What it is too slow, too lenient or too strict for is done here, on
h2's own objects, so that there is one truth: header sections (a third of h2's price, and errors that concern a stream
only), DATA (a fifth, which counts when it comes in single bytes), WINDOW_UPDATE and RST_STREAM (zero increments, idle
streams), GOAWAY (after which h2 would speak no more), and what is sent, see `outgoing`. Limits come first: `floods` is
asked about a frame before it is parsed.

`receive` is a generator, so that a request is answered before the next frame is read. Output gathers in `take_output`.
"""

from collections.abc import Callable, Iterator

import h2.events
import h2.exceptions
import h2.windows

from thrust.errors import BadMessage
from thrust.wire.http1.requests import RequestParser
from thrust.wire.http2 import floods
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
from thrust.wire.http2.floods import Budget
from thrust.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD_BYTES,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    MAX_STREAM_ID,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFault,
    ErrorCode,
    FrameCutter,
    meaningful_settings,
    reset_frame,
    uint31,
    uint32,
    window_frame,
)
from thrust.wire.http2.outgoing import (
    CONFIG,
    CONNECTION_WINDOW_BYTES,
    INITIAL_WINDOW_BYTES,
    MAX_CONCURRENT_STREAMS,
    OPEN_FOR_CONTENT,
    STREAM_WINDOW_BYTES,
    ClosedBy,
    Inputs,
    Outgoing,
    Stream,
)
from thrust.wire.http2.requests import read_priority, understand, understand_trailers
from thrust.wire.http2.sections import OpenBlock, SectionReader


class Engine(Outgoing):
    """The protocol's half of a connection. `clock` is monotonic, in seconds; floods are measured with it."""

    def __init__(self, parser: RequestParser, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._parser = parser
        self._cutter = FrameCutter()
        self._sections = SectionReader()
        self._block: OpenBlock | None = None
        self._received_settings = False
        self._owed_bytes = 0
        """Of the connection's window: received and not yet given back."""
        self.progress = 0
        """Grows with each frame that completes something, so that whoever dawdles in the middle can be told."""
        self._send_window_bytes = INITIAL_WINDOW_BYTES
        now_s = clock()
        self._control_budget = Budget(floods.CONTROL_FRAMES, now_s)
        self._empty_budget = Budget(floods.EMPTY_FRAMES, now_s)
        self._reset_budget = Budget(floods.RESETS, now_s)
        self._provoked_budget = Budget(floods.PROVOKED_RESETS, now_s)

    # Receiving

    @property
    def is_between_frames(self) -> bool:
        """Whether the client has said all that it began to say: preface, SETTINGS, whole header sections."""
        return self._received_settings and self._block is None and self._cutter.is_between_frames

    def receive(self, data: bytes) -> Iterator[Event]:
        """What `data` says; has to be exhausted. The last event of a connection may be ConnectionFailed."""
        if self._has_failed:
            return
        try:
            for kind, flags, stream_id, frame in self._cutter.cut(data):
                event = self._receive_frame(kind, flags, stream_id, frame)
                if self._block is None:
                    self.progress += 1
                if event is not None:
                    yield event
            self._give_back()
        except ConnectionFault as fault:
            self.fail(fault.code, str(fault))
            yield ConnectionFailed(fault.code, str(fault))

    def _receive_frame(self, kind: int, flags: int, stream_id: int, frame: bytes) -> Event | None:
        if self._block is not None or kind == CONTINUATION:
            return self._receive_continuation(kind, flags, stream_id, frame)
        if not self._received_settings:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._received_settings = True
        if kind == HEADERS:
            return self._receive_headers(flags, stream_id, frame)
        if kind == WINDOW_UPDATE:
            return self._receive_window_update(stream_id, frame)
        if kind == DATA:
            return self._receive_data(flags, stream_id, frame)
        if kind == RST_STREAM:
            return self._receive_reset(stream_id, frame)
        asks_much = kind == SETTINGS and not flags & ACK
        self._control_budget.spend(self._clock(), floods.SETTINGS_COST if asks_much else 1)
        if kind == SETTINGS and flags & ACK and len(frame) > FRAME_HEAD_BYTES:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS acknowledged with a payload")
        if kind == SETTINGS:
            return self._receive_by_h2(frame if flags & ACK else meaningful_settings(frame))
        if kind == PING:
            return self._receive_by_h2(frame)
        if kind == PRIORITY:
            return self._receive_priority(stream_id, frame)
        if kind == PRIORITY_UPDATE:
            return self._receive_priority_update(stream_id, frame)
        if kind == GOAWAY:
            if len(frame) < FRAME_HEAD_BYTES + 8:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of less than eight bytes")  # §4.2
            if stream_id:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"GOAWAY on stream {stream_id}")
            return ClientLeaves(uint32(frame, FRAME_HEAD_BYTES + 4))
        if kind == PUSH_PROMISE:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        return None  # §4.1: unknown types are ignored

    def _receive_by_h2(self, frame: bytes) -> Event | None:
        """SETTINGS and PING: h2 reads, checks and answers them."""
        event: Event | None = None
        for seen in self._ask_h2(frame):
            if isinstance(seen, h2.events.RemoteSettingsChanged):
                self._send_window_bytes = self._h2.remote_settings.initial_window_size
                event = WindowOpened(0)
            elif isinstance(seen, h2.events.PingAckReceived):
                event = PongReceived(seen.ping_data)
        return event

    def _ask_h2(self, frame: bytes) -> list[h2.events.Event]:
        """What h2 makes of one frame; what it wants to send is queued."""
        try:
            events = self._h2.receive_data(frame)
        except h2.exceptions.ProtocolError as error:
            code = ErrorCode(error.error_code)
            raise ConnectionFault(code, str(error) or type(error).__name__) from error
        reply = self._h2.data_to_send()
        if reply:
            self._output.append(reply)
        return events

    # Header sections

    def _receive_headers(self, flags: int, stream_id: int, frame: bytes) -> Event | None:
        fragment = frame[FRAME_HEAD_BYTES:]
        if flags & PADDED:
            fragment = _unpadded(fragment)
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}")
        if flags & HAS_PRIORITY:
            if len(fragment) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without room for its priority")
            depends_on, fragment = uint31(fragment, 0), fragment[5:]
            if depends_on != stream_id:
                flags &= ~HAS_PRIORITY  # deprecated (§5.3.2), and of no interest but for this check
        if flags & END_HEADERS:
            return self._receive_block(flags, stream_id, fragment)
        self._block = OpenBlock(stream_id, flags, fragment)
        return None

    def _receive_continuation(self, kind: int, flags: int, stream_id: int, frame: bytes) -> Event | None:
        block = self._block
        if block is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block.add(kind, stream_id, frame[FRAME_HEAD_BYTES:])
        if not flags & END_HEADERS:
            return None
        self._block = None
        return self._receive_block(block.flags, stream_id, block.block)

    def _receive_block(self, flags: int, stream_id: int, block: bytes) -> Event | None:
        has_ended = bool(flags & END_STREAM)
        if stream_id <= self._h2.highest_inbound_stream_id:
            return self._receive_later_block(stream_id, block, has_ended=has_ended)
        known = self._sections.known_head(block) if has_ended else None
        fields = self._sections.decode(block) if known is None else []
        self._h2.highest_inbound_stream_id = stream_id
        if stream_id > self._last_stream_id:
            self._close(stream_id, ClosedBy.SEND_RST_STREAM)
            return None  # §6.8: the client has been told that it is ignored; our table is as it expects
        if flags & HAS_PRIORITY:
            return self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")
        if len(self._streams) >= MAX_CONCURRENT_STREAMS:
            return self._reset_for(stream_id, ErrorCode.REFUSED_STREAM, f"more than {MAX_CONCURRENT_STREAMS} streams")
        if known is not None:
            self._open(stream_id, has_ended=True)
            return RequestReceived(stream_id, known, True)
        try:
            head = understand(fields, self._parser, has_ended=has_ended)
        except BadMessage as error:
            return self._refuse(stream_id, error, has_ended=has_ended)
        if has_ended:
            self._sections.remember(block, head)
        self._open(stream_id, has_ended=has_ended).expected_bytes = None if head.protocol else head.content_length
        return RequestReceived(stream_id, head, has_ended)

    def _open(self, stream_id: int, *, has_ended: bool) -> Stream:
        stream = Stream(stream_id, CONFIG, STREAM_WINDOW_BYTES, self._send_window_bytes)
        machine = stream.state_machine
        machine.process_input(Inputs.RECV_HEADERS)
        if has_ended:
            machine.process_input(Inputs.RECV_END_STREAM)
        self._streams[stream_id] = stream
        return stream

    def _refuse(self, stream_id: int, error: BadMessage, *, has_ended: bool) -> RequestRefused:
        if error.status == 400:
            self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, str(error))
            return RequestRefused(stream_id, error, True, has_ended)
        self._open(stream_id, has_ended=has_ended)
        return RequestRefused(stream_id, error, False, has_ended)

    def _receive_later_block(self, stream_id: int, block: bytes, *, has_ended: bool) -> Event | None:
        """A header section on a stream that is not new: trailers, or an error (§5.1, §8.1)."""
        stream = self._streams.get(stream_id)
        closed_by = self._h2._closed_streams.get(stream_id)
        if stream is None and closed_by is not ClosedBy.SEND_RST_STREAM:
            code = ErrorCode.PROTOCOL_ERROR if closed_by is None else ErrorCode.STREAM_CLOSED
            raise ConnectionFault(code, f"HEADERS on stream {stream_id}, which is closed")
        fields = self._sections.decode(block)
        if stream is None:
            self._control_budget.spend(self._clock())
            return None  # sent before the client saw our reset
        if stream.state_machine.state not in OPEN_FOR_CONTENT:
            return self._reset_for(stream_id, ErrorCode.STREAM_CLOSED, "HEADERS after the request's end")
        if not has_ended:
            return self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, "trailers that do not end the request")
        if stream.expected_bytes:
            return self._end_short(stream_id, stream)
        try:
            trailers = understand_trailers(fields)
        except BadMessage as error:
            return self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, str(error))
        stream.state_machine.process_input(Inputs.RECV_END_STREAM)
        self._forget_if_closed(stream_id, stream)
        return TrailersReceived(stream_id, trailers)

    # Content and windows

    def _receive_data(self, flags: int, stream_id: int, frame: bytes) -> Event | None:
        content = frame[FRAME_HEAD_BYTES:]
        size_bytes = len(content)
        if flags & PADDED:
            content = _unpadded(content)
        if not content and not flags & END_STREAM:
            self._empty_budget.spend(self._clock())
        self._owed_bytes += size_bytes
        stream = self._streams.get(stream_id)
        if stream is None or stream.state_machine.state not in OPEN_FOR_CONTENT:
            return self._receive_late_data(stream_id, stream, size_bytes)
        self._consume_window(self._h2._inbound_flow_control_window_manager, size_bytes)
        self._consume_window(stream._inbound_window_manager, size_bytes)
        has_ended = bool(flags & END_STREAM)
        if stream.expected_bytes is not None:
            stream.expected_bytes -= len(content)
            if stream.expected_bytes < 0:
                return self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, "more content than its content-length")
            if has_ended and stream.expected_bytes:
                return self._end_short(stream_id, stream)
        if has_ended:
            stream.state_machine.process_input(Inputs.RECV_END_STREAM)
            self._forget_if_closed(stream_id, stream)
        return ContentReceived(stream_id, content, size_bytes - len(content), has_ended)

    def _end_short(self, stream_id: int, stream: Stream) -> Event:
        """The request is malformed (§8.1.1), unless the answer made the client give up the rest; then that goes on."""
        reason = f"{stream.expected_bytes} bytes less than its content-length"
        if not stream.is_answered:
            return self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, reason)
        stream.state_machine.process_input(Inputs.RECV_END_STREAM)
        self._forget_if_closed(stream_id, stream)
        return RequestBroken(stream_id, reason)

    def _receive_late_data(self, stream_id: int, stream: Stream | None, size_bytes: int) -> Event | None:
        """Content for a stream that takes none: it still counts for the connection's window (§6.9)."""
        if not stream_id & 1 or stream_id > self._h2.highest_inbound_stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"DATA on stream {stream_id}, which is idle")
        self._consume_window(self._h2._inbound_flow_control_window_manager, size_bytes)
        if stream is not None:
            return self._reset_for(stream_id, ErrorCode.STREAM_CLOSED, "DATA after the request's end")
        if self._h2._closed_streams.get(stream_id) is not ClosedBy.SEND_RST_STREAM:
            self._provoked_budget.spend(self._clock())
            self._output.append(reset_frame(stream_id, ErrorCode.STREAM_CLOSED))
        return None

    def _consume_window(self, window: h2.windows.WindowManager, size_bytes: int) -> None:
        """Counts content, which h2 does not get to see. Raises ConnectionFault if the client may not send so much."""
        try:
            window.window_consumed(size_bytes)
        except h2.exceptions.FlowControlError as error:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, str(error)) from error

    def _give_back(self) -> None:
        """Returns what content took of the connection's window, in large pieces."""
        if self._owed_bytes >= CONNECTION_WINDOW_BYTES // 2:
            self._h2._inbound_flow_control_window_manager.window_opened(self._owed_bytes)
            self._output.append(window_frame(0, self._owed_bytes))
            self._owed_bytes = 0

    def _receive_window_update(self, stream_id: int, frame: bytes) -> Event | None:
        if len(frame) != FRAME_HEAD_BYTES + 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE that is not four bytes long")
        self._window_budget.spend(self._clock())
        increment = uint31(frame, FRAME_HEAD_BYTES)
        if not stream_id:
            self._h2.outbound_flow_control_window += increment
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            if self._h2.outbound_flow_control_window > MAX_STREAM_ID:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is beyond 2^31 - 1")
            return WindowOpened(0)
        stream = self._streams.get(stream_id)
        if stream is None:
            if stream_id > self._h2.highest_inbound_stream_id or not stream_id & 1:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"WINDOW_UPDATE on stream {stream_id}, which is idle")
            return None
        if not increment:
            return self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        stream.outbound_flow_control_window += increment
        if stream.outbound_flow_control_window > MAX_STREAM_ID:
            return self._reset_for(stream_id, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is beyond 2^31 - 1")
        return WindowOpened(stream_id)

    # Resets and priorities

    def _receive_reset(self, stream_id: int, frame: bytes) -> Event | None:
        if len(frame) != FRAME_HEAD_BYTES + 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM that is not four bytes long")
        if not stream_id & 1 or stream_id > self._h2.highest_inbound_stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"RST_STREAM on stream {stream_id}, which is idle")
        stream = self._streams.get(stream_id)
        is_cheap = stream is None or stream.is_answered
        (self._control_budget if is_cheap else self._reset_budget).spend(self._clock())
        if stream is None:
            return None
        self._close(stream_id, ClosedBy.RECV_RST_STREAM)
        return StreamEnded(stream_id, uint32(frame, FRAME_HEAD_BYTES), "the client reset the stream", False)

    def _receive_priority(self, stream_id: int, frame: bytes) -> Event | None:
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        is_short = len(frame) != FRAME_HEAD_BYTES + 5
        if not is_short and uint31(frame, FRAME_HEAD_BYTES) != stream_id:
            return None  # §5.3.2: deprecated
        if stream_id > self._h2.highest_inbound_stream_id:
            # A stream that does not exist cannot be reset.
            code = ErrorCode.FRAME_SIZE_ERROR if is_short else ErrorCode.PROTOCOL_ERROR
            raise ConnectionFault(code, "malformed PRIORITY for an idle stream")
        if stream_id not in self._streams:
            return None
        if is_short:
            return self._reset_for(stream_id, ErrorCode.FRAME_SIZE_ERROR, "PRIORITY that is not five bytes long")
        return self._reset_for(stream_id, ErrorCode.PROTOCOL_ERROR, "a stream depends on itself")

    def _receive_priority_update(self, stream_id: int, frame: bytes) -> Event | None:
        if len(frame) < FRAME_HEAD_BYTES + 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY_UPDATE of less than four bytes")  # §4.2
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"PRIORITY_UPDATE on stream {stream_id}")
        prioritized = uint31(frame, FRAME_HEAD_BYTES)
        if not prioritized & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"PRIORITY_UPDATE for stream {prioritized}")
        if prioritized not in self._streams:
            return None  # not remembered for streams to come: their field says the same
        return PriorityChanged(prioritized, *read_priority(frame[FRAME_HEAD_BYTES + 4 :]))

    def _reset_for(self, stream_id: int, code: ErrorCode, reason: str) -> Event:
        """Resets a stream because of what the client sent."""
        self._output.append(reset_frame(stream_id, code))
        self._close(stream_id, ClosedBy.SEND_RST_STREAM)
        self._provoked_budget.spend(self._clock())
        return StreamEnded(stream_id, code, reason, True)

    def _forget_if_closed(self, stream_id: int, stream: Stream) -> None:
        if stream.closed:
            self._close(stream_id, ClosedBy.RECV_END_STREAM)

    def __repr__(self) -> str:
        state = "failed" if self._has_failed else "open"
        return f"<Engine {state}, {len(self._streams)} streams, window {self._h2.outbound_flow_control_window}>"


def _unpadded(payload: bytes) -> bytes:
    """The payload of a PADDED frame without its padding (§6.1)."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding that is longer than its frame")
    return payload[1 : len(payload) - payload[0]]
